/* One binary row against all weights, AVX2: pop[n] = popcount(a XOR rows[n]).
 *
 * The weights are read once, as they lie in the file.
 *
 * Rows of 64 words or more pass carry-save adders, 16 vectors of 256 bits at a time: of 15 of them planes of ones,
 * twos, fours and eights are left, which are stored, as is the last vector, and counted with popcnt once up to 16 other
 * blocks have been added up; popcnts that waited for vectors would hold up what is behind them. Adders take two vectors
 * as the first and what differs between them, and give such pairs: two adders are 8 operations then (E. Demenkov et
 * al., 2010), and a second vector is XORed from memory. A block is 67 vector operations, 5 stores, 9 loads, 20 popcnts,
 * 20 additions and the loop, 129 instructions from gcc 12 for 512 bytes: 22 cycles (24 bytes a cycle) where six are
 * issued and four of them are vectors (Zen 3), 29 (18) on Ice Lake, whose popcnt takes one of the vectors' three ports,
 * and 32 (16) on Skylake, which issues four.
 *
 * Shorter rows, and few of them, go four side by side: three in vectors and one with popcnt, since the scalar ports are
 * idle otherwise. A vector of 256 XORed bits costs 8 operations: the XOR, two look-ups of nibble counts (vpshufb), two
 * masks, a shift and two additions; vpsadbw adds up the byte counts of 31 vectors at most. Four words with popcnt are
 * 12. That makes 36 operations for 128 bytes: 6 cycles (21 bytes a cycle) on Zen 3, 9 (14) on Ice Lake and Skylake,
 * which runs the 24 of three vectors in 8. The loop is unrolled twice since, as it is, it takes 28 or 33 us for
 * 4096 x 4096, as the linker happens to place it.
 *
 * Measured on a Zen 5 core, medians of calls in turn for 4096 x 4096, whose weights come from L3: 24.5 us with adders,
 * 28.3 four side by side, and 18.2 for a plain read; from L2 adders run at 23 bytes a cycle. It is 34 us where planes
 * are counted at once, 27 to 29 in the next block, 31 with seven vectors in the adders, and 28 with two rows at once,
 * which load `a` once, since L3 gives two streams more slowly.
 */
#include "../kernels.h"
#include "unroll.h"

#include <immintrin.h>
#include <string.h>

enum { STEP = 4, ROWS = 4, BYTE_STEPS = 31 }; /* words in a vector; 31 counts of at most 8 fit a byte */
enum {
    BLOCK = 16 * STEP, /* words */
    PLANES = 5,
    PASS = 16,      /* blocks whose planes are in memory, beside those of the pass before */
    LEAST_ROWS = 64 /* fewer are done sooner without passes */
};

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

APART void by_fours(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    size_t n = 0;
    if (words >= STEP)
        for (; n + ROWS <= outputs; n += ROWS) four_rows(a, rows + n * words, words, pop + n);
    for (; n < outputs; n++) pop[n] = tail(a, rows + n * words, 0, words);
}

/* ---- blocks ---- */

/* Keeps vectors and scalars in the order that they are written in; gcc would bunch them. */
#if defined(__GNUC__)
#define IN_ORDER(x, registers) __asm__ volatile("" : "+" registers(x))
#else
#define IN_ORDER(x, registers) (void)(x)
#endif

/* gcc would clear the register first, for older CPUs on which popcnt waits for it; clang would do as in pop64. */
static inline uint64_t pop_at(const uint64_t *word) {
#if defined(__GNUC__)
    uint64_t count;
    __asm__ volatile("popcnt %1, %0" : "=r"(count) : "m"(*word) : "cc");
    return count;
#else
    return (uint64_t)_mm_popcnt_u64(*word);
#endif
}

/* Counts half a plane. */
UNROLLED uint64_t add_half(uint64_t sum, const uint64_t *half) {
    sum += pop_at(half) + pop_at(half + 1);
    IN_ORDER(sum, "r");
    return sum;
}

/* Two vectors of bits: the first, and which bits differ. */
typedef struct pair {
    __m256i first, differ;
} pair;

static inline __m256i xor_at(const uint64_t *a, const uint64_t *row, size_t vector) {
    return _mm256_xor_si256(load(a + STEP * vector), load(row + STEP * vector));
}

/* The second vector is XORed from memory; gcc would load it. */
static inline pair pair_at(const uint64_t *a, const uint64_t *row, size_t vector) {
    pair p = {.first = xor_at(a, row, vector)};
    p.differ = _mm256_xor_si256(p.first, load(row + STEP * (vector + 1)));
    IN_ORDER(p.differ, "x");
    p.differ = _mm256_xor_si256(p.differ, load(a + STEP * (vector + 1)));
    return p;
}

/* Adds two vectors to a plane; gives the carry: where they differ the plane, else the first. */
static inline __m256i add_pair(__m256i *sum, pair p) {
    const __m256i other = _mm256_andnot_si256(p.differ, _mm256_xor_si256(*sum, p.first));
    __m256i carry = _mm256_xor_si256(*sum, other);
    *sum = _mm256_xor_si256(*sum, p.differ);
    IN_ORDER(*sum, "x");
    IN_ORDER(carry, "x");
    return carry;
}

