/* One binary row against all weights, AVX2: pop[n] = popcount(a XOR rows[n]).
 *
 * The weights are read once, as they lie in the file. A vector of 256 XORed bits costs two table look-ups of nibble
 * counts (vpshufb), two masks, one shift and two additions; vpsadbw adds the byte counts up every 31 vectors at most.
 * Four rows go side by side, so that `a` is loaded once for the four and their chains overlap. Rows shorter than a
 * vector, and the last words of any row, use popcnt.
 */
#include "../kernels.h"

#include <immintrin.h>

enum { STEP = 4, ROWS = 4, BYTE_STEPS = 31 }; /* 31 counts of at most 8 fit a byte */

static inline __m256i load(const uint64_t *words) { return _mm256_loadu_si256((const __m256i *)(const void *)words); }

/* Bits set in each byte. */
static inline __m256i byte_counts(__m256i x) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, /**/
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_and_si256(x, nibble), high = _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
}

static inline uint32_t total(__m256i quads) {
    __m128i x = _mm_add_epi64(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    return (uint32_t)(_mm_cvtsi128_si64(x) + _mm_extract_epi64(x, 1));
}

static inline uint32_t tail(const uint64_t *a, const uint64_t *row, size_t w, size_t words) {
    uint64_t sum = 0;
    for (; w < words; w++) sum += (uint64_t)_mm_popcnt_u64(a[w] ^ row[w]);
    return (uint32_t)sum;
}

static void four_rows(const uint64_t *a, const uint64_t *rows, size_t words, uint32_t *pop) {
    __m256i quads[ROWS] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                           _mm256_setzero_si256()};
    size_t w = 0;
    while (w + STEP <= words) {
        size_t steps = (words - w) / STEP, end = w + STEP * (steps < BYTE_STEPS ? steps : BYTE_STEPS);
        __m256i bytes[ROWS] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                               _mm256_setzero_si256()};
        for (; w < end; w += STEP) {
            __m256i x = load(a + w);
            for (size_t i = 0; i < ROWS; i++)
                bytes[i] = _mm256_add_epi8(bytes[i], byte_counts(_mm256_xor_si256(x, load(rows + i * words + w))));
        }
        for (size_t i = 0; i < ROWS; i++)
            quads[i] = _mm256_add_epi64(quads[i], _mm256_sad_epu8(bytes[i], _mm256_setzero_si256()));
    }
    for (size_t i = 0; i < ROWS; i++) pop[i] = total(quads[i]) + tail(a, rows + i * words, w, words);
}

static uint32_t one_row(const uint64_t *a, const uint64_t *row, size_t words) {
    __m256i quads = _mm256_setzero_si256();
    size_t w = 0;
    for (; w + STEP <= words; w += STEP)
        quads = _mm256_add_epi64(
            quads, _mm256_sad_epu8(byte_counts(_mm256_xor_si256(load(a + w), load(row + w))), _mm256_setzero_si256()));
    return total(quads) + tail(a, row, w, words);
}

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    size_t n = 0;
    if (words < STEP) {
        for (; n < outputs; n++) pop[n] = tail(a, rows + n * words, 0, words);
        return;
    }
    for (; n + ROWS <= outputs; n += ROWS) four_rows(a, rows + n * words, words, pop + n);
    for (; n < outputs; n++) pop[n] = one_row(a, rows + n * words, words);
}

const bnn_bgemv_kernel bnn_bgemv_avx2 = {.isa = BNN_ISA_avx2, .run = run};
