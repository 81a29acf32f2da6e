/* Depthwise float32 convolution, portable C: one tap at a time over all channels of a pixel, so that a compiler can use
 * what SIMD the baseline has; product and sum are rounded separately. */
#include "../kernels.h"

static void run(const bnn_fdepth_run *r) {
    for (size_t p = 0; p < r->pixels; p++) {
        float *y = r->y + p * r->channels;
        for (size_t c = 0; c < r->channels; c++) y[c] = 0.0f;
        for (size_t t = 0; t < r->taps; t++) {
            const float *x = r->x[t] + p * r->step, *weight = r->weights + t * r->channels;
            for (size_t c = 0; c < r->channels; c++) y[c] += x[c] * weight[c];
        }
        if (!r->scale) continue;
        for (size_t c = 0; c < r->channels; c++) {
            float product = y[c] * r->scale[c];
            y[c] = product + r->bias[c];
        }
    }
}

const bnn_fdepth_kernel bnn_fdepth_ref = {.isa = BNN_ISA_ref, .run = run};
