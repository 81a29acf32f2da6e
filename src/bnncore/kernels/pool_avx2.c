/* Maximum pooling of +-1 values, AVX2: the OR of packed rows.
 *
 * Sixteen words (four vectors) of every row at a time stay in registers, so each row is read once and the result is
 * written once. One load with its OR is one instruction and two loads run in a cycle on every AVX2 core, so the bound
 * is 8 words a cycle from L1, and the loads are all there is.
 */
#include "../kernels.h"

#include <immintrin.h>

enum { STEP = 4 }; /* words in a vector */

static inline __m256i load(const uint64_t *words) { return _mm256_loadu_si256((const __m256i *)(const void *)words); }

static inline void store(uint64_t *words, __m256i x) { _mm256_storeu_si256((__m256i *)(void *)words, x); }

static inline __m256i load_flip(const uint64_t *flip, size_t w) {
    return flip ? load(flip + w) : _mm256_setzero_si256();
}

static void or_rows(const uint64_t *const *src, size_t count, size_t words, const uint64_t *flip, uint64_t *dst) {
    size_t w = 0;
    for (; w + 4 * STEP <= words; w += 4 * STEP) {
        const uint64_t *row = src[0] + w;
        __m256i a = load(row), b = load(row + STEP), c = load(row + 2 * STEP), d = load(row + 3 * STEP);
        for (size_t i = 1; i < count; i++) {
            row = src[i] + w;
            a = _mm256_or_si256(a, load(row));
            b = _mm256_or_si256(b, load(row + STEP));
            c = _mm256_or_si256(c, load(row + 2 * STEP));
            d = _mm256_or_si256(d, load(row + 3 * STEP));
        }
        store(dst + w, _mm256_xor_si256(a, load_flip(flip, w)));
        store(dst + w + STEP, _mm256_xor_si256(b, load_flip(flip, w + STEP)));
        store(dst + w + 2 * STEP, _mm256_xor_si256(c, load_flip(flip, w + 2 * STEP)));
        store(dst + w + 3 * STEP, _mm256_xor_si256(d, load_flip(flip, w + 3 * STEP)));
    }
    for (; w + STEP <= words; w += STEP) {
        __m256i a = load(src[0] + w);
        for (size_t i = 1; i < count; i++) a = _mm256_or_si256(a, load(src[i] + w));
        store(dst + w, _mm256_xor_si256(a, load_flip(flip, w)));
    }
    for (; w < words; w++) {
        uint64_t a = src[0][w];
        for (size_t i = 1; i < count; i++) a |= src[i][w];
        dst[w] = flip ? a ^ flip[w] : a;
    }
}

const bnn_pool_kernel bnn_pool_avx2 = {.isa = BNN_ISA_avx2, .or_rows = or_rows};
