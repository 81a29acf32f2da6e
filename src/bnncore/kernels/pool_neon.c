/* Maximum pooling of +-1 values, NEON: the OR of packed rows.
 *
 * Eight words (four vectors) of every row at a time stay in registers, so each row is read once and the result is
 * written once. A row costs four loads and four ORs, and the loads are all there is. llvm-mca 19 predicts for them
 * 2.9 cycles on neoverse-n1 (bound 2.5), 2.2 on neoverse-v1 and v2 (1.7), 2.5 on apple-m1 (2.5) and 5.1 on cortex-a72
 * (5.0).
 */
#include "../kernels.h"

#include <arm_neon.h>

enum { STEP = 2 }; /* words in a vector */

static inline uint64x2_t load_flip(const uint64_t *flip, size_t w) {
    return flip ? vld1q_u64(flip + w) : vdupq_n_u64(0);
}

static void or_rows(const uint64_t *const *src, size_t count, size_t words, const uint64_t *flip, uint64_t *dst) {
    size_t w = 0;
    for (; w + 4 * STEP <= words; w += 4 * STEP) {
        const uint64_t *row = src[0] + w;
        uint64x2_t a = vld1q_u64(row), b = vld1q_u64(row + STEP);
        uint64x2_t c = vld1q_u64(row + 2 * STEP), d = vld1q_u64(row + 3 * STEP);
        for (size_t i = 1; i < count; i++) {
            row = src[i] + w;
            a = vorrq_u64(a, vld1q_u64(row));
            b = vorrq_u64(b, vld1q_u64(row + STEP));
            c = vorrq_u64(c, vld1q_u64(row + 2 * STEP));
            d = vorrq_u64(d, vld1q_u64(row + 3 * STEP));
        }
        vst1q_u64(dst + w, veorq_u64(a, load_flip(flip, w)));
        vst1q_u64(dst + w + STEP, veorq_u64(b, load_flip(flip, w + STEP)));
        vst1q_u64(dst + w + 2 * STEP, veorq_u64(c, load_flip(flip, w + 2 * STEP)));
        vst1q_u64(dst + w + 3 * STEP, veorq_u64(d, load_flip(flip, w + 3 * STEP)));
    }
    for (; w < words; w++) {
        uint64_t a = src[0][w];
        for (size_t i = 1; i < count; i++) a |= src[i][w];
        dst[w] = flip ? a ^ flip[w] : a;
    }
}

const bnn_pool_kernel bnn_pool_neon = {.isa = BNN_ISA_neon, .or_rows = or_rows};
