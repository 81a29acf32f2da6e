/* int32 sums to bits or floats, NEON.
 *
 * bits: 16 comparisons of a word's 64 outputs give masks, which 8 and 4 UZP1 narrow to bytes and an AND and three
 * pairwise additions to bits: 36 operations and 32 loads. floats: convert, multiply, add, apart, as each is rounded; 12
 * operations, 12 loads and 4 stores for 16 outputs. llvm-mca 19, cycles from gcc 12 and clang 19, and times the bound:
 *
 *                    bits, 64 outputs           floats, 16 outputs
 *     cortex-a72     42.1, 47.1 (1.03, 1.16)    19.1, 26.1 (1.14, 1.17)
 *     neoverse-n1    19.5, 18.6 (1.00, 1.00)    10.0, 14.0 (1.00, 1.17)
 *     neoverse-v1    12.1, 11.4 (1.00, 1.01)    6.0, 6.0 (1.13, 1.13)
 *     apple-m1       14.0, 14.1 (1.04, 1.03)    8.0, 10.0 (1.00, 1.00)
 */
#include "../kernels.h"
#include "neon_bits.h"
#include "unroll.h"

enum { LANES = 4, BYTES = 16, STEP = 4 * LANES };

static inline uint16x8_t reached(const int32_t *acc, const int32_t *least) {
    const uint32x4_t a = vcgeq_s32(vld1q_s32(acc), vld1q_s32(least));
    const uint32x4_t b = vcgeq_s32(vld1q_s32(acc + LANES), vld1q_s32(least + LANES));
    return vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
}

static inline uint8x16_t reached_16(const int32_t *acc, const int32_t *least) {
    return vuzp1q_u8(vreinterpretq_u8_u16(reached(acc, least)),
                     vreinterpretq_u8_u16(reached(acc + 2 * LANES, least + 2 * LANES)));
}

static inline uint64_t bits64(const int32_t *acc, const int32_t *least) {
    return neon_bits_64(reached_16(acc, least), reached_16(acc + BYTES, least + BYTES),
                        reached_16(acc + 2 * BYTES, least + 2 * BYTES), reached_16(acc + 3 * BYTES, least + 3 * BYTES));
}

#include "settle_body.h"

UNROLLED void floats_at(const int32_t *acc, const float *scale, const float *bias, const size_t vectors, float *y) {
    UNROLL for (size_t v = 0; v < vectors * LANES; v += LANES) {
        const float32x4_t product = vmulq_f32(vcvtq_f32_s32(vld1q_s32(acc + v)), vld1q_f32(scale + v));
        vst1q_f32(y + v, vaddq_f32(product, vld1q_f32(bias + v)));
    }
}

static void floats(const int32_t *acc, size_t pixels, size_t n, const float *scale, const float *bias, float *y) {
    for (size_t p = 0; p < pixels; p++, acc += bnn_round_up(n, BNN_BLOCK), y += n) {
        size_t i = 0;
        for (; i + STEP <= n; i += STEP) floats_at(acc + i, scale + i, bias + i, STEP / LANES, y + i);
        for (; i + LANES <= n; i += LANES) floats_at(acc + i, scale + i, bias + i, 1, y + i);
        for (; i < n; i++) {
            float product = (float)acc[i] * scale[i];
            y[i] = product + bias[i];
        }
    }
}

const bnn_settle_kernel bnn_settle_neon = {.isa = BNN_ISA_neon, .bits = bits, .floats = floats};
