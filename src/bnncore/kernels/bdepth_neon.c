/* Depthwise binary convolution, NEON: 128 channels a vector; the idea stands in bdepth_body.h.
 *
 * A bit select is the majority once the XOR of two is there, which the sum needs too, so a full adder is three
 * instructions, and a step of the comparison two. Nine taps to bits: 9 XORs, 15 for five full adders, 4 for two half
 * ones, 8 to compare four planes, and the flip: 37 operations and 14 to 23 loads for 1,152 bit pairs. Bound: 18.5
 * cycles on two vector pipes (Cortex-A72, Neoverse N1), 9.3 on four. llvm-mca 19 for gcc 12 (clang 19): cortex-a72 36.0
 * (35.1), neoverse-n1 20.1 (24.0), neoverse-v1 11.1 (11.9), apple-m1 19.6 (17.4). Not measured: no such core was at
 * hand.
 */
#include "../kernels.h"
#include "neon_bits.h"
#include "unroll.h"

typedef uint64x2_t wide;

enum { WORDS = 2 };

static inline wide wide_load(const uint64_t *x) { return vld1q_u64(x); }
/* a part of two words is one */
static inline wide wide_load_first(const uint64_t *x, size_t n) {
    (void)n;
    return vcombine_u64(vld1_u64(x), vdup_n_u64(0));
}
static inline void wide_store(uint64_t *x, wide v) { vst1q_u64(x, v); }
static inline void wide_store_first(uint64_t *x, size_t n, wide v) {
    (void)n;
    vst1q_lane_u64(x, v, 0);
}
static inline wide wide_zero(void) { return vdupq_n_u64(0); }
static inline wide wide_ones(void) { return vdupq_n_u64(~UINT64_C(0)); }
static inline wide wide_and(wide a, wide b) { return vandq_u64(a, b); }
static inline wide wide_xor(wide a, wide b) { return veorq_u64(a, b); }
static inline wide wide_xor3(wide a, wide b, wide c) { return veorq_u64(veorq_u64(a, b), c); }
/* where a and b differ, c decides */
static inline wide wide_majority(wide a, wide b, wide c) { return vbslq_u64(veorq_u64(a, b), c, a); }
static inline wide wide_within(wide level, wide count, wide before) {
    return vbslq_u64(veorq_u64(level, count), level, before);
}

static inline float32x4_t finish(const bnn_bdepth_run *r, const float *base, size_t c, uint16x4_t pop) {
    const float32x4_t counts = vcvtq_f32_u32(vmovl_u16(pop));
    const float32x4_t sum = vsubq_f32(vld1q_f32(base + c), vmulq_n_f32(counts, r->factor)); /* exact */
    return vaddq_f32(vmulq_f32(sum, vld1q_f32(r->scale + c)), vld1q_f32(r->bias + c));
}

/* n channels from c on, 16 at a time: each plane's bits as bytes of 0 or -1, whose lowest bits are put together from
 * the highest plane down. */
UNROLLED void put_floats(const bnn_bdepth_run *r, const float *base, size_t c, size_t n, const uint64_t *plane,
                         const size_t planes, float *y) {
    const uint8x16_t bit = neon_bit_of_lane();
    uint8x16_t from = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1));
    for (size_t i = 0; i < n; i += 16, from = vaddq_u8(from, vdupq_n_u8(2))) {
        uint8x16_t pop = vdupq_n_u8(0);
        for (size_t b = planes; b-- > 0;) {
            const uint8x16_t word = vcombine_u8(vld1_u8((const uint8_t *)(plane + b * WORDS)), vdup_n_u8(0));
            pop = vsliq_n_u8(vtstq_u8(vqtbl1q_u8(word, from), bit), pop, 1);
        }
        const uint16x8_t low = vmovl_u8(vget_low_u8(pop)), high = vmovl_u8(vget_high_u8(pop));
        const size_t at = c + i, left = n - i;
        const float32x4_t out[4] = {finish(r, base, at, vget_low_u16(low)), finish(r, base, at + 4, vget_high_u16(low)),
                                    finish(r, base, at + 8, vget_low_u16(high)),
                                    finish(r, base, at + 12, vget_high_u16(high))};
        float last[16], *to = left < 16 ? last : y + i;
        for (int k = 0; k < 4; k++) vst1q_f32(to + 4 * k, out[k]);
        for (size_t k = 0; left < 16 && k < left; k++) y[i + k] = last[k];
    }
}

#include "bdepth_body.h"

const bnn_bdepth_kernel bnn_bdepth_neon = {.isa = BNN_ISA_neon, .run = run};
