/* One binary row against all weights, AVX-512 BW: pop[n] = popcount(a XOR rows[n]).
 *
 * The weights are read once, as they lie in the file. Seven vectors of 512 XORed bits pass carry-save adders before
 * their bits are counted: with p the parity of the words before them, two more words x1, x2 give
 *   odd = p ^ x1,  even = p ^ x1 ^ x2,  carry = odd ? ~even : p,  p = even
 * in three ternary operations, the XOR with `a` among them; three such carries are one full adder, and vectors of ones,
 * twos and fours are left. Each is counted by nibbles in seven operations, from a table of counts, of their doubles and
 * of their fourfolds into the same bytes. So seven vectors cost 1 + 9 + 2 + 21 = 33 operations, where counting each
 * would be 56: 16.5 cycles for 448 bytes (27 a cycle) on the two vector ports of Skylake-SP, Cascade Lake and Zen 4,
 * where the AVX2 variant's bound is 16 (24 on Zen 4), and 8.3 (54) on Zen 5. Four rows go side by side.
 *
 * llvm-mca 19 predicts 87 cycles for four rows from gcc 12 (58 from clang 19) on skylake-avx512, whose port 1 it leaves
 * open to 512-bit vectors; 66 are counted. Measured on a Zen 5 core beside the AVX2 variant: 1.2 times as fast from L1
 * and L2 (28 bytes a cycle), and 0.96 to 1.14 times for 2 MiB of weights from L3. Shorter rows leave the adders half
 * empty, and the AVX2 variant, which fills the scalar ports too, takes them.
 */
#include "../kernels.h"
#include "rows_avx512bw.h"

enum {
    SIDE = 4,         /* rows side by side */
    SEVEN = 7 * STEP, /* words that pass the adders together */
    SEVENS = 4        /* of them until byte sums are full: 4 * 8 * (1 + 2 + 4) < 256 */
};

static inline __m512i xor3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
static inline __m512i majority(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi64(a, b, c, 0xE8); }

/* Adds the bits set in each byte, `times` a constant of 1, 2 or 4 as much each. */
UNROLLED __m512i add_bits(__m512i counts, __m512i x, const int times) {
    const __m128i one = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m512i table = _mm512_broadcast_i32x4(_mm_slli_epi16(one, times / 2)), nibble = _mm512_set1_epi8(15);
    const __m512i low = _mm512_and_si512(x, nibble), high = _mm512_and_si512(_mm512_srli_epi16(x, 4), nibble);
    counts = _mm512_add_epi8(counts, _mm512_shuffle_epi8(table, low));
    return _mm512_add_epi8(counts, _mm512_shuffle_epi8(table, high));
}

/* The parities of the words so far, and of two more at w; gives what they carry. */
UNROLLED void add_two(__m512i parity[SIDE], __m512i carry[SIDE], const uint64_t *a, const uint64_t *const row[SIDE],
                      size_t w) {
    const __m512i x = _mm512_loadu_si512(a + w), y = _mm512_loadu_si512(a + w + STEP);
    UNROLL for (int i = 0; i < SIDE; i++) {
        const __m512i odd = xor3(parity[i], x, _mm512_loadu_si512(row[i] + w));
        const __m512i even = xor3(odd, y, _mm512_loadu_si512(row[i] + w + STEP));
        carry[i] = _mm512_ternarylogic_epi64(odd, parity[i], even, 0x5C); /* odd ? ~even : parity */
        parity[i] = even;
    }
}

/* Row by row step by step, so that there is always something to do beside the chain of parities. */
UNROLLED void add_seven(__m512i counts[SIDE], const uint64_t *a, const uint64_t *const row[SIDE], size_t w) {
    const __m512i first = _mm512_loadu_si512(a + w);
    __m512i ones[SIDE], x[SIDE], y[SIDE], z[SIDE];
    UNROLL for (int i = 0; i < SIDE; i++) ones[i] = _mm512_xor_si512(first, _mm512_loadu_si512(row[i] + w));
    add_two(ones, x, a, row, w + STEP);
    add_two(ones, y, a, row, w + 3 * STEP);
    add_two(ones, z, a, row, w + 5 * STEP);
    UNROLL for (int i = 0; i < SIDE; i++) counts[i] = add_bits(counts[i], ones[i], 1);
    UNROLL for (int i = 0; i < SIDE; i++) counts[i] = add_bits(counts[i], xor3(x[i], y[i], z[i]), 2);
    UNROLL for (int i = 0; i < SIDE; i++) counts[i] = add_bits(counts[i], majority(x[i], y[i], z[i]), 4);
}

UNROLLED void add_bytes(__m512i sum[SIDE], const __m512i counts[SIDE]) {
    UNROLL for (int i = 0; i < SIDE; i++) sum[i] =
        _mm512_add_epi64(sum[i], _mm512_sad_epu8(counts[i], _mm512_setzero_si512()));
}

/* The counts of SIDE rows, each in eight parts. */
static void side_by_side(const uint64_t *a, const uint64_t *const row[SIDE], size_t words, __m512i total[SIDE]) {
    __m512i sum[SIDE], counts[SIDE];
    UNROLL for (int i = 0; i < SIDE; i++) sum[i] = _mm512_setzero_si512();
    size_t w = 0;
    for (size_t left; (left = (words - w) / SEVEN) > 0;) {
        const size_t end = w + SEVEN * (left < SEVENS ? left : SEVENS);
        UNROLL for (int i = 0; i < SIDE; i++) counts[i] = _mm512_setzero_si512();
        for (; w < end; w += SEVEN) add_seven(counts, a, row, w);
        add_bytes(sum, counts);
    }
    UNROLL for (int i = 0; i < SIDE; i++) counts[i] = _mm512_setzero_si512();
    for (; w < words; w += STEP) {
        const __mmask8 lanes = first_lanes(words - w < STEP ? words - w : STEP);
        const __m512i x = _mm512_maskz_loadu_epi64(lanes, a + w);
        UNROLL for (int i = 0; i < SIDE; i++) counts[i] =
            add_bits(counts[i], _mm512_xor_si512(x, _mm512_maskz_loadu_epi64(lanes, row[i] + w)), 1);
    }
    add_bytes(sum, counts);
    UNROLL for (int i = 0; i < SIDE; i++) total[i] = sum[i];
}

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    if (words < SEVEN) {
        bnn_bgemv_avx2.run(a, rows, words, outputs, pop);
        return;
    }
    for (size_t n = 0; n < outputs; n += ROWS) {
        const size_t left = outputs - n < ROWS ? outputs - n : ROWS;
        const uint64_t *row[ROWS];
        __m512i sum[ROWS];
        for (size_t i = 0; i < ROWS; i++) row[i] = rows + (n + (i < left ? i : left - 1)) * words;
        for (size_t i = 0; i < ROWS; i += SIDE) side_by_side(a, row + i, words, sum + i);
        _mm512_mask_cvtepi64_storeu_epi32(pop + n, first_lanes(left), add_lanes(sum));
    }
}

const bnn_bgemv_kernel bnn_bgemv_avx512bw = {.isa = BNN_ISA_avx512bw, .run = run};
