/* Vectors of floats for the kernels that are written once for all instruction sets: AVX-512. */
#ifndef BNN_LANES_AVX512BW_H
#define BNN_LANES_AVX512BW_H

#include "unroll.h"

#include <immintrin.h>

typedef __m512 lanes;

enum { LANES = 16, WIDE = 4 }; /* WIDE: vectors for each of 4 pixels that the registers hold */

static inline __mmask16 lanes_first(size_t n) { return (__mmask16)((1u << n) - 1); }
static inline lanes lanes_load(const float *x) { return _mm512_loadu_ps(x); }
static inline lanes lanes_load_first(const float *x, size_t n) { return _mm512_maskz_loadu_ps(lanes_first(n), x); }
static inline void lanes_store(float *x, lanes v) { _mm512_storeu_ps(x, v); }
static inline void lanes_store_first(float *x, size_t n, lanes v) { _mm512_mask_storeu_ps(x, lanes_first(n), v); }
static inline lanes lanes_all(float x) { return _mm512_set1_ps(x); }
static inline lanes lanes_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
static inline lanes lanes_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
static inline lanes lanes_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
static inline lanes lanes_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
static inline lanes lanes_sqrt(lanes a) { return _mm512_sqrt_ps(a); }
static inline lanes lanes_fma(lanes a, lanes b, lanes sum) { return _mm512_fmadd_ps(a, b, sum); }
/* x > most || x is NaN ? x : most; maxps gives its second operand where they are equal or one is a NaN */
static inline lanes lanes_max(lanes most, lanes x) {
    return _mm512_mask_mov_ps(_mm512_max_ps(x, most), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}
/* z > 0 ? z : z * slope */
static inline lanes lanes_bend(lanes z, lanes slope) {
    return _mm512_mask_mul_ps(z, _mm512_cmp_ps_mask(z, _mm512_setzero_ps(), _CMP_NGT_UQ), z, slope);
}
/* low where x < low, else high where x > high, else x: maxps and minps give their second operand but for that */
static inline lanes lanes_clip(lanes x, lanes low, lanes high) { return _mm512_min_ps(high, _mm512_max_ps(low, x)); }

#endif
