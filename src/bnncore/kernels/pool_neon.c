/* Maximum pooling of +-1 values, NEON: the OR of packed rows.
 *
 * Eight words (four vectors) of every row at a time stay in registers, so each row is read once and the result is
 * written once. Two rows are joined before they meet the others: an OR takes two cycles on some cores, and a chain of
 * one a row would be slower than the loads. Two rows cost nine loads and eight ORs. llvm-mca 19 predicts for them 5.5
 * cycles on neoverse-n1 (bound 5.0), 3.4 on neoverse-v1 (3.3), 4.0 on apple-m1 (3.8) and 9.3 on cortex-a72 (9.0).
 */
#include "../kernels.h"
#include "unroll.h"

#include <arm_neon.h>

enum { STEP = 2, VECTORS = 4 }; /* words in a vector; vectors of every row at a time */

static inline uint64x2_t load_flip(const uint64_t *flip, size_t w) {
    return flip ? vld1q_u64(flip + w) : vdupq_n_u64(0);
}

static void or_rows(const uint64_t *const *src, size_t count, size_t words, const uint64_t *flip, uint64_t *dst) {
    size_t w = 0;
    for (; w + VECTORS * STEP <= words; w += VECTORS * STEP) {
        uint64x2_t any[VECTORS];
        UNROLL for (size_t v = 0; v < VECTORS; v++) any[v] =
            count % 2 ? vld1q_u64(src[0] + w + v * STEP) : vdupq_n_u64(0);
        for (const uint64_t *const *at = src + count % 2; at < src + count; at += 2) {
            const uint64_t *row = at[0] + w, *next = at[1] + w;
            IN_REGISTER(row);
            IN_REGISTER(next);
            UNROLL for (size_t v = 0; v < VECTORS; v++) any[v] =
                vorrq_u64(any[v], vorrq_u64(vld1q_u64(row + v * STEP), vld1q_u64(next + v * STEP)));
        }
        UNROLL for (size_t v = 0; v < VECTORS; v++)
            vst1q_u64(dst + w + v * STEP, veorq_u64(any[v], load_flip(flip, w + v * STEP)));
    }
    for (; w < words; w++) {
        uint64_t a = src[0][w];
        for (size_t i = 1; i < count; i++) a |= src[i][w];
        dst[w] = flip ? a ^ flip[w] : a;
    }
}

const bnn_pool_kernel bnn_pool_neon = {.isa = BNN_ISA_neon, .or_rows = or_rows};
