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

#endif
