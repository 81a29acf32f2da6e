/* Vectors of one float, for kernels that are written once for all instruction sets: portable C. */
#ifndef BNN_LANES_REF_H
#define BNN_LANES_REF_H

#include "unroll.h"

typedef float lanes;

enum { LANES = 1 };

static inline lanes lanes_load(const float *x) { return *x; }
static inline lanes lanes_load_first(const float *x, size_t n) { return n ? *x : 0.0f; }
static inline void lanes_store(float *x, lanes v) { *x = v; }
static inline void lanes_store_first(float *x, size_t n, lanes v) {
    if (n) *x = v;
}
static inline lanes lanes_all(float x) { return x; }
static inline lanes lanes_add(lanes a, lanes b) { return a + b; }
static inline lanes lanes_sub(lanes a, lanes b) { return a - b; }
static inline lanes lanes_mul(lanes a, lanes b) { return a * b; }
static inline lanes lanes_bend(lanes z, lanes slope) { return z > 0.0f ? z : z * slope; }
static inline lanes lanes_clip(lanes x, lanes low, lanes high) {
    const lanes raised = x < low ? low : x;
    return raised > high ? high : raised;
}

#endif
