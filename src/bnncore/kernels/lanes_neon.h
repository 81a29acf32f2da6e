/* Vectors of floats for the kernels that are written once for all instruction sets: NEON. */
#ifndef BNN_LANES_NEON_H
#define BNN_LANES_NEON_H

#include "unroll.h"

#include <arm_neon.h>
#include <string.h>

typedef float32x4_t lanes;

enum { LANES = 4, WIDE = 4 }; /* WIDE: vectors for each of 4 pixels that the registers hold */

static inline lanes lanes_load(const float *x) { return vld1q_f32(x); }
static inline lanes lanes_load_first(const float *x, size_t n) {
    float all[LANES] = {0};
    memcpy(all, x, n * sizeof *x);
    return vld1q_f32(all);
}
static inline void lanes_store(float *x, lanes v) { vst1q_f32(x, v); }
static inline void lanes_store_first(float *x, size_t n, lanes v) {
    float all[LANES];
    vst1q_f32(all, v);
    memcpy(x, all, n * sizeof *x);
}
static inline lanes lanes_all(float x) { return vdupq_n_f32(x); }
static inline lanes lanes_add(lanes a, lanes b) { return vaddq_f32(a, b); }
static inline lanes lanes_sub(lanes a, lanes b) { return vsubq_f32(a, b); }
static inline lanes lanes_mul(lanes a, lanes b) { return vmulq_f32(a, b); }
static inline lanes lanes_div(lanes a, lanes b) { return vdivq_f32(a, b); }
static inline lanes lanes_sqrt(lanes a) { return vsqrtq_f32(a); }
static inline lanes lanes_fma(lanes a, lanes b, lanes sum) { return vfmaq_f32(sum, a, b); }
/* x > most || x is NaN ? x : most; vmaxq would choose between zeros by their sign, which the others do not */
static inline lanes lanes_max(lanes most, lanes x) {
    return vbslq_f32(vornq_u32(vcgtq_f32(x, most), vceqq_f32(x, x)), x, most);
}
/* z > 0 ? z : z * slope */
static inline lanes lanes_bend(lanes z, lanes slope) {
    return vbslq_f32(vcgtq_f32(z, vdupq_n_f32(0)), z, vmulq_f32(z, slope));
}
/* low where x < low, else high where x > high, else x */
static inline lanes lanes_clip(lanes x, lanes low, lanes high) {
    const lanes raised = vbslq_f32(vcltq_f32(x, low), low, x);
    return vbslq_f32(vcgtq_f32(raised, high), high, raised);
}

#endif
