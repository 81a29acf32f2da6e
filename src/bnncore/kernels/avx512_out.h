/* What becomes of the counts of several pixels and 16 output channels: bnn_out of kernels.h, AVX-512. */
#ifndef BNN_AVX512_OUT_H
#define BNN_AVX512_OUT_H

#include "../kernels.h"

#include <immintrin.h>
#include <string.h>

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 8") /* a loop that gcc leaves keeps its vectors in memory */
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

typedef struct out_pixel {
    const unsigned char *cells;
    unsigned char *out;   /* channel 0 */
    const int16_t *level; /* its border class's row; NULL for counts */
} out_pixel;

static inline __m512i out_level(const out_pixel *p, uint32_t n) {
    return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p->level + n)));
}

static inline void out_bits(const out_pixel *p, uint32_t n, __m512i pop, uint16_t flip) {
    const uint16_t bits = (uint16_t)(_mm512_cmple_epi32_mask(pop, out_level(p, n)) ^ flip);
    memcpy(p->out + n / 8, &bits, sizeof bits);
}

static inline void out_floats(const bnn_out *out, const out_pixel *p, uint32_t n, __m512i pop, __mmask16 lanes,
                              __m512 scale, __m512 bias) {
    const __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(out_level(p, n), _mm512_slli_epi32(pop, 1)));
    float *to = (float *)(void *)p->out + n;
    __m512 sum = _mm512_add_ps(_mm512_mul_ps(dot, scale), bias);
    if (out->with)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, out->with + (to - (const float *)out->data)));
    _mm512_mask_storeu_ps(to, lanes, sum);
}

static inline void out_counts(const out_pixel *p, uint32_t n, __m512i pop, __mmask16 lanes, __m128i shift) {
    int32_t *at = (int32_t *)(void *)p->out + n;
    const __m512i sum = _mm512_add_epi32(_mm512_maskz_loadu_epi32(lanes, at), _mm512_sll_epi32(pop, shift));
    _mm512_mask_storeu_epi32(at, lanes, sum);
}

/* Counts of `pixels` pixels (a constant) for channels n to n + 15, of which those below n_end exist. */
UNROLLED void out_put(const bnn_bgemm_run *r, const out_pixel *p, const int pixels, uint32_t n, const __m512i *pop) {
    const bnn_out *out = &r->out;
    const __mmask16 lanes = (__mmask16)(r->n_end - n < 16 ? (1u << (r->n_end - n)) - 1 : 0xffff);
    if (out->kind == BNN_OUT_BITS) {
        const uint16_t flip = (uint16_t)(out->flip[n / BNN_BLOCK] >> n % BNN_BLOCK);
        UNROLL for (int i = 0; i < pixels; i++) out_bits(p + i, n, pop[i], flip);
    } else if (out->kind == BNN_OUT_FLOAT) {
        const __m512 scale = _mm512_loadu_ps(out->scale + n), bias = _mm512_loadu_ps(out->bias + n);
        UNROLL for (int i = 0; i < pixels; i++) out_floats(out, p + i, n, pop[i], lanes, scale, bias);
    } else {
        const __m128i shift = _mm_cvtsi32_si128((int)out->shift);
        UNROLL for (int i = 0; i < pixels; i++) out_counts(p + i, n, pop[i], lanes, shift);
    }
}

#endif
