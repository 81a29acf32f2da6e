/* int32 sums to bits or floats, AVX2: 32 comparisons make four masks of 8 lanes, which two saturating packs and one
 * movemask turn into 32 bits: 4 compares, 3 packs, 1 permute, 1 movemask, about a cycle for 4 outputs; llvm-mca 19 has
 * it within 1% of its bound on all cores, and the loop of floats too. */
#include "../kernels.h"

#include <immintrin.h>

static inline __m256i load(const int32_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }

/* Bits of 32 outputs: acc >= least is not (least > acc). */
static inline uint32_t bits32(const int32_t *acc, const int32_t *least) {
    __m256i a = _mm256_cmpgt_epi32(load(least), load(acc)), b = _mm256_cmpgt_epi32(load(least + 8), load(acc + 8));
    __m256i c = _mm256_cmpgt_epi32(load(least + 16), load(acc + 16)),
            d = _mm256_cmpgt_epi32(load(least + 24), load(acc + 24));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    /* the packs worked within halves: 4 bytes each of a, b, c, d low, then high */
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    return ~(uint32_t)_mm256_movemask_epi8(bytes);
}

static inline uint64_t bits64(const int32_t *acc, const int32_t *least) {
    return bits32(acc, least) | (uint64_t)bits32(acc + 32, least + 32) << 32;
}

#include "settle_body.h"

static void floats(const int32_t *acc, size_t pixels, size_t n, const float *scale, const float *bias, float *y) {
    for (size_t p = 0; p < pixels; p++, acc += bnn_round_up(n, BNN_BLOCK), y += n) {
        size_t i = 0;
        for (; i + 8 <= n; i += 8) {
            __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(load(acc + i)), _mm256_loadu_ps(scale + i));
            _mm256_storeu_ps(y + i, _mm256_add_ps(product, _mm256_loadu_ps(bias + i)));
        }
        for (; i < n; i++) {
            float product = (float)acc[i] * scale[i];
            y[i] = product + bias[i];
        }
    }
}

const bnn_settle_kernel bnn_settle_avx2 = {.isa = BNN_ISA_avx2, .bits = bits, .floats = floats};
