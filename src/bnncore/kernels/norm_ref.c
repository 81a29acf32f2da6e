/* Layer normalisation, portable C. */
#include "../kernels.h"

#include <math.h>

enum { PARTS = 16 };

/* The sum of (x - mean)^2, or, where it is not squared, of x, as 16 partial sums that are then added in halves. */
static float sum(const float *x, size_t n, int squared, float mean) {
    float part[PARTS] = {0};
    for (size_t i = 0; i < n; i++) {
        float d = squared ? x[i] - mean : x[i];
        part[i % PARTS] += squared ? d * d : d;
    }
    for (size_t half = PARTS / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

static void run(const float *x, size_t rows, size_t n, float epsilon, const float *gamma, const float *beta, float *y) {
    for (size_t row = 0; row < rows; row++, x += n, y += n) {
        float mean = sum(x, n, 0, 0.0f) / (float)n, variance = sum(x, n, 1, mean) / (float)n;
        float deviation = sqrtf(variance + epsilon);
        for (size_t i = 0; i < n; i++) {
            float product = (x[i] - mean) / deviation * gamma[i];
            y[i] = product + beta[i];
        }
    }
}

const bnn_norm_kernel bnn_norm_ref = {.isa = BNN_ISA_ref, .run = run};
