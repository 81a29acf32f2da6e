/* float32 rows times float32 weights, portable C: panels of 8 outputs, so that a compiler can use what SIMD the
 * baseline has; product and sum are rounded separately. */
#include "../kernels.h"

#include <string.h>

enum { PANEL = 8 };

/* ---- weights as floats: [n / 8][1 + k][8], the bias first, zeros past n ---- */

static uint64_t floats_bytes(size_t k, size_t n) { return (uint64_t)bnn_round_up(n, PANEL) * (k + 1) * sizeof(float); }

static void floats_pack(const float *rows, const float *bias, size_t k, size_t n, void *packed) {
    float *to = packed;
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t lane = 0; lane < PANEL; lane++) *to++ = bias && first + lane < n ? bias[first + lane] : 0.0f;
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < PANEL; lane++) *to++ = first + lane < n ? rows[(first + lane) * k + i] : 0.0f;
    }
}

static void floats_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k;
    const float *panel = packed;
    for (size_t first = 0; first < n; first += PANEL, panel += PANEL * (k + 1)) {
        size_t lanes = n - first < PANEL ? n - first : PANEL;
        for (size_t row = 0; row < a->m; row++) {
            float sum[PANEL];
            const float *w = panel + PANEL;
            memcpy(sum, panel, sizeof sum);
            for (size_t s = 0; s < a->segments; s++) {
                const float *x = a->x + row * a->x_stride + a->segment[s];
                for (size_t i = 0; i < a->segment_k; i++, w += PANEL)
                    for (size_t lane = 0; lane < PANEL; lane++) sum[lane] += x[i] * w[lane];
            }
            for (size_t lane = 0; lane < lanes; lane++) y[row * y_stride + first + lane] = sum[lane];
        }
    }
}

/* ---- weights as signs: [n / 8], 8 floats of bias and k bytes, in which bit i says that output i has -1 ---- */

static size_t panel_bytes(size_t k) { return bnn_round_up(PANEL * sizeof(float) + k, sizeof(float)); }

static uint64_t signs_bytes(size_t k, size_t n) { return (uint64_t)((n + PANEL - 1) / PANEL) * panel_bytes(k); }

static void signs_pack(const float *rows, const float *bias, size_t k, size_t n, void *packed) {
    unsigned char *panel = packed;
    memset(panel, 0, (size_t)signs_bytes(k, n));
    for (size_t first = 0; first < n; first += PANEL, panel += panel_bytes(k)) {
        size_t lanes = n - first < PANEL ? n - first : PANEL;
        if (bias) memcpy(panel, bias + first, lanes * sizeof *bias);
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < lanes; lane++)
                panel[PANEL * sizeof(float) + i] |= (unsigned char)((rows[(first + lane) * k + i] < 0.0f) << lane);
    }
}

static void signs_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k;
    const unsigned char *panel = packed;
    for (size_t first = 0; first < n; first += PANEL, panel += panel_bytes(k)) {
        size_t lanes = n - first < PANEL ? n - first : PANEL;
        for (size_t row = 0; row < a->m; row++) {
            float sum[PANEL];
            const unsigned char *w = panel + sizeof sum;
            memcpy(sum, panel, sizeof sum);
            for (size_t s = 0; s < a->segments; s++) {
                const float *x = a->x + row * a->x_stride + a->segment[s];
                for (size_t i = 0; i < a->segment_k; i++, w++)
                    for (size_t lane = 0; lane < PANEL; lane++) sum[lane] += *w >> lane & 1 ? -x[i] : x[i];
            }
            for (size_t lane = 0; lane < lanes; lane++) y[row * y_stride + first + lane] = sum[lane];
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_ref = {.isa = BNN_ISA_ref,
                                        .floats = {floats_bytes, floats_pack, floats_run},
                                        .signs = {signs_bytes, signs_pack, signs_run}};
