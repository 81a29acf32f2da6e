/* One binary row against all weights, AVX2: pop[n] = popcount(a XOR rows[n]).
 *
 * The weights are read once, as they lie in the file, four rows side by side: three in vectors and one with popcnt,
 * since the scalar ports are idle otherwise. A vector of 256 XORed bits costs 8 operations: the XOR, two look-ups of
 * nibble counts (vpshufb), two masks, a shift and two additions; vpsadbw adds up the byte counts of 31 vectors at most.
 * Four words with popcnt are 12. That makes 36 operations for 128 bytes: 6 cycles (21 bytes a cycle) where six are
 * issued and four of them are vectors (Zen 3), 9 (14) on Ice Lake and Skylake, which runs the 24 of three vectors in 8.
 * Reading the weights from L3 is hardly faster. Measured on a Zen 5 core, 4096 x 4096: 18 bytes a cycle (14 with four
 * rows in vectors; 16 with two rows in popcnt), 28 us where a plain read takes 18. The loop is unrolled twice since, as
 * it is, it takes 28 or 33 us, as the linker happens to place it.
 */
#include "../kernels.h"
#include "unroll.h"

#include <immintrin.h>

enum { STEP = 4, ROWS = 4, BYTE_STEPS = 31 }; /* words in a vector; 31 counts of at most 8 fit a byte */

static inline __m256i load(const uint64_t *words) { return _mm256_loadu_si256((const __m256i *)(const void *)words); }

/* Adds the bits set in each byte. */
static inline __m256i add_counts(__m256i counts, __m256i x) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, /**/
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(x, nibble), high = _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble);
    counts = _mm256_add_epi8(counts, _mm256_shuffle_epi8(table, low));
    return _mm256_add_epi8(counts, _mm256_shuffle_epi8(table, high));
}

static inline __m256i add_bytes(__m256i quads, __m256i bytes) {
    return _mm256_add_epi64(quads, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
}

static inline uint32_t total(__m256i quads) {
    __m128i x = _mm_add_epi64(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    return (uint32_t)(_mm_cvtsi128_si64(x) + _mm_extract_epi64(x, 1));
}

static inline uint64_t pop64(const uint64_t *a, const uint64_t *row) {
    uint64_t x = *a ^ *row;
#ifdef __clang__
    __asm__("" : "+r"(x)); /* clang would gather the words into vectors, where the ports are taken */
#endif
    return (uint64_t)_mm_popcnt_u64(x);
}

static inline uint32_t tail(const uint64_t *a, const uint64_t *row, size_t w, size_t words) {
    uint64_t sum = 0;
    for (; w < words; w++) sum += pop64(a + w, row + w);
    return (uint32_t)sum;
}

static void four_rows(const uint64_t *a, const uint64_t *rows, size_t words, uint32_t *pop) {
    const uint64_t *row0 = rows, *row1 = row0 + words, *row2 = row1 + words, *row3 = row2 + words;
    const __m256i zero = _mm256_setzero_si256();
    __m256i quads0 = zero, quads1 = zero, quads2 = zero;
    uint64_t sum = 0;
    size_t w = 0;
    while (w + STEP <= words) {
        const size_t steps = (words - w) / STEP, end = w + STEP * (steps < BYTE_STEPS ? steps : BYTE_STEPS);
        __m256i bytes0 = zero, bytes1 = zero, bytes2 = zero;
        UNROLL_TWICE for (; w < end; w += STEP) {
            const __m256i x = load(a + w);
            bytes0 = add_counts(bytes0, _mm256_xor_si256(x, load(row0 + w)));
            bytes1 = add_counts(bytes1, _mm256_xor_si256(x, load(row1 + w)));
            bytes2 = add_counts(bytes2, _mm256_xor_si256(x, load(row2 + w)));
            sum += pop64(a + w, row3 + w);
            sum += pop64(a + w + 1, row3 + w + 1);
            sum += pop64(a + w + 2, row3 + w + 2);
            sum += pop64(a + w + 3, row3 + w + 3);
        }
        quads0 = add_bytes(quads0, bytes0);
        quads1 = add_bytes(quads1, bytes1);
        quads2 = add_bytes(quads2, bytes2);
    }
    pop[0] = total(quads0) + tail(a, row0, w, words);
    pop[1] = total(quads1) + tail(a, row1, w, words);
    pop[2] = total(quads2) + tail(a, row2, w, words);
    pop[3] = (uint32_t)sum + tail(a, row3, w, words);
}

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    size_t n = 0;
    if (words >= STEP)
        for (; n + ROWS <= outputs; n += ROWS) four_rows(a, rows + n * words, words, pop + n);
    for (; n < outputs; n++) pop[n] = tail(a, rows + n * words, 0, words);
}

const bnn_bgemv_kernel bnn_bgemv_avx2 = {.isa = BNN_ISA_avx2, .run = run};
