/* What becomes of the 16-bit counts of one pixel and up to 64 output channels: bnn_out of kernels.h, AVX2. */
#ifndef BNN_AVX2_OUT_H
#define BNN_AVX2_OUT_H

#include "../kernels.h"

#include <immintrin.h>

static inline __m256i out_load(const void *at) { return _mm256_loadu_si256((const __m256i *)at); }

static inline __m128i out_load_half(const void *at) { return _mm_loadu_si128((const __m128i *)at); }

/* Bit i: pop[i] > level[i], for 32 channels. */
static inline uint32_t out_above(const uint16_t *pop, const int16_t *level) {
    __m256i a = _mm256_cmpgt_epi16(out_load(pop), out_load(level));
    __m256i b = _mm256_cmpgt_epi16(out_load(pop + 16), out_load(level + 16));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xD8));
}

/* The first `lanes` (1 to 8) of 8 lanes. */
static inline __m256i out_lanes(uint32_t lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Counts of pixel (y, x) for channels n to n + width - 1, where width is 32 or 64 and n is a multiple of 64. A width of
 * 32 says that no channel past n + 31 exists. */
static inline void out_put(const bnn_bgemm_run *r, uint32_t y, uint32_t x, uint32_t n, uint32_t width,
                           const uint16_t *pop) {
    const bnn_out *out = &r->out;
    const size_t at = y * out->row_stride + x * out->stride;
    if (out->kind == BNN_OUT_COUNTS) {
        int32_t *counts = (int32_t *)out->data + at + n;
        const __m128i shift = _mm_cvtsi32_si128((int)out->shift);
        for (uint32_t i = 0; i < width; i += 8) {
            __m256i more = _mm256_sll_epi32(_mm256_cvtepu16_epi32(out_load_half(pop + i)), shift);
            _mm256_storeu_si256((__m256i *)(void *)(counts + i), _mm256_add_epi32(out_load(counts + i), more));
        }
        return;
    }
    const size_t row = (size_t)out->row_class[y] + out->col_class[x];
    const int16_t *level = out->level + row * bnn_round_up(r->shape->outputs, BNN_BLOCK) + n;
    if (out->kind == BNN_OUT_BITS) {
        uint64_t above = out_above(pop, level) | (uint64_t)(width > 32 ? out_above(pop + 32, level + 32) : ~0u) << 32;
        ((uint64_t *)out->data)[at + n / BNN_BLOCK] = ~above ^ out->flip[n / BNN_BLOCK];
        return;
    }
    float *data = (float *)out->data + at + n;
    const uint32_t left = r->n_end - n < width ? r->n_end - n : width;
    for (uint32_t i = 0; i < left; i += 8) {
        __m256i count = _mm256_cvtepu16_epi32(out_load_half(pop + i));
        __m256i dot = _mm256_sub_epi32(_mm256_cvtepi16_epi32(out_load_half(level + i)), _mm256_slli_epi32(count, 1));
        __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_loadu_ps(out->scale + n + i));
        __m256 sum = _mm256_add_ps(product, _mm256_loadu_ps(out->bias + n + i));
        if (left - i >= 8)
            _mm256_storeu_ps(data + i, sum);
        else
            _mm256_maskstore_ps(data + i, out_lanes(left - i), sum);
    }
}

#endif
