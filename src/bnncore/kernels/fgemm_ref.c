/* float32 rows times float32 weights, portable C: panels of 8 outputs, so that a compiler can use what SIMD the
 * baseline has; product and sum are rounded separately. */
#include "../kernels.h"

#include <string.h>

enum { PANEL = 8 };

static size_t weights_bytes(size_t k, size_t n) { return bnn_round_up(n, PANEL) * (k + 1) * sizeof(float); }

/* packed: [n / 8][1 + k][8], the bias first, zeros past n */
static void weights_pack(const float *rows, const float *bias, size_t k, size_t n, float *packed) {
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t lane = 0; lane < PANEL; lane++) *packed++ = bias && first + lane < n ? bias[first + lane] : 0.0f;
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < PANEL; lane++)
                *packed++ = first + lane < n ? rows[(first + lane) * k + i] : 0.0f;
    }
}

static void run(const bnn_fgemm_rows *a, const float *packed, size_t n, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k;
    for (size_t first = 0; first < n; first += PANEL, packed += PANEL * (k + 1)) {
        size_t lanes = n - first < PANEL ? n - first : PANEL;
        for (size_t row = 0; row < a->m; row++) {
            float sum[PANEL];
            const float *w = packed + PANEL;
            memcpy(sum, packed, sizeof sum);
            for (size_t s = 0; s < a->segments; s++) {
                const float *x = a->x + row * a->x_stride + a->segment[s];
                for (size_t i = 0; i < a->segment_k; i++, w += PANEL)
                    for (size_t lane = 0; lane < PANEL; lane++) sum[lane] += x[i] * w[lane];
            }
            for (size_t lane = 0; lane < lanes; lane++) y[row * y_stride + first + lane] = sum[lane];
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_ref = {
    .isa = BNN_ISA_ref, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
