/* Vectors of floats for the kernels that are written once for all instruction sets (the ..._body.h):
 * AVX2 with FMA. */
#ifndef BNN_LANES_AVX2_H
#define BNN_LANES_AVX2_H

#include "unroll.h"

#include <immintrin.h>

typedef __m256 lanes;

enum { LANES = 8, WIDE = 2 }; /* WIDE: vectors for each of 4 pixels that the registers hold */

static inline __m256i lanes_first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline lanes lanes_load(const float *x) { return _mm256_loadu_ps(x); }
static inline lanes lanes_load_first(const float *x, size_t n) { return _mm256_maskload_ps(x, lanes_first(n)); }
static inline void lanes_store(float *x, lanes v) { _mm256_storeu_ps(x, v); }
static inline void lanes_store_first(float *x, size_t n, lanes v) { _mm256_maskstore_ps(x, lanes_first(n), v); }
static inline lanes lanes_all(float x) { return _mm256_set1_ps(x); }
static inline lanes lanes_add(lanes a, lanes b) { return _mm256_add_ps(a, b); }
static inline lanes lanes_sub(lanes a, lanes b) { return _mm256_sub_ps(a, b); }
static inline lanes lanes_mul(lanes a, lanes b) { return _mm256_mul_ps(a, b); }
static inline lanes lanes_div(lanes a, lanes b) { return _mm256_div_ps(a, b); }
static inline lanes lanes_sqrt(lanes a) { return _mm256_sqrt_ps(a); }
static inline lanes lanes_fma(lanes a, lanes b, lanes sum) { return _mm256_fmadd_ps(a, b, sum); }
/* x > most || x is NaN ? x : most; maxps gives its second operand where they are equal or one is a NaN */
static inline lanes lanes_max(lanes most, lanes x) {
    return _mm256_blendv_ps(_mm256_max_ps(x, most), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
/* z > 0 ? z : z * slope */
static inline lanes lanes_bend(lanes z, lanes slope) {
    return _mm256_blendv_ps(_mm256_mul_ps(z, slope), z, _mm256_cmp_ps(z, _mm256_setzero_ps(), _CMP_GT_OQ));
}
/* low where x < low, else high where x > high, else x: maxps and minps give their second operand but for that */
static inline lanes lanes_clip(lanes x, lanes low, lanes high) { return _mm256_min_ps(high, _mm256_max_ps(low, x)); }

#endif
