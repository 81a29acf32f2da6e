/* Minimal filtering along a row, NEON. The body's vectors are pairs here: the registers hold two of every point, and
 * one instruction loads or stores both.
 *
 * llvm-mca 19 for eight floats and four taps, on the way in from gcc 12 (clang 19), and back from gcc: cortex-a72 102
 * (108), 77; neoverse-n1 47.5 (46.5), 31; neoverse-v1 21.8 (21.3), 14.3; apple-m1 26.4 (28.1), 18.1. With one vector at
 * a time it would be 110 (108), 90; 54 (54), 36; 23 (23), 15.6; 25.4 (34.4), 22.2.
 */
#include "unroll.h"

#include <arm_neon.h>
#include <string.h>

typedef struct lanes {
    float32x4_t low, high;
} lanes;

enum { LANES = 8 };

/* gcc joins two accesses to one where their address is a register; clang does without being told, and better. */
#ifdef __clang__
#define PAIR(pointer) ((void)0)
#else
#define PAIR(pointer) IN_REGISTER(pointer)
#endif

static inline lanes lanes_load(const float *x) {
    PAIR(x);
    return (lanes){vld1q_f32(x), vld1q_f32(x + 4)};
}
static inline lanes lanes_load_first(const float *x, size_t n) {
    float all[LANES] = {0};
    memcpy(all, x, n * sizeof *x);
    return (lanes){vld1q_f32(all), vld1q_f32(all + 4)};
}
static inline void lanes_store(float *x, lanes v) {
    PAIR(x);
    vst1q_f32(x, v.low);
    vst1q_f32(x + 4, v.high);
}
static inline void lanes_store_first(float *x, size_t n, lanes v) {
    float all[LANES];
    vst1q_f32(all, v.low);
    vst1q_f32(all + 4, v.high);
    memcpy(x, all, n * sizeof *x);
}
static inline lanes lanes_all(float x) { return (lanes){vdupq_n_f32(x), vdupq_n_f32(x)}; }
static inline lanes lanes_add(lanes a, lanes b) { return (lanes){vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
static inline lanes lanes_sub(lanes a, lanes b) { return (lanes){vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
static inline lanes lanes_mul(lanes a, lanes b) { return (lanes){vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }

#include "winograd_body.h"

const bnn_winograd_kernel bnn_winograd_neon = {.isa = BNN_ISA_neon, .input = input, .output = output};
