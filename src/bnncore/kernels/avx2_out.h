/* What becomes of finished counts, AVX2: bnn_out of kernels.h, for one pixel and a panel of 32 or 64 output channels.
 */
#ifndef BNN_AVX2_OUT_H
#define BNN_AVX2_OUT_H

#include "../kernels.h"

#include <immintrin.h>

enum { FEW_PIXELS = 64 };

/* Counts of 32 neighbouring channels, 16 bits each. */
typedef struct counts32 {
    __m256i low, high; /* channels 0 to 15, 16 to 31 */
} counts32;

/* A panel's part of bnn_out: channels n to n + width - 1, of which `left` exist. */
typedef struct out_panel {
    const bnn_out *out;
    const int16_t *level; /* of channel n in border class 0 */
    size_t padded;        /* from a class to the next */
    uint32_t n, width, left;
    int few; /* pixels: too few to hide that the next panel's levels come from beyond L2 */
} out_panel;

static inline out_panel out_panel_of(const bnn_bgemm_run *r, uint32_t n, uint32_t width) {
    const uint32_t left = r->n_end - n < width ? r->n_end - n : width;
    const int16_t *level = r->out.kind == BNN_OUT_COUNTS ? NULL : r->out.level + n;
    const int few = (size_t)r->rows * r->cols <= FEW_PIXELS;
    return (out_panel){&r->out, level, bnn_round_up(r->shape->outputs, BNN_BLOCK), n, width, left, few};
}

/* Bit i: count of channel i > level[i]. */
static inline uint32_t counts32_above(counts32 pop, const int16_t *level) {
    const __m256i *at = (const __m256i *)(const void *)level;
    __m256i low = _mm256_cmpgt_epi16(pop.low, _mm256_loadu_si256(at));
    __m256i high = _mm256_cmpgt_epi16(pop.high, _mm256_loadu_si256(at + 1));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8));
}

/* The first `lanes` (1 to 8) of 8 lanes. */
static inline __m256i out_lanes(uint32_t lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Eight dot products of channels i to i + 7; `with` is as bnn_out's, at this pixel. */
static inline void out_put_float(const out_panel *p, float *to, const float *with, __m128i dot, uint32_t i) {
    if (i >= p->left) return;
    const __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(dot));
    const __m256 product = _mm256_mul_ps(x, _mm256_loadu_ps(p->out->scale + p->n + i));
    __m256 sum = _mm256_add_ps(product, _mm256_loadu_ps(p->out->bias + p->n + i));
    if (p->left - i >= 8) {
        if (with) sum = _mm256_add_ps(sum, _mm256_loadu_ps(with + i));
        _mm256_storeu_ps(to + i, sum);
        return;
    }
    const __m256i lanes = out_lanes(p->left - i);
    if (with) sum = _mm256_add_ps(sum, _mm256_maskload_ps(with + i, lanes));
    _mm256_maskstore_ps(to + i, lanes, sum);
}

static inline void out_put_counts(const out_panel *p, int32_t *to, __m128i pop) {
    const __m256i more = _mm256_sll_epi32(_mm256_cvtepu16_epi32(pop), _mm_cvtsi32_si128((int)p->out->shift));
    const __m256i sum = _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(const void *)to), more);
    _mm256_storeu_si256((__m256i *)(void *)to, sum);
}

/* The levels of a panel, two lines. */
static inline void fetch_levels(const int16_t *level) {
    _mm_prefetch((const char *)level, _MM_HINT_T0);
    _mm_prefetch((const char *)(level + BNN_BLOCK / 2), _MM_HINT_T0);
}

/* Counts of pixel (y, x); a panel of width 32 has no second half. */
static inline void out_put(const out_panel *p, uint32_t y, uint32_t x, counts32 a, counts32 b) {
    const bnn_out *out = p->out;
    const size_t at = y * out->row_stride + x * out->stride;
    const int16_t *level = p->level;
    if (out->kind != BNN_OUT_COUNTS) {
        level += ((size_t)out->row_class[y] + out->col_class[x]) * p->padded;
        if (p->few) fetch_levels(level + BNN_BLOCK);
    }
    if (out->kind == BNN_OUT_BITS) {
        const uint64_t high = p->width > 32 ? counts32_above(b, level + 32) : ~UINT32_C(0);
        const uint64_t above = counts32_above(a, level) | high << 32;
        ((uint64_t *)out->data)[at + p->n / BNN_BLOCK] = ~above ^ out->flip[p->n / BNN_BLOCK];
        return;
    }
    const __m256i sixteen[4] = {a.low, a.high, b.low, b.high};
    for (uint32_t i = 0; i < p->width; i += 16) {
        const __m256i pop = sixteen[i / 16];
        if (out->kind == BNN_OUT_FLOAT) { /* level - 2 * pop is a dot product, so 16 bits hold it */
            float *to = (float *)out->data + at + p->n;
            const float *with = out->with ? out->with + at + p->n : NULL;
            const __m256i twice = _mm256_add_epi16(pop, pop);
            const __m256i dot = _mm256_sub_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(level + i)), twice);
            out_put_float(p, to, with, _mm256_castsi256_si128(dot), i);
            out_put_float(p, to, with, _mm256_extracti128_si256(dot, 1), i + 8);
        } else {
            int32_t *to = (int32_t *)out->data + at + p->n + i;
            out_put_counts(p, to, _mm256_castsi256_si128(pop));
            out_put_counts(p, to + 8, _mm256_extracti128_si256(pop, 1));
        }
    }
}

#endif
