/* What becomes of finished counts of the two-pixel table product: bnn_out of kernels.h, for one pixel and a panel of
 * one or two columns of BYTES output channels each.
 */
#ifndef BNN_TABLE_OUT_H
#define BNN_TABLE_OUT_H

#include "../kernels.h"

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
} out_panel;

static inline out_panel out_panel_of(const bnn_bgemm_run *r, uint32_t n, uint32_t width) {
    const uint32_t left = r->n_end - n < width ? r->n_end - n : width;
    const int16_t *level = r->out.kind == BNN_OUT_COUNTS ? NULL : r->out.level + n;
    return (out_panel){&r->out, level, bnn_round_up(r->shape->outputs, BNN_BLOCK), n, width, left};
}

/* The words of bits from channel n on. */
static inline void out_put_bits(const out_panel *p, uint64_t *to, const int16_t *level, column_counts a,
                                column_counts b) {
    const uint64_t *flip = p->out->flip + p->n / BNN_BLOCK;
    const uint64_t first = words_above(a.low, a.high, level);
    const int two = p->width > BYTES;
    const uint64_t second = two ? words_above(b.low, b.high, level + BYTES) : ~UINT64_C(0);
    if (BYTES < BNN_BLOCK) {
        to[0] = ~(first | second << (BYTES % BNN_BLOCK)) ^ flip[0];
    } else {
        to[0] = ~first ^ flip[0];
        if (two) to[1] = ~second ^ flip[1];
    }
}

/* Dot products of LANES channels from i on. */
static inline void out_put_floats(const out_panel *p, float *to, half_bytes dot, uint32_t i) {
    if (i < p->left) put_floats(to + i, dot, p->out->scale + p->n + i, p->out->bias + p->n + i, p->left - i);
}

/* Counts of pixel (y, x); a panel of one column has no b. */
static inline void out_put(const out_panel *p, uint32_t y, uint32_t x, column_counts a, column_counts b) {
    const bnn_out *out = p->out;
    const size_t at = y * out->row_stride + x * out->stride;
    const int16_t *level = p->level;
    if (out->kind != BNN_OUT_COUNTS) level += ((size_t)out->row_class[y] + out->col_class[x]) * p->padded;
    if (out->kind == BNN_OUT_BITS) {
        out_put_bits(p, (uint64_t *)out->data + at + p->n / BNN_BLOCK, level, a, b);
        return;
    }
    const bytes words[4] = {a.low, a.high, b.low, b.high};
    for (uint32_t i = 0; i < p->width; i += 2 * LANES) {
        const bytes pop = words[i / (2 * LANES)];
        if (out->kind == BNN_OUT_FLOAT) { /* level - 2 * pop is a dot product, so 16 bits hold it */
            float *to = (float *)out->data + at + p->n;
            const bytes dot = words_sub(bytes_load_any(level + i), words_add(pop, pop));
            out_put_floats(p, to, bytes_low(dot), i);
            out_put_floats(p, to, bytes_high(dot), i + LANES);
        } else {
            int32_t *to = (int32_t *)out->data + at + p->n + i;
            put_counts(to, bytes_low(pop), out->shift);
            put_counts(to + LANES, bytes_high(pop), out->shift);
        }
    }
}

#endif
