/* What becomes of the 16-bit counts of one pixel and up to 64 output channels: bnn_out of kernels.h, NEON. */
#ifndef BNN_NEON_OUT_H
#define BNN_NEON_OUT_H

#include "lanes_neon.h"
#include "links.h"
#include "neon_bits.h"

enum { NEON_PANEL = 64 }; /* output channels in a panel */

static inline int16x8_t neon_out_load(const uint16_t *pop) { return vreinterpretq_s16_u16(vld1q_u16(pop)); }

/* 0xFF where pop[i] <= level[i], for 16 channels. */
static inline uint8x16_t neon_out_within(const uint16_t *pop, const int16_t *level) {
    uint16x8_t low = vcgeq_s16(vld1q_s16(level), neon_out_load(pop));
    uint16x8_t high = vcgeq_s16(vld1q_s16(level + 8), neon_out_load(pop + 8));
    return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
}

static inline uint64_t neon_out_word(const uint16_t *pop, const int16_t *level, uint32_t width) {
    const uint8x16_t none = vdupq_n_u8(0);
    uint8x16_t a = neon_out_within(pop, level), b = none, c = none, d = none;
    if (width > 16) b = neon_out_within(pop + 16, level + 16);
    if (width > 32) c = neon_out_within(pop + 32, level + 32), d = neon_out_within(pop + 48, level + 48);
    return neon_bits_64(a, b, c, d);
}

static inline void neon_out_counts(int32_t *counts, const uint16_t *pop, int32x4_t shift) {
    uint32x4_t more = vshlq_u32(vmovl_u16(vld1_u16(pop)), shift);
    vst1q_s32(counts, vaddq_s32(vld1q_s32(counts), vreinterpretq_s32_u32(more)));
}

/* (float)(level - 2 * pop) * scale + bias, and the links, of 4 * vectors (a constant) channels from n on, of which
 * `some` of the last four exist; `at` is their place in the image. */
UNROLLED void neon_out_floats(const bnn_out *out, const size_t vectors, const int whole, size_t some, size_t n,
                              size_t at, const uint16_t *pop, const int16_t *level) {
    lanes x[4];
    UNROLL for (size_t v = 0; v < vectors; v++) {
        int16x4_t count = vreinterpret_s16_u16(vld1_u16(pop + v * LANES));
        int16x4_t dot = vsub_s16(vld1_s16(level + v * LANES), vshl_n_s16(count, 1));
        lanes product = vmulq_f32(vcvtq_f32_s32(vmovl_s16(dot)), lanes_load(out->scale + n + v * LANES));
        x[v] = vaddq_f32(product, lanes_load(out->bias + n + v * LANES));
    }
    links_do(out->links, out->link_count, (link_place){vectors, whole, some, n, at, NULL}, x);
    UNROLL for (size_t v = 0; v < vectors; v++) {
        if (whole)
            lanes_store((float *)out->data + at + v * LANES, x[v]);
        else
            lanes_store_first((float *)out->data + at + v * LANES, some, x[v]);
    }
}

/* Counts of pixel (y, x) for channels n to n + width - 1, where width is 16, 32 or 64 and n is a multiple of 64. A
 * width below 64 says that no channel past n + width - 1 exists. */
static inline void neon_out_put(const bnn_bgemm_run *r, uint32_t y, uint32_t x, uint32_t n, uint32_t width,
                                const uint16_t *pop) {
    const bnn_out *out = &r->out;
    const size_t at = y * out->row_stride + x * out->stride;
    if (out->kind == BNN_OUT_COUNTS) {
        const int32x4_t shift = vdupq_n_s32((int32_t)out->shift);
        for (uint32_t i = 0; i < width; i += 4) neon_out_counts((int32_t *)out->data + at + n + i, pop + i, shift);
        return;
    }
    const size_t row = (size_t)out->row_class[y] + out->col_class[x];
    const int16_t *level = out->level + row * bnn_round_up(r->shape->outputs, BNN_BLOCK) + n;
    if (out->kind == BNN_OUT_BITS) {
        ((uint64_t *)out->data)[at + n / BNN_BLOCK] = neon_out_word(pop, level, width) ^ out->flip[n / BNN_BLOCK];
        return;
    }
    const uint32_t left = r->n_end - n < width ? r->n_end - n : width;
    uint32_t i = 0;
    for (; i + 4 * LANES <= left; i += 4 * LANES)
        neon_out_floats(out, 4, 1, LANES, n + i, at + n + i, pop + i, level + i);
    for (; i < left; i += LANES)
        neon_out_floats(out, 1, 0, left - i < LANES ? left - i : LANES, n + i, at + n + i, pop + i, level + i);
}

#endif
