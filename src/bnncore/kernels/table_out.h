/* What becomes of finished counts of the two-pixel table product: bnn_out of kernels.h, for a panel of one or two
 * columns of BYTES output channels each.
 */
#ifndef BNN_TABLE_OUT_H
#define BNN_TABLE_OUT_H

#include "links.h"

enum { FEW_PIXELS = 64 };

/* Counts of a column of channels, 16 bits each. */
typedef struct column_counts {
    bytes low, high; /* its first half, its second */
} column_counts;

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

/* Where pixel (y, x) has its levels; `width` is the panel's. */
UNROLLED const int16_t *out_level(const out_panel *p, const uint32_t width, uint32_t y, uint32_t x) {
    const int16_t *level = p->level + ((size_t)p->out->row_class[y] + p->out->col_class[x]) * p->padded;
    if (p->few)
        UNROLL for (uint32_t i = 0; i < width; i += BNN_ALIGN / sizeof *level)
            _mm_prefetch((const char *)(level + width + i), _MM_HINT_T0);
    return level;
}

/* ---- bits ---- */

/* The words of bits of pixel (y, x); a panel of one column has no b. `two`, a constant, says that it has two. */
UNROLLED void out_put_bits(const out_panel *p, const int two, uint32_t y, uint32_t x, const column_counts *a,
                           const column_counts *b) {
    const int16_t *level = out_level(p, two ? 2 * BYTES : BYTES, y, x);
    const uint64_t *flip = p->out->flip + p->n / BNN_BLOCK;
    uint64_t *to = (uint64_t *)p->out->data + y * p->out->row_stride + x * p->out->stride + p->n / BNN_BLOCK;
    const uint64_t first = words_above(a->low, a->high, level);
    const uint64_t second = two ? words_above(b->low, b->high, level + BYTES) : ~UINT64_C(0);
    if (BYTES < BNN_BLOCK) {
        to[0] = ~(first | second << (BYTES % BNN_BLOCK)) ^ flip[0];
    } else {
        to[0] = ~first ^ flip[0];
        if (two) to[1] = ~second ^ flip[1];
    }
}

/* ---- numbers ---- */

/* A pixel whose numbers are written: its place in the image, its levels, and its counts of the panel's first column,
 * behind which those of its mate stand before the second one's. */
typedef struct out_pixel {
    size_t at;
    const int16_t *level;
    const uint16_t *pop;
} out_pixel;

/* The counts of a vector of channels, from number c of the panel on. */
static inline bytes out_pop(const out_pixel *at, size_t c) {
    return bytes_load_any(at->pop + c / BYTES * 2 * BYTES + c % BYTES);
}

/* level - 2 * pop: a dot product, so 16 bits hold it. */
static inline bytes out_dot(const out_pixel *at, size_t c) {
    const bytes pop = out_pop(at, c);
    return words_sub(bytes_load_any(at->level + c), words_add(pop, pop));
}

/* dot * scale + bias of channels from n on */
static inline lanes out_scaled(const bnn_out *out, half_bytes dot, size_t n) {
    return lanes_add(lanes_mul(words_to_lanes(dot), lanes_load(out->scale + n)), lanes_load(out->bias + n));
}

/* Floats of LANES * vectors (a constant) channels of some pixels, all of which exist. */
UNROLLED void out_floats(const out_panel *p, const out_pixel *at, size_t count, const size_t vectors) {
    const bnn_out *out = p->out;
    for (; count; count--, at++) {
        lanes x[8];
        UNROLL for (size_t v = 0; v < vectors; v += 2) {
            const bytes dot = out_dot(at, v * LANES);
            x[v] = out_scaled(out, bytes_low(dot), p->n + v * LANES);
            x[v + 1] = out_scaled(out, bytes_high(dot), p->n + (v + 1) * LANES);
        }
        links_do(out->links, out->link_count, (link_place){vectors, 1, LANES, p->n, at->at, NULL}, x);
        UNROLL for (size_t v = 0; v < vectors; v++) lanes_store((float *)out->data + at->at + v * LANES, x[v]);
    }
}

/* The same for one vector from number c of the panel on, all of it (whole, a constant) or its first `some`. */
UNROLLED void out_vector(const out_panel *p, const out_pixel *at, size_t c, const int whole, size_t some) {
    const bnn_out *out = p->out;
    const bytes dot = out_dot(at, c / (2 * LANES) * 2 * LANES);
    lanes x = out_scaled(out, c % (2 * LANES) ? bytes_high(dot) : bytes_low(dot), p->n + c);
    links_do(out->links, out->link_count, (link_place){1, whole, some, p->n + c, at->at + c, NULL}, &x);
    if (whole)
        lanes_store((float *)out->data + at->at + c, x);
    else
        lanes_store_first((float *)out->data + at->at + c, some, x);
}

/* The same for the first `left` channels, whatever their number. */
static inline void out_floats_some(const out_panel *p, const out_pixel *at, size_t count) {
    for (; count; count--, at++) {
        size_t c = 0;
        for (; c + LANES <= p->left; c += LANES) out_vector(p, at, c, 1, LANES);
        if (c < p->left) out_vector(p, at, c, 0, p->left - c);
    }
}

/* Adds the counts of some pixels. */
static inline void out_counts(const out_panel *p, const out_pixel *at, size_t count) {
    for (; count; count--, at++)
        for (size_t c = 0; c < p->width; c += 2 * LANES) {
            const bytes pop = out_pop(at, c);
            int32_t *to = (int32_t *)p->out->data + at->at + c;
            put_counts(to, bytes_low(pop), p->out->shift);
            put_counts(to + LANES, bytes_high(pop), p->out->shift);
        }
}

/* Numbers of some pixels. */
static void out_put_numbers(const out_panel *p, const out_pixel *at, size_t count) {
    if (p->out->kind == BNN_OUT_COUNTS)
        out_counts(p, at, count);
    else if (p->left == 2 * BYTES)
        out_floats(p, at, count, 8);
    else if (p->left == BYTES)
        out_floats(p, at, count, 4);
    else
        out_floats_some(p, at, count);
}

#endif
