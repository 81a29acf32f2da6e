/* What becomes of finished counts, AVX2: bnn_out of kernels.h, for one pixel and a panel of 32 or 64 output channels.
 */
#ifndef BNN_AVX2_OUT_H
#define BNN_AVX2_OUT_H

#include "lanes_avx2.h"
#include "links.h"

#if defined(__GNUC__)
#define APART static __attribute__((noinline)) /* so that the loop over bits keeps its registers */
#else
#define APART static __declspec(noinline)
#endif

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
static inline uint32_t counts32_above(const counts32 *pop, const int16_t *level) {
    const __m256i *at = (const __m256i *)(const void *)level;
    __m256i low = _mm256_cmpgt_epi16(pop->low, _mm256_loadu_si256(at));
    __m256i high = _mm256_cmpgt_epi16(pop->high, _mm256_loadu_si256(at + 1));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8));
}

/* A pixel whose numbers are written: its place in the image, its levels, and its counts of channels 0 to 31 of the
 * panel, behind which those of its mate stand before its other 32. */
typedef struct out_pixel {
    size_t at;
    const int16_t *level;
    const uint16_t *pop;
} out_pixel;

static inline __m256i out_load(const void *at) { return _mm256_loadu_si256((const __m256i *)at); }

/* The counts of 16 channels, from number c of the panel on. */
static inline __m256i out_pop(const out_pixel *at, size_t c) { return out_load(at->pop + c / 32 * 64 + c % 32); }

/* level - 2 * pop: a dot product, so 16 bits hold it. */
static inline __m256i out_dot(const out_pixel *at, size_t c) {
    const __m256i pop = out_pop(at, c);
    return _mm256_sub_epi16(out_load(at->level + c), _mm256_add_epi16(pop, pop));
}

/* (float)dot * scale + bias of 8 channels from n on */
static inline lanes out_scaled(const bnn_out *out, __m128i dot, size_t n) {
    const lanes product = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(dot)), lanes_load(out->scale + n));
    return _mm256_add_ps(product, lanes_load(out->bias + n));
}

/* Floats of 8 * vectors (a constant) channels of some pixels, all of which exist. */
UNROLLED void out_floats(const out_panel *p, const out_pixel *at, size_t count, const size_t vectors) {
    const bnn_out *out = p->out;
    for (; count; count--, at++) {
        lanes x[8];
        UNROLL for (size_t v = 0; v < vectors; v += 2) {
            const __m256i dot = out_dot(at, v * LANES);
            x[v] = out_scaled(out, _mm256_castsi256_si128(dot), p->n + v * LANES);
            x[v + 1] = out_scaled(out, _mm256_extracti128_si256(dot, 1), p->n + (v + 1) * LANES);
        }
        links_do(out->links, out->link_count, (link_place){vectors, 1, LANES, p->n, at->at, NULL}, x);
        UNROLL for (size_t v = 0; v < vectors; v++) lanes_store((float *)out->data + at->at + v * LANES, x[v]);
    }
}

/* The same for the first `left` channels, whatever their number. */
static inline void out_floats_some(const out_panel *p, const out_pixel *at, size_t count) {
    const bnn_out *out = p->out;
    for (; count; count--, at++)
        for (size_t c = 0; c < p->left; c += LANES) {
            const size_t some = p->left - c < LANES ? p->left - c : LANES;
            const __m256i dot = out_dot(at, c / 16 * 16);
            lanes x =
                out_scaled(out, c % 16 ? _mm256_extracti128_si256(dot, 1) : _mm256_castsi256_si128(dot), p->n + c);
            links_do(out->links, out->link_count, (link_place){1, 0, some, p->n + c, at->at + c, NULL}, &x);
            lanes_store_first((float *)out->data + at->at + c, some, x);
        }
}

/* Adds the counts of some pixels. */
static inline void out_counts(const out_panel *p, const out_pixel *at, size_t count) {
    const __m128i shift = _mm_cvtsi32_si128((int)p->out->shift);
    for (; count; count--, at++)
        for (size_t c = 0; c < p->width; c += LANES) {
            const __m256i pop = out_pop(at, c / 16 * 16);
            const __m128i half = c % 16 ? _mm256_extracti128_si256(pop, 1) : _mm256_castsi256_si128(pop);
            int32_t *to = (int32_t *)p->out->data + at->at + c;
            const __m256i more = _mm256_sll_epi32(_mm256_cvtepu16_epi32(half), shift);
            _mm256_storeu_si256((__m256i *)(void *)to, _mm256_add_epi32(out_load(to), more));
        }
}

/* The levels of a panel, two lines. */
static inline void fetch_levels(const int16_t *level) {
    _mm_prefetch((const char *)level, _MM_HINT_T0);
    _mm_prefetch((const char *)(level + BNN_BLOCK / 2), _MM_HINT_T0);
}

/* Where pixel (y, x) has its levels. */
static inline const int16_t *out_level(const out_panel *p, uint32_t y, uint32_t x) {
    const int16_t *level = p->level + ((size_t)p->out->row_class[y] + p->out->col_class[x]) * p->padded;
    if (p->few) fetch_levels(level + BNN_BLOCK);
    return level;
}

/* Bits of pixel (y, x) from the counts of the panel's two halves; one of width 32 has just the first. */
static inline void out_put_bits(const out_panel *p, uint32_t y, uint32_t x, const counts32 *a, const counts32 *b) {
    const bnn_out *out = p->out;
    const int16_t *level = out_level(p, y, x);
    const uint64_t high = p->width > 32 ? counts32_above(b, level + 32) : ~UINT32_C(0);
    const uint64_t above = counts32_above(a, level) | high << 32;
    uint64_t *to = (uint64_t *)out->data + y * out->row_stride + x * out->stride + p->n / BNN_BLOCK;
    *to = ~above ^ out->flip[p->n / BNN_BLOCK];
}

/* Numbers of some pixels. */
static void out_put_numbers(const out_panel *p, const out_pixel *at, size_t count) {
    if (p->out->kind == BNN_OUT_COUNTS)
        out_counts(p, at, count);
    else if (p->left == 64)
        out_floats(p, at, count, 8);
    else if (p->left == 32)
        out_floats(p, at, count, 4);
    else
        out_floats_some(p, at, count);
}

#endif
