/* Links (kernels.h) on vectors of floats, for every instruction set: include the lanes_<isa>.h first. */
#ifndef BNN_LINKS_H
#define BNN_LINKS_H

#include "../kernels.h"

/* Where `vectors` vectors stand: neighbouring channels from n on, at `at` in an image of the output's form; or, where
 * there are `pixels`, the same channels of as many pixels, at pixels[v]. They have all their LANES, or just the first
 * `some`. vectors, whole and whether there are pixels are constants. */
typedef struct link_place {
    size_t vectors;
    int whole;
    size_t some, n, at;
    const size_t *pixels;
} link_place;

UNROLLED lanes link_load(const link_place *p, const float *from) {
    return p->whole ? lanes_load(from) : lanes_load_first(from, p->some);
}

UNROLLED lanes link_table(const link_place *p, const float *table, size_t v) {
    return link_load(p, table + p->n + (p->pixels ? 0 : v * LANES));
}

/* What a merge has for the other operand. */
UNROLLED lanes link_other(const link_place *p, const bnn_link *k, size_t v) {
    if (!k->image) return link_table(p, k->a, v);
    return link_load(p, k->a + (p->pixels ? p->pixels[v] : p->at + v * LANES));
}

#define LINK_EACH UNROLL for (size_t v = 0; v < p.vectors; v++)

UNROLLED void links_do(const bnn_link *k, size_t count, const link_place p, lanes *x) {
    for (; count--; k++) switch (k->kind) {
        case BNN_LINK_AFFINE:
            LINK_EACH x[v] = lanes_add(lanes_mul(x[v], link_table(&p, k->a, v)), link_table(&p, k->b, v));
            break;
        case BNN_LINK_PRELU:
            if (k->b) LINK_EACH x[v] = lanes_sub(x[v], link_table(&p, k->b, v));
            LINK_EACH x[v] = lanes_bend(x[v], link_table(&p, k->a, v));
            if (k->c) LINK_EACH x[v] = lanes_add(x[v], link_table(&p, k->c, v));
            break;
        case BNN_LINK_CLIP:
            LINK_EACH x[v] = lanes_clip(x[v], link_table(&p, k->a, v), link_table(&p, k->b, v));
            break;
        case BNN_LINK_ADD:
            LINK_EACH x[v] = lanes_add(x[v], link_other(&p, k, v));
            break;
        case BNN_LINK_SUBTRACT:
            LINK_EACH x[v] = lanes_sub(x[v], link_other(&p, k, v));
            break;
        case BNN_LINK_MULTIPLY:
            LINK_EACH x[v] = lanes_mul(x[v], link_other(&p, k, v));
            break;
        }
}

#endif
