/* Depthwise float32 convolution over vectors of channels, for every instruction set that has them: fdepth_<isa>.c
 * includes its lanes_<isa>.h and then this.
 *
 * A tile of 4 pixels x 2 or 4 vectors of channels keeps its sums in registers: each tap loads a vector of weights for 4
 * pixels, and one of numbers for each FMA. So there are 5 loads for 4 FMAs on ports that do two of each a cycle: bound
 * by the loads, at 80% of the FMAs' rate. Neighbouring windows share numbers, which come from the first cache each
 * time. Every output is one chain of FMAs in the order of the taps, whatever the tile. llvm-mca 19: within 5% of the
 * bound on skylake, znver3 and the Arm cores, 1.4 times it on alderlake.
 */
#include "../kernels.h"

enum { PIXELS = 4 };

/* `pixels` pixels from p and `vectors` vectors from channel c, constants both; `some`, where it is not LANES, is how
 * many lanes of a single vector there are. */
UNROLLED void tile(const size_t pixels, const size_t vectors, const bnn_fdepth_run *r, size_t p, size_t c,
                   const int whole, size_t some) {
    lanes sum[PIXELS][WIDE];
    UNROLL for (size_t i = 0; i < pixels; i++) UNROLL for (size_t v = 0; v < vectors; v++) sum[i][v] = lanes_all(0.0f);
    for (size_t t = 0; t < r->taps; t++) {
        const float *x = r->x[t] + p * r->step + c, *weight = r->weights + t * r->channels + c;
        lanes w[WIDE];
        UNROLL for (size_t v = 0; v < vectors; v++) w[v] =
            whole ? lanes_load(weight + v * LANES) : lanes_load_first(weight, some);
        UNROLL for (size_t i = 0; i < pixels; i++) {
            const float *at = x + i * r->step;
            IN_REGISTER(at);
            UNROLL for (size_t v = 0; v < vectors; v++) sum[i][v] =
                lanes_fma(whole ? lanes_load(at + v * LANES) : lanes_load_first(at, some), w[v], sum[i][v]);
        }
    }
    UNROLL for (size_t v = 0; v < vectors; v++) {
        const size_t at = c + v * LANES;
        if (r->scale) {
            const lanes scale = whole ? lanes_load(r->scale + at) : lanes_load_first(r->scale + at, some);
            const lanes bias = whole ? lanes_load(r->bias + at) : lanes_load_first(r->bias + at, some);
            UNROLL for (size_t i = 0; i < pixels; i++) sum[i][v] = lanes_add(lanes_mul(sum[i][v], scale), bias);
        }
        UNROLL for (size_t i = 0; i < pixels; i++) {
            float *y = r->y + (p + i) * r->channels + at;
            if (whole)
                lanes_store(y, sum[i][v]);
            else
                lanes_store_first(y, some, sum[i][v]);
        }
    }
}

UNROLLED void pixels_of(const size_t pixels, const bnn_fdepth_run *r, size_t p) {
    size_t c = 0;
    for (; c + WIDE * LANES <= r->channels; c += WIDE * LANES) tile(pixels, WIDE, r, p, c, 1, LANES);
    if (WIDE > 2 && c + 2 * LANES <= r->channels) tile(pixels, 2, r, p, c, 1, LANES), c += 2 * LANES;
    if (c + LANES <= r->channels) tile(pixels, 1, r, p, c, 1, LANES), c += LANES;
    if (c < r->channels) tile(pixels, 1, r, p, c, 0, r->channels - c);
}

static void run(const bnn_fdepth_run *r) {
    size_t p = 0;
    for (; p + PIXELS <= r->pixels; p += PIXELS) pixels_of(PIXELS, r, p);
    for (; p < r->pixels; p++) pixels_of(1, r, p);
}
