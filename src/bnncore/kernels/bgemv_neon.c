/* One binary row against all weights, NEON: pop[n] = popcount(a XOR rows[n]).
 *
 * The weights are read once, as they lie in the file. A vector of 128 XORed bits costs EOR, CNT and a byte addition;
 * the byte counts widen every 30 vectors. Four rows go side by side, so that `a` is loaded once for the four and their
 * chains overlap. An odd last word is a vector whose upper half is 0.
 *
 * A step is 512 bit pairs: 12 vector operations and 5 loads. llvm-mca 19 predicts, from gcc 12, 6.0 cycles on
 * neoverse-n1 (its two vector pipes: 6), 3.0 on neoverse-v1 and v2 (3), 4.5 on apple-m1 (three pipes in the model: 4)
 * and 10.0 on cortex-a72 (three instructions a cycle: 8.7), so that cores from N1 on read 11 to 21 bytes of weights a
 * cycle, which is as fast as L2 gives them.
 */
#include "../kernels.h"

#include <arm_neon.h>

enum { STEP = 2, ROWS = 4, BYTE_STEPS = 30 }; /* 31 counts of at most 8 fit a byte; one is left for the odd word */

static inline uint8x16_t load(const uint64_t *words) { return vreinterpretq_u8_u64(vld1q_u64(words)); }

static inline uint8x16_t load_one(const uint64_t *word) {
    return vreinterpretq_u8_u64(vcombine_u64(vld1_u64(word), vdup_n_u64(0)));
}

static inline uint8x16_t add_count(uint8x16_t bytes, uint8x16_t a, uint8x16_t b) {
    return vaddq_u8(bytes, vcntq_u8(veorq_u8(a, b)));
}

static inline uint32x4_t widen(uint32x4_t sum, uint8x16_t bytes) { return vpadalq_u16(sum, vpaddlq_u8(bytes)); }

static void four_rows(const uint64_t *a, const uint64_t *rows, size_t words, uint32_t *pop) {
    const uint64_t *r0 = rows, *r1 = rows + words, *r2 = rows + 2 * words, *r3 = rows + 3 * words;
    uint32x4_t s0 = vdupq_n_u32(0), s1 = s0, s2 = s0, s3 = s0;
    for (size_t w = 0; w < words;) {
        const size_t steps = (words - w) / STEP, end = w + STEP * (steps < BYTE_STEPS ? steps : BYTE_STEPS);
        uint8x16_t b0 = vdupq_n_u8(0), b1 = b0, b2 = b0, b3 = b0;
        for (; w < end; w += STEP) {
            const uint8x16_t x = load(a + w);
            b0 = add_count(b0, x, load(r0 + w));
            b1 = add_count(b1, x, load(r1 + w));
            b2 = add_count(b2, x, load(r2 + w));
            b3 = add_count(b3, x, load(r3 + w));
        }
        if (words - w == 1) {
            const uint8x16_t x = load_one(a + w);
            b0 = add_count(b0, x, load_one(r0 + w));
            b1 = add_count(b1, x, load_one(r1 + w));
            b2 = add_count(b2, x, load_one(r2 + w));
            b3 = add_count(b3, x, load_one(r3 + w));
            w++;
        }
        s0 = widen(s0, b0), s1 = widen(s1, b1), s2 = widen(s2, b2), s3 = widen(s3, b3);
    }
    vst1q_u32(pop, vpaddq_u32(vpaddq_u32(s0, s1), vpaddq_u32(s2, s3)));
}

static uint32_t one_row(const uint64_t *a, const uint64_t *row, size_t words) {
    uint32x4_t sum = vdupq_n_u32(0);
    size_t w = 0;
    for (; w + STEP <= words; w += STEP) sum = widen(sum, add_count(vdupq_n_u8(0), load(a + w), load(row + w)));
    if (w < words) sum = widen(sum, add_count(vdupq_n_u8(0), load_one(a + w), load_one(row + w)));
    return vaddvq_u32(sum);
}

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    size_t n = 0;
    for (; n + ROWS <= outputs; n += ROWS) four_rows(a, rows + n * words, words, pop + n);
    for (; n < outputs; n++) pop[n] = one_row(a, rows + n * words, words);
}

const bnn_bgemv_kernel bnn_bgemv_neon = {.isa = BNN_ISA_neon, .run = run};
