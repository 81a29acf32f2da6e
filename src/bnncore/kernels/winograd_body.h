/* Minimal filtering along a row, for every instruction set: winograd_<isa>.c includes its lanes_<isa>.h and then this.
 *
 * Memory decides: 7 loads and 7 stores for about 20 operations on the way in, 7 loads and 4 stores for 18 on the way
 * back, all in the first-level cache, beside the 4 * 7 * k products of the tile. llvm-mca 19 predicts both ways at 1.0
 * to 1.2 times the bound of their ports, 1.4 on cortex-a72.
 */
#include "../kernels.h"

/* The points, in the order of v and m. */
enum { AT_0, AT_1, AT_MINUS_1, AT_2, AT_MINUS_2, AT_INFINITY, AT_HALF };

/* a - b * by */
static inline lanes minus(lanes a, lanes b, float by) { return lanes_sub(a, lanes_mul(b, lanes_all(by))); }
static inline lanes plus(lanes a, lanes b, float by) { return lanes_add(a, lanes_mul(b, lanes_all(by))); }

/* Six inputs' values at 0, 1, -1, 2, -2 and infinity. */
static inline void six_points(const lanes *x, lanes *v) {
    const lanes even = minus(x[4], x[2], 4), odd = minus(x[3], x[1], 4);
    const lanes even2 = lanes_sub(x[4], x[2]), odd2 = lanes_mul(lanes_sub(x[3], x[1]), lanes_all(2));
    v[AT_0] = plus(minus(x[4], x[2], 5), x[0], 4);
    v[AT_1] = lanes_add(even, odd);
    v[AT_MINUS_1] = lanes_sub(even, odd);
    v[AT_2] = lanes_add(even2, odd2);
    v[AT_MINUS_2] = lanes_sub(even2, odd2);
    v[AT_INFINITY] = plus(minus(x[5], x[3], 5), x[1], 4);
}

UNROLLED void input_lanes(const uint32_t taps, const float *x, size_t n, float *v, size_t v_point, const int whole,
                          size_t some) {
    lanes in[BNN_WINOGRAD_MOST_POINTS], out[BNN_WINOGRAD_MOST_POINTS];
    const uint32_t points = taps + BNN_WINOGRAD_TILE - 1;
    UNROLL for (uint32_t q = 0; q < points; q++) in[q] =
        whole ? lanes_load(x + q * n) : lanes_load_first(x + q * n, some);
    if (points == 7) {
        out[AT_HALF] = plus(minus(in[5], in[3], 5), in[1], 4);
        /* the other points see the inputs with the factor (x - 1/2) */
        UNROLL for (uint32_t q = 0; q < 6; q++) in[q] = minus(in[q + 1], in[q], 0.5f);
    }
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
    lanes in[BNN_WINOGRAD_MOST_POINTS], out[BNN_WINOGRAD_TILE];
    const uint32_t points = taps + BNN_WINOGRAD_TILE - 1;
    UNROLL for (uint32_t p = 0; p < points; p++) in[p] =
        whole ? lanes_load(m + p * m_point) : lanes_load_first(m + p * m_point, some);
    const lanes even = lanes_add(in[AT_1], in[AT_MINUS_1]), odd = lanes_sub(in[AT_1], in[AT_MINUS_1]);
    const lanes even2 = lanes_add(in[AT_2], in[AT_MINUS_2]), odd2 = lanes_sub(in[AT_2], in[AT_MINUS_2]);
    out[0] = lanes_add(lanes_add(in[AT_0], even), even2);
    out[1] = plus(odd, odd2, 2);
    out[2] = plus(even, even2, 4);
    out[3] = lanes_add(plus(odd, odd2, 8), in[AT_INFINITY]);
    if (points == 7) {
        out[0] = lanes_add(out[0], in[AT_HALF]);
        out[1] = plus(out[1], in[AT_HALF], 0.5f);
        out[2] = plus(out[2], in[AT_HALF], 0.25f);
        out[3] = plus(out[3], in[AT_HALF], 0.125f);
    }
    UNROLL for (uint32_t q = 0; q < BNN_WINOGRAD_TILE; q++) {
        if (q >= pixels) break;
        if (whole)
            lanes_store(y + q * y_stride, out[q]);
        else
            lanes_store_first(y + q * y_stride, some, out[q]);
    }
}

UNROLLED void input_of(const uint32_t taps, const float *x, size_t n, size_t tiles, float *v, size_t v_tile,
                       size_t v_point) {
    for (size_t t = 0; t < tiles; t++, x += BNN_WINOGRAD_TILE * n, v += v_tile) {
        size_t c = 0;
        for (; c + LANES <= n; c += LANES) input_lanes(taps, x + c, n, v + c, v_point, 1, LANES);
        if (c < n) input_lanes(taps, x + c, n, v + c, v_point, 0, n - c);
    }
}

UNROLLED void output_of(const uint32_t taps, const float *m, size_t m_point, size_t n, size_t pixels, float *y,
                        size_t y_stride) {
    for (size_t pixel = 0; pixel < pixels; pixel += BNN_WINOGRAD_TILE, m += n, y += BNN_WINOGRAD_TILE * y_stride) {
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
