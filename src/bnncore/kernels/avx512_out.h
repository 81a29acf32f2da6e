/* What becomes of the counts of several pixels and 16 output channels: bnn_out of kernels.h, AVX-512. */
#ifndef BNN_AVX512_OUT_H
#define BNN_AVX512_OUT_H

#include "lanes_avx512bw.h"
#include "links.h"

#include <string.h>

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

/* Floats of `pixels` pixels (a constant). */
UNROLLED void out_floats(const bnn_out *out, const out_pixel *p, const size_t pixels, uint32_t n, const __m512i *pop,
                         size_t left) {
    const __m512 scale = _mm512_loadu_ps(out->scale + n), bias = _mm512_loadu_ps(out->bias + n);
    lanes x[8];
    size_t places[8];
    UNROLL for (size_t i = 0; i < pixels; i++) {
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(out_level(p + i, n), _mm512_slli_epi32(pop[i], 1)));
        x[i] = _mm512_add_ps(_mm512_mul_ps(dot, scale), bias);
        places[i] = (size_t)((float *)(void *)p[i].out - (float *)out->data) + n;
    }
    links_do(out->links, out->link_count, (link_place){pixels, 0, left, n, 0, places}, x);
    UNROLL for (size_t i = 0; i < pixels; i++) lanes_store_first((float *)out->data + places[i], left, x[i]);
}

static inline void out_counts(const out_pixel *p, uint32_t n, __m512i pop, __mmask16 exist, __m128i shift) {
    int32_t *at = (int32_t *)(void *)p->out + n;
    const __m512i sum = _mm512_add_epi32(_mm512_maskz_loadu_epi32(exist, at), _mm512_sll_epi32(pop, shift));
    _mm512_mask_storeu_epi32(at, exist, sum);
}

/* Counts of `pixels` pixels (a constant) for channels n to n + 15, of which those below n_end exist. */
UNROLLED void out_put(const bnn_bgemm_run *r, const out_pixel *p, const int pixels, uint32_t n, const __m512i *pop) {
    const bnn_out *out = &r->out;
    const __mmask16 exist = (__mmask16)(r->n_end - n < 16 ? (1u << (r->n_end - n)) - 1 : 0xffff);
    if (out->kind == BNN_OUT_BITS) {
        const uint16_t flip = (uint16_t)(out->flip[n / BNN_BLOCK] >> n % BNN_BLOCK);
        UNROLL for (int i = 0; i < pixels; i++) out_bits(p + i, n, pop[i], flip);
    } else if (out->kind == BNN_OUT_FLOAT) {
        out_floats(out, p, (size_t)pixels, n, pop, r->n_end - n < LANES ? r->n_end - n : LANES);
    } else {
        const __m128i shift = _mm_cvtsi32_si128((int)out->shift);
        UNROLL for (int i = 0; i < pixels; i++) out_counts(p + i, n, pop[i], exist, shift);
    }
}

#endif
