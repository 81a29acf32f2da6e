/* How fgemm's variants for SIMD lay out weights: panels of 16 outputs, zeros past n.
 *
 * As floats: [n / 16][1 + k][16], the bias first. As signs: [n / 16], 16 floats of bias, and k 16-bit numbers in which
 * bit i says that output i has -1; two bytes behind the last may be read.
 */
#ifndef BNN_FGEMM_PANELS_H
#define BNN_FGEMM_PANELS_H

#include "../kernels.h"

#include <string.h>

enum { PANEL = 16 };

typedef enum form { FLOATS, SIGNS } form;

static inline size_t panel_bytes(form form, size_t k) {
    if (form == FLOATS) return (k + 1) * PANEL * sizeof(float);
    return bnn_round_up(PANEL * sizeof(float) + (k + 1) * sizeof(uint16_t), PANEL * sizeof(float));
}

static uint64_t floats_bytes(size_t k, size_t n) { return (n + PANEL - 1) / PANEL * panel_bytes(FLOATS, k); }
static uint64_t signs_bytes(size_t k, size_t n) { return (n + PANEL - 1) / PANEL * panel_bytes(SIGNS, k); }

static void floats_pack(const float *rows, const float *bias, size_t k, size_t n, void *packed) {
    float *to = packed;
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t lane = 0; lane < PANEL; lane++) *to++ = bias && first + lane < n ? bias[first + lane] : 0.0f;
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < PANEL; lane++) *to++ = first + lane < n ? rows[(first + lane) * k + i] : 0.0f;
    }
}

static void signs_pack(const float *rows, const float *bias, size_t k, size_t n, void *packed) {
    unsigned char *panel = packed;
    memset(panel, 0, (size_t)signs_bytes(k, n));
    for (size_t first = 0; first < n; first += PANEL, panel += panel_bytes(SIGNS, k)) {
        size_t lanes = n - first < PANEL ? n - first : PANEL;
        if (bias) memcpy(panel, bias + first, lanes * sizeof *bias);
        uint16_t *minus = (uint16_t *)(void *)(panel + PANEL * sizeof(float));
        for (size_t lane = 0; lane < lanes; lane++)
            for (size_t i = 0; i < k; i++) minus[i] |= (uint16_t)((rows[(first + lane) * k + i] < 0.0f) << lane);
    }
}

/* Where a panel has its numbers of step i. */
static inline const float *floats_at(const unsigned char *panel, size_t i) {
    return (const float *)(const void *)panel + (1 + i) * PANEL;
}

static inline const unsigned char *signs_at(const unsigned char *panel, size_t i) {
    return panel + PANEL * sizeof(float) + i * sizeof(uint16_t);
}

#endif
