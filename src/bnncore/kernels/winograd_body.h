/* Minimal filtering along a row, for every instruction set: winograd_<isa>.c includes its lanes_<isa>.h and then this.
 *
 * For four taps 8 loads, 38 operations and 8 stores on the way in, and 8 loads, 26 operations and 5 stores on the way
 * back, all in the first-level cache, beside the 8 * k products of the tile. llvm-mca 19 predicts both ways at 1.0
 * to 1.2 times the bound of their ports, 1.3 on cortex-a72 (clang's way in 1.35: most of its instructions are
 * dispatched by themselves there).
 */
#include "../kernels.h"

/* The points, in the order of v and m. */
enum { AT_0, AT_1, AT_MINUS_1, AT_2, AT_MINUS_2, AT_INFINITY, AT_HALF, AT_MINUS_HALF };

/* a - b * by */
static inline lanes minus(lanes a, lanes b, float by) { return lanes_sub(a, lanes_mul(b, lanes_all(by))); }
static inline lanes plus(lanes a, lanes b, float by) { return lanes_add(a, lanes_mul(b, lanes_all(by))); }

/* At p and -p, from the parts of even and odd powers. */
static inline void both_signs(lanes *v, lanes even, lanes odd) {
    v[0] = lanes_add(even, odd);
    v[1] = lanes_sub(even, odd);
}

/* The values at a point are what its factor leaves of the product of all: x (x^2 - 1) (x^2 - 4), for six points. */
static inline void six_points(const lanes *x, lanes *v) {
    v[AT_0] = plus(minus(x[4], x[2], 5), x[0], 4);
    both_signs(v + AT_1, minus(x[4], x[2], 4), minus(x[3], x[1], 4));
    both_signs(v + AT_2, lanes_sub(x[4], x[2]), lanes_mul(lanes_sub(x[3], x[1]), lanes_all(2)));
    v[AT_INFINITY] = plus(minus(x[5], x[3], 5), x[1], 4);
}

/* x (x^2 - 1) (x^2 - 4) (x^2 - 1/4) */
static inline void eight_points(const lanes *x, lanes *v) {
    v[AT_0] = plus(lanes_sub(x[6], x[0]), lanes_sub(x[2], x[4]), 5.25f);
    both_signs(v + AT_1, lanes_add(minus(x[6], x[4], 4.25f), x[2]), lanes_add(minus(x[5], x[3], 4.25f), x[1]));
    both_signs(v + AT_2, plus(minus(x[6], x[4], 1.25f), x[2], 0.25f),
               lanes_mul(plus(minus(x[5], x[3], 1.25f), x[1], 0.25f), lanes_all(2)));
    both_signs(v + AT_HALF, plus(minus(x[6], x[4], 5), x[2], 4),
               lanes_mul(plus(minus(x[5], x[3], 5), x[1], 4), lanes_all(0.5f)));
    v[AT_INFINITY] = plus(lanes_sub(x[7], x[1]), lanes_sub(x[3], x[5]), 5.25f);
}

UNROLLED void input_lanes(const uint32_t taps, const float *x, size_t n, float *v, size_t v_point, const int whole,
                          size_t some) {
    lanes in[BNN_WINOGRAD_MOST_POINTS], out[BNN_WINOGRAD_MOST_POINTS];
    const uint32_t points = bnn_winograd_points(taps);
    UNROLL for (uint32_t q = 0; q < points; q++) in[q] =
        whole ? lanes_load(x + q * n) : lanes_load_first(x + q * n, some);
    if (points == 8)
        eight_points(in, out);
    else
        six_points(in, out);
    UNROLL for (uint32_t p = 0; p < points; p++) {
        if (whole)
            lanes_store(v + p * v_point, out[p]);
        else
            lanes_store_first(v + p * v_point, some, out[p]);
    }
}

UNROLLED void output_lanes(const uint32_t taps, const float *m, size_t m_point, size_t pixels, float *y,
                           size_t y_stride, const int whole, size_t some) {
    lanes in[BNN_WINOGRAD_MOST_POINTS], out[BNN_WINOGRAD_MOST_TILE];
    const uint32_t points = bnn_winograd_points(taps), tile = bnn_winograd_tile(taps);
    UNROLL for (uint32_t p = 0; p < points; p++) in[p] =
        whole ? lanes_load(m + p * m_point) : lanes_load_first(m + p * m_point, some);
    const lanes even = lanes_add(in[AT_1], in[AT_MINUS_1]), odd = lanes_sub(in[AT_1], in[AT_MINUS_1]);
    const lanes even2 = lanes_add(in[AT_2], in[AT_MINUS_2]), odd2 = lanes_sub(in[AT_2], in[AT_MINUS_2]);
    out[0] = lanes_add(lanes_add(in[AT_0], even), even2);
    out[1] = plus(odd, odd2, 2);
    out[2] = plus(even, even2, 4);
    out[3] = plus(odd, odd2, 8);
    if (points == 8) {
        const lanes even_half = lanes_add(in[AT_HALF], in[AT_MINUS_HALF]),
                    odd_half = lanes_sub(in[AT_HALF], in[AT_MINUS_HALF]);
        out[0] = lanes_add(out[0], even_half);
        out[1] = plus(out[1], odd_half, 0.5f);
        out[2] = plus(out[2], even_half, 0.25f);
        out[3] = plus(out[3], odd_half, 0.125f);
        out[4] = plus(plus(even, even2, 16), even_half, 0.0625f);
    }
    out[tile - 1] = lanes_add(out[tile - 1], in[AT_INFINITY]);
    UNROLL for (uint32_t q = 0; q < tile; q++) {
        if (q >= pixels) break;
        if (whole)
            lanes_store(y + q * y_stride, out[q]);
        else
            lanes_store_first(y + q * y_stride, some, out[q]);
    }
}

UNROLLED void input_of(const uint32_t taps, const float *x, size_t n, size_t tiles, float *v, size_t v_tile,
                       size_t v_point) {
    for (size_t t = 0; t < tiles; t++, x += bnn_winograd_tile(taps) * n, v += v_tile) {
        size_t c = 0;
        for (; c + LANES <= n; c += LANES) input_lanes(taps, x + c, n, v + c, v_point, 1, LANES);
        if (c < n) input_lanes(taps, x + c, n, v + c, v_point, 0, n - c);
    }
}

UNROLLED void output_of(const uint32_t taps, const float *m, size_t m_point, size_t n, size_t pixels, float *y,
                        size_t y_stride) {
    const uint32_t tile = bnn_winograd_tile(taps);
    for (size_t pixel = 0; pixel < pixels; pixel += tile, m += n, y += tile * y_stride) {
        const size_t left = pixels - pixel;
        size_t c = 0;
        for (; c + LANES <= n; c += LANES) output_lanes(taps, m + c, m_point, left, y + c, y_stride, 1, LANES);
        if (c < n) output_lanes(taps, m + c, m_point, left, y + c, y_stride, 0, n - c);
    }
}

static void input(uint32_t taps, const float *x, size_t n, size_t tiles, float *v, size_t v_tile, size_t v_point) {
    if (taps == 4)
        input_of(4, x, n, tiles, v, v_tile, v_point);
    else
        input_of(3, x, n, tiles, v, v_tile, v_point);
}

static void output(uint32_t taps, const float *m, size_t m_point, size_t n, size_t pixels, float *y, size_t y_stride) {
    if (taps == 4)
        output_of(4, m, m_point, n, pixels, y, y_stride);
    else
        output_of(3, m, m_point, n, pixels, y, y_stride);
}
