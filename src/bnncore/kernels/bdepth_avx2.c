/* Depthwise binary convolution, AVX2: 256 channels a vector; the idea stands in bdepth_body.h.
 *
 * A full adder is five operations, since AVX2 has neither a majority nor an XOR of three. Nine taps to bits: 9 XORs, 25
 * for five full adders, 4 for two half ones, 16 to compare four planes, and the flip: 55 operations and 18 to 23 loads
 * for 2,304 bit pairs. Bound: 18.3 cycles on three vector ports (Skylake to Alder Lake), 14.7 on Zen's four. llvm-mca
 * 19 for gcc 12 (clang 19): skylake 23.1 (29.1), icelake-server 23.1 (29.1), alderlake 20.1 (23.4), znver3 and
 * znver4 19.1 (23.1). Measured on a Zen 5 core: 16.5 (139 bit pairs a cycle), and 67 for 25 taps; to floats 42 cycles a
 * word, most of which turn counts into lanes.
 */
#include "../kernels.h"
#include "unroll.h"

#include <immintrin.h>
#include <string.h>

typedef __m256i wide;

enum { WORDS = 4 };

static inline __m256i first(size_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}
static inline wide wide_load(const uint64_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }
static inline wide wide_load_first(const uint64_t *x, size_t n) {
    return _mm256_maskload_epi64((const long long *)(const void *)x, first(n));
}
static inline void wide_store(uint64_t *x, wide v) { _mm256_storeu_si256((__m256i *)(void *)x, v); }
static inline void wide_store_first(uint64_t *x, size_t n, wide v) {
    _mm256_maskstore_epi64((long long *)(void *)x, first(n), v);
}
static inline wide wide_zero(void) { return _mm256_setzero_si256(); }
static inline wide wide_ones(void) { return _mm256_set1_epi64x(-1); }
static inline wide wide_and(wide a, wide b) { return _mm256_and_si256(a, b); }
static inline wide wide_xor(wide a, wide b) { return _mm256_xor_si256(a, b); }
static inline wide wide_xor3(wide a, wide b, wide c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
static inline wide wide_majority(wide a, wide b, wide c) {
    return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(_mm256_xor_si256(a, b), c));
}
/* level & ~count, or before where they agree */
static inline wide wide_within(wide level, wide count, wide before) {
    return _mm256_or_si256(_mm256_andnot_si256(count, level),
                           _mm256_andnot_si256(_mm256_andnot_si256(level, count), before));
}

/* Eight channels from their counts, of which n exist. */
UNROLLED void put_eight(const bnn_bdepth_run *r, const float *base, size_t c, size_t n, __m128i pop, float *y) {
    const __m256 counts = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(pop));
    const __m256 sum = _mm256_fnmadd_ps(counts, _mm256_set1_ps(r->factor), _mm256_loadu_ps(base + c)); /* exact */
    const __m256 product = _mm256_mul_ps(sum, _mm256_loadu_ps(r->scale + c));
    const __m256 out = _mm256_add_ps(product, _mm256_loadu_ps(r->bias + c));
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    if (n >= 8)
        _mm256_storeu_ps(y, out);
    else
        _mm256_maskstore_ps(y, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane), out);
}

/* n channels from c on, 32 at a time: each plane's bits as bytes of 0 or -1, added from the highest plane down. */
UNROLLED void put_floats(const bnn_bdepth_run *r, const float *base, size_t c, size_t n, const uint64_t *plane,
                         const size_t planes, float *y) {
    const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    UNROLL for (size_t i = 0; i < BNN_WORD_BITS; i += 32) {
        if (i >= n) return;
        __m256i pop = _mm256_setzero_si256();
        for (size_t b = planes; b-- > 0;) {
            int32_t some;
            memcpy(&some, (const unsigned char *)(plane + b * WORDS) + i / 8, sizeof some);
            const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(some), spread);
            const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
            pop = _mm256_sub_epi8(_mm256_add_epi8(pop, pop), set);
        }
        const __m128i low = _mm256_castsi256_si128(pop), high = _mm256_extracti128_si256(pop, 1);
        const __m128i eight[4] = {low, _mm_srli_si128(low, 8), high, _mm_srli_si128(high, 8)};
        UNROLL for (size_t k = 0; k < 4; k++) if (i + 8 * k < n)
            put_eight(r, base, c + i + 8 * k, n - i - 8 * k, eight[k], y + i + 8 * k);
    }
}

#include "bdepth_body.h"

const bnn_bdepth_kernel bnn_bdepth_avx2 = {.isa = BNN_ISA_avx2, .run = run};
