/* Maximum and mean over windows of pixels, portable C: one tap at a time over all channels of a pixel. */
#include "../kernels.h"

#include <string.h>

static void maximum(const bnn_window_run *r) {
    for (size_t p = 0; p < r->pixels; p++) {
        float *y = r->y + p * r->n;
        memcpy(y, r->x + p * r->step, r->n * sizeof *y);
        for (size_t tap = 1; tap < r->rows * r->cols; tap++) {
            const float *x = r->x + p * r->step + tap / r->cols * r->row + tap % r->cols * r->col;
            for (size_t c = 0; c < r->n; c++) y[c] = x[c] > y[c] || x[c] != x[c] ? x[c] : y[c];
        }
    }
}

static void mean(const bnn_window_run *r) {
    for (size_t p = 0; p < r->pixels; p++) {
        float *y = r->y + p * r->n;
        memset(y, 0, r->n * sizeof *y);
        for (size_t tap = 0; tap < r->rows * r->cols; tap++) {
            const float *x = r->x + p * r->step + tap / r->cols * r->row + tap % r->cols * r->col;
            for (size_t c = 0; c < r->n; c++) y[c] += x[c];
        }
        for (size_t c = 0; c < r->n; c++) y[c] /= r->divisor;
    }
}

const bnn_window_kernel bnn_window_ref = {.isa = BNN_ISA_ref, .max = maximum, .mean = mean};
