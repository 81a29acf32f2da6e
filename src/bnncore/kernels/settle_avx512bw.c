/* int32 sums to bits or floats, AVX-512: a comparison makes a mask of 16 outputs, and four of them a word: 12 loads and
 * operations for 64 outputs, 1 to 1.2 times their bound in llvm-mca 19.
 */
#include "../kernels.h"
#include "lanes_avx512bw.h"

static inline __m512i load(const int32_t *x) { return _mm512_loadu_si512(x); }

/* Bits of 64 outputs. */
static inline uint64_t bits64(const int32_t *acc, const int32_t *least) {
    uint64_t word = 0;
    UNROLL for (int i = 0; i < BNN_WORD_BITS; i += LANES) word |=
        (uint64_t)_mm512_cmpge_epi32_mask(load(acc + i), load(least + i)) << i;
    return word;
}

#include "settle_body.h"

static void floats(const int32_t *acc, size_t pixels, size_t n, const float *scale, const float *bias, float *y) {
    for (size_t p = 0; p < pixels; p++, acc += bnn_round_up(n, BNN_BLOCK), y += n)
        for (size_t i = 0; i < n; i += LANES) {
            const size_t some = n - i < LANES ? n - i : LANES;
            const lanes product = lanes_mul(_mm512_cvtepi32_ps(load(acc + i)), lanes_load_first(scale + i, some));
            lanes_store_first(y + i, some, lanes_add(product, lanes_load_first(bias + i, some)));
        }
}

const bnn_settle_kernel bnn_settle_avx512bw = {.isa = BNN_ISA_avx512bw, .bits = bits, .floats = floats};
