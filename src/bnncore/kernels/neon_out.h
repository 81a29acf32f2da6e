/* What becomes of the 16-bit counts of one pixel and up to 64 output channels: bnn_out of kernels.h, NEON. */
#ifndef BNN_NEON_OUT_H
#define BNN_NEON_OUT_H

#include "../kernels.h"
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

/* (float)dot * scale + bias for 4 channels, rounded twice. */
static inline float32x4_t neon_out_float(int16x4_t dot, const float *scale, const float *bias) {
    float32x4_t product = vmulq_f32(vcvtq_f32_s32(vmovl_s16(dot)), vld1q_f32(scale));
    return vaddq_f32(product, vld1q_f32(bias));
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
    float *data = (float *)out->data + at + n;
    const float *scale = out->scale + n, *bias = out->bias + n, *with = out->with ? out->with + at + n : NULL;
    const uint32_t left = r->n_end - n < width ? r->n_end - n : width;
    for (uint32_t i = 0; i < left; i += 8) {
        int16x8_t dot = vsubq_s16(vld1q_s16(level + i), vshlq_n_s16(neon_out_load(pop + i), 1));
        float32x4_t low = neon_out_float(vget_low_s16(dot), scale + i, bias + i);
        float32x4_t high = neon_out_float(vget_high_s16(dot), scale + i + 4, bias + i + 4);
        if (left - i >= 8) {
            if (with) low = vaddq_f32(low, vld1q_f32(with + i)), high = vaddq_f32(high, vld1q_f32(with + i + 4));
            vst1q_f32(data + i, low);
            vst1q_f32(data + i + 4, high);
        } else {
            float last[8];
            vst1q_f32(last, low);
            vst1q_f32(last + 4, high);
            for (uint32_t j = i; j < left; j++) data[j] = with ? last[j - i] + with[j] : last[j - i];
        }
    }
}

#endif