/* The same with two pairs; gives the pair of their carries. */
static inline pair add_pairs(__m256i *sum, pair p, pair q) {
    const __m256i either = _mm256_or_si256(_mm256_xor_si256(*sum, p.first), p.differ);
    const __m256i middle = _mm256_xor_si256(*sum, p.differ);
    const __m256i other = _mm256_andnot_si256(q.differ, _mm256_xor_si256(middle, q.first));
    pair carries = {_mm256_xor_si256(middle, either), _mm256_xor_si256(either, other)};
    *sum = _mm256_xor_si256(middle, q.differ);
    IN_ORDER(*sum, "x");
    IN_ORDER(carries.first, "x");
    IN_ORDER(carries.differ, "x");
    return carries;
}

/* The planes of ones, twos, fours and eights of 15 vectors, and the last vector as it is. */
typedef uint64_t planes[PLANES][STEP];

static inline void store(uint64_t plane[STEP], __m256i x) { _mm256_storeu_si256((__m256i *)(void *)plane, x); }

/* Adds up a block and, in between, counts another's planes. */
UNROLLED uint32_t add_block(const uint64_t *a, const uint64_t *row, planes to, planes from) {
    __m256i ones = xor_at(a, row, 0);
    __m256i twos = add_pair(&ones, pair_at(a, row, 1));
    uint64_t count = add_half(0, from[3]);
    count = 2 * add_half(count, from[3] + 2);
    const pair two0 = add_pairs(&ones, pair_at(a, row, 3), pair_at(a, row, 5));
    count = add_half(count, from[2]);
    __m256i fours = add_pair(&twos, two0);
    count = 2 * add_half(count, from[2] + 2);
    const pair two1 = add_pairs(&ones, pair_at(a, row, 7), pair_at(a, row, 9));
    count = add_half(count, from[1]);
    count = 2 * add_half(count, from[1] + 2);
    const pair two2 = add_pairs(&ones, pair_at(a, row, 11), pair_at(a, row, 13));
    store(to[0], ones);
    count = add_half(count, from[0]);
    count = add_half(count, from[0] + 2);
    const pair four = add_pairs(&twos, two1, two2);
    store(to[1], twos);
    count = add_half(count, from[4]);
    store(to[3], add_pair(&fours, four));
    store(to[2], fours);
    count = add_half(count, from[4] + 2);
    store(to[4], xor_at(a, row, 15));
    return (uint32_t)count;
}

static uint32_t count_block(planes from) {
    uint64_t count = 0;
    for (int i = 3; i >= 0; i--) count = add_half(add_half(2 * count, from[i]), from[i] + 2);
    return (uint32_t)add_half(add_half(count, from[4]), from[4] + 2);
}

/* Adds up `count` rows of whole blocks, and counts the planes of as many others into pop. */
UNROLLED void pass(const uint64_t *a, const uint64_t *rows, size_t words, size_t whole, size_t count, planes *to,
                   planes *from, uint32_t *pop) {
    for (size_t i = 0; i < count; i++, rows += words) {
        uint32_t sum = 0;
        for (size_t w = 0; w < whole; w += BLOCK) sum += add_block(a + w, rows + w, *to++, *from++);
        pop[i] += sum;
    }
}

/* Rows of a block. */
APART void short_pass(const uint64_t *a, const uint64_t *rows, size_t words, planes *to, planes *from, uint32_t *pop) {
    pass(a, rows, words, BLOCK, PASS, to, from, pop);
}

APART void long_pass(const uint64_t *a, const uint64_t *rows, size_t words, size_t whole, size_t count, planes *to,
                     planes *from, uint32_t *pop) {
    pass(a, rows, words, whole, count, to, from, pop);
}

/* The rows that fill passes; returns how many. The first pass counts nothing, and the last one's planes are left. */
static size_t by_blocks(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    _Alignas(BNN_ALIGN) planes sums[2][PASS];
    const size_t blocks = words / BLOCK, whole = blocks * BLOCK, count = PASS / blocks;
    uint32_t none[PASS] = {0}, *before = none;
    size_t n = 0, now = 0;
    memset(sums[1], 0, sizeof sums[1]);
    memset(pop, 0, outputs * sizeof *pop);
    for (; n + count <= outputs; n += count, now ^= 1) {
        const uint64_t *first = rows + n * words;
        if (blocks == 1)
            short_pass(a, first, words, sums[now], sums[now ^ 1], before);
        else
            long_pass(a, first, words, whole, count, sums[now], sums[now ^ 1], before);
        before = pop + n;
        for (size_t i = 0; whole < words && i < count; i++) before[i] += tail(a, first + i * words, whole, words);
    }
    for (size_t i = 0; i < count * blocks; i++) before[i / blocks] += count_block(sums[now ^ 1][i]);
    return n;
}

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    const size_t blocks = words / BLOCK, rest = words % BLOCK;
    size_t n = 0;
    if (blocks > 0 && blocks <= PASS && 8 * rest <= words && outputs >= LEAST_ROWS)
        n = by_blocks(a, rows, words, outputs, pop);
    by_fours(a, rows + n * words, words, outputs - n, pop + n);
}

const bnn_bgemv_kernel bnn_bgemv_avx2 = {.isa = BNN_ISA_avx2, .run = run};
