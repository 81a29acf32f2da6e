/* Maximum and mean over windows of pixels, for every instruction set that has vectors of floats: window_<isa>.c
 * includes its lanes_<isa>.h and then this.
 *
 * 4 vectors of channels at a time, 8 short ones, for enough chains in flight; each tap is a load and an addition, or a
 * load, a maximum and two operations that keep a NaN, so both are bound by the loads: 2 a cycle from the first cache,
 * and by the memory where the image is larger.
 */
#include "../kernels.h"

enum { VECTORS = LANES == 4 ? 8 : 4 };

typedef enum merge_kind { MAXIMUM, SUM } merge_kind;

UNROLLED void tile(const merge_kind kind, const size_t vectors, const bnn_window_run *r, const float *x, float *y,
                   const int whole, size_t some) {
    lanes found[VECTORS];
    UNROLL for (size_t v = 0; v < vectors; v++) found[v] = kind == SUM ? lanes_all(0.0f)
                                                           : whole     ? lanes_load(x + v * LANES)
                                                                       : lanes_load_first(x, some);
    for (size_t i = 0; i < r->rows; i++) {
        const float *at = x + i * r->row;
        for (size_t j = 0; j < r->cols; j++, at += r->col) UNROLL for (size_t v = 0; v < vectors; v++) {
                const lanes in = whole ? lanes_load(at + v * LANES) : lanes_load_first(at, some);
                found[v] = kind == SUM ? lanes_add(found[v], in) : lanes_max(found[v], in);
            }
    }
    const lanes count = lanes_all(r->divisor);
    UNROLL for (size_t v = 0; v < vectors; v++) {
        if (kind == SUM) found[v] = lanes_div(found[v], count);
        if (whole)
            lanes_store(y + v * LANES, found[v]);
        else
            lanes_store_first(y, some, found[v]);
    }
}

UNROLLED void windows(const merge_kind kind, const bnn_window_run *r) {
    const float *x = r->x;
    float *y = r->y;
    for (size_t p = 0; p < r->pixels; p++, x += r->step, y += r->n) {
        size_t c = 0;
        for (; c + VECTORS * LANES <= r->n; c += VECTORS * LANES) tile(kind, VECTORS, r, x + c, y + c, 1, LANES);
        for (; c + LANES <= r->n; c += LANES) tile(kind, 1, r, x + c, y + c, 1, LANES);
        if (c < r->n) tile(kind, 1, r, x + c, y + c, 0, r->n - c);
    }
}

static void maximum(const bnn_window_run *r) { windows(MAXIMUM, r); }

static void mean(const bnn_window_run *r) { windows(SUM, r); }
