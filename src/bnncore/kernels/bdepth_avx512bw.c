/* Depthwise binary convolution, AVX-512 BW: 512 channels a vector; the idea stands in bdepth_body.h.
 *
 * vpternlog is an XOR of three, a majority, and a step of the comparison, so a full adder is two instructions. Nine
 * taps to bits: 9 XORs, 10 for five full adders, 4 for two half ones, 4 to compare four planes, and the flip: 28
 * operations and 14 loads for 4,608 bit pairs. Bound: 14 cycles, both on two vector ports (Ice Lake, Sapphire Rapids,
 * Zen 4) and by Zen 4's one load of 64 bytes a cycle; 7 on Zen 5, which has twice of both. llvm-mca 19 for gcc 12
 * (clang 19): icelake-server 15.8 (18.6), sapphirerapids 15.6 (14.1), znver4 14.6 (15.6). Measured on a Zen 5
 * core: 14.9, where every such instruction takes two cycles to its result, and 18.7 where a pixel is one word, so that
 * loads cross cache lines; 76 for 25 taps; to floats 26 cycles a word.
 */
#include "../kernels.h"
#include "unroll.h"

#include <immintrin.h>

typedef __m512i wide;

enum { WORDS = 8 };

static inline __mmask8 first(size_t n) { return (__mmask8)((1u << n) - 1); }
static inline wide wide_load(const uint64_t *x) { return _mm512_loadu_si512(x); }
static inline wide wide_load_first(const uint64_t *x, size_t n) { return _mm512_maskz_loadu_epi64(first(n), x); }
static inline void wide_store(uint64_t *x, wide v) { _mm512_storeu_si512(x, v); }
static inline void wide_store_first(uint64_t *x, size_t n, wide v) { _mm512_mask_storeu_epi64(x, first(n), v); }
static inline wide wide_zero(void) { return _mm512_setzero_si512(); }
static inline wide wide_ones(void) { return _mm512_set1_epi64(-1); }
static inline wide wide_and(wide a, wide b) { return _mm512_and_si512(a, b); }
static inline wide wide_xor(wide a, wide b) { return _mm512_xor_si512(a, b); }
static inline wide wide_xor3(wide a, wide b, wide c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
static inline wide wide_majority(wide a, wide b, wide c) { return _mm512_ternarylogic_epi64(a, b, c, 0xE8); }
/* level where it differs from count, else what was before: the majority of level, ~count and before */
static inline wide wide_within(wide level, wide count, wide before) {
    return _mm512_ternarylogic_epi64(level, count, before, 0xB2);
}

/* n channels from c on: planes are the masks under which their weights are added, in bytes. */
UNROLLED void put_floats(const bnn_bdepth_run *r, const float *base, size_t c, size_t n, const uint64_t *plane,
                         const size_t planes, float *y) {
    __m512i pop = _mm512_setzero_si512();
    for (size_t b = 0; b < planes; b++)
        pop = _mm512_mask_add_epi8(pop, plane[b * WORDS], pop, _mm512_set1_epi8((char)(1u << b)));
    const __m128i sixteen[4] = {_mm512_castsi512_si128(pop), _mm512_extracti32x4_epi32(pop, 1),
                                _mm512_extracti32x4_epi32(pop, 2), _mm512_extracti32x4_epi32(pop, 3)};
    UNROLL for (size_t k = 0; k < 4; k++) {
        const size_t i = k * 16;
        if (i >= n) return;
        const __m512 counts = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen[k]));
        const __m512 base_i = _mm512_loadu_ps(base + c + i);
        const __m512 sum = _mm512_fnmadd_ps(counts, _mm512_set1_ps(r->factor), base_i); /* exact */
        const __m512 product = _mm512_mul_ps(sum, _mm512_loadu_ps(r->scale + c + i));
        const __mmask16 some = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
        _mm512_mask_storeu_ps(y + i, some, _mm512_add_ps(product, _mm512_loadu_ps(r->bias + c + i)));
    }
}

#include "bdepth_body.h"

const bnn_bdepth_kernel bnn_bdepth_avx512bw = {.isa = BNN_ISA_avx512bw, .run = run};
