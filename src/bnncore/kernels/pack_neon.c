/* Numbers to bits, NEON.
 *
 * NEON has no move-mask. Compares give bytes of 0 or 0xFF (floats: four vectors of masks narrowed to one by UZP1); an
 * AND leaves in byte i the bit i % 8, and three pairwise additions (ADDP) turn 64 bytes into a word. For 64 floats 48
 * compares and ANDs, 12 UZP1, 4 ANDs and 4 ADDPs read 48 vectors; for 64 bytes 12 + 4 + 4 operations read 12. Where a
 * pixel has few channels, one vector takes one (floats) or two pixels (bytes), and widening additions, or look-ups that
 * leave zeros, spread the bits to whole words. Blocks that reach past the last channel use limits that nothing meets.
 */
#include "../kernels.h"
#include "neon_bits.h"

#include <string.h>

enum { BLOCK = 16, QUAD = 4, FEW_BYTES = 8, PLANES = 8 }; /* channels in a block; planes of a byte */

/* ---- float32 ranges ---- */

static inline uint32x4_t in_range_f32(const float *x, const float *low, const float *high) {
    float32x4_t v = vld1q_f32(x);
    return vandq_u32(vcgeq_f32(v, vld1q_f32(low)), vcleq_f32(v, vld1q_f32(high)));
}

static inline uint8x16_t block_f32(const float *x, const float *low, const float *high) {
    uint16x8_t a = vuzp1q_u16(vreinterpretq_u16_u32(in_range_f32(x, low, high)),
                              vreinterpretq_u16_u32(in_range_f32(x + 4, low + 4, high + 4)));
    uint16x8_t b = vuzp1q_u16(vreinterpretq_u16_u32(in_range_f32(x + 8, low + 8, high + 8)),
                              vreinterpretq_u16_u32(in_range_f32(x + 12, low + 12, high + 12)));
    return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
}

/* Pixels of at most 4 channels. */
static void few_f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high,
                    uint64_t *bits) {
    static const uint32_t lane_bits[QUAD] = {1, 2, 4, 8};
    float lows[QUAD] = {1, 1, 1, 1}, highs[QUAD] = {0};
    memcpy(lows, low, channels * sizeof(float));
    memcpy(highs, high, channels * sizeof(float));
    const uint32x4_t bit = vld1q_u32(lane_bits);
    for (size_t p = 0; p < pixels; p++, x += channels) {
        float last[QUAD] = {0};
        const int inside = (pixels - p) * channels >= QUAD;
        if (!inside) memcpy(last, x, channels * sizeof(float));
        bits[p] = vaddvq_u32(vandq_u32(in_range_f32(inside ? x : last, lows, highs), bit));
    }
}

static void f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits) {
    if (channels <= QUAD) {
        few_f32(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t words = bnn_words(channels), whole = channels / BLOCK * BLOCK, rest = channels - whole;
    const float *const end = x + pixels * channels;
    float lows[BLOCK], highs[BLOCK];
    for (size_t i = 0; i < BLOCK; i++) lows[i] = 1.0f, highs[i] = 0.0f;
    memcpy(lows, low + whole, rest * sizeof(float));
    memcpy(highs, high + whole, rest * sizeof(float));
    for (size_t p = 0; p < pixels; p++, x += channels)
        for (size_t w = 0; w < words; w++) {
            uint8x16_t block[4];
            for (size_t i = 0; i < 4; i++) {
                const size_t c = w * BNN_WORD_BITS + i * BLOCK;
                float last[BLOCK] = {0};
                if (c < whole) {
                    block[i] = block_f32(x + c, low + c, high + c);
                } else if (c == whole && rest) {
                    const int inside = end - (x + c) >= BLOCK;
                    if (!inside) memcpy(last, x + c, rest * sizeof(float));
                    block[i] = block_f32(inside ? x + c : last, lows, highs);
                } else {
                    block[i] = vdupq_n_u8(0);
                }
            }
            *bits++ = neon_bits_64(block[0], block[1], block[2], block[3]);
        }
}

/* ---- bytes ---- */

/* 16 bytes at x, or, where the buffer ends before, the `count` bytes that are left and zeros. */
static inline uint8x16_t load_bytes(const uint8_t *x, size_t count) {
    if (count >= BLOCK) return vld1q_u8(x);
    uint8_t copy[BLOCK] = {0};
    memcpy(copy, x, count);
    return vld1q_u8(copy);
}

static inline uint8x16_t in_range_u8(uint8x16_t x, uint8x16_t low, uint8x16_t high) {
    return vandq_u8(vcgeq_u8(x, low), vcleq_u8(x, high));
}

/* The limits of `count` channels; the other lanes hold the empty range. */
typedef struct limits_u8 {
    uint8x16_t low, high;
} limits_u8;

static limits_u8 limits_of(const uint8_t *low, const uint8_t *high, size_t count) {
    uint8_t l[BLOCK], h[BLOCK] = {0};
    memset(l, 1, sizeof l);
    memcpy(l, low, count);
    memcpy(h, high, count);
    return (limits_u8){vld1q_u8(l), vld1q_u8(h)};
}

/* Look-up that brings two pixels of at most 8 channels to the two halves; lanes past the channels become 0. */
static uint8x16_t two_pixels(size_t channels) {
    uint8_t from[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        from[i] = i % FEW_BYTES < channels ? (uint8_t)(i / FEW_BYTES * channels + i % FEW_BYTES) : 0xFF;
    return vld1q_u8(from);
}

/* Pixels of at most 8 channels. */
static void few_u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
                   uint64_t *bits) {
    const limits_u8 limit = limits_of(low, high, channels);
    const uint8x16_t from = two_pixels(channels), l = vcombine_u8(vget_low_u8(limit.low), vget_low_u8(limit.low)),
                     h = vcombine_u8(vget_low_u8(limit.high), vget_low_u8(limit.high)), bit = neon_bit_of_lane();
    for (size_t p = 0; p < pixels; p += 2, x += 2 * channels) {
        uint8x16_t v = vqtbl1q_u8(load_bytes(x, (pixels - p) * channels), from);
        uint64x2_t two = vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vandq_u8(in_range_u8(v, l, h), bit))));
        if (pixels - p >= 2)
            vst1q_u64(bits + p, two);
        else
            bits[p] = vgetq_lane_u64(two, 0);
    }
}

static void u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits) {
    if (channels <= FEW_BYTES) {
        few_u8(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t words = bnn_words(channels), whole = channels / BLOCK * BLOCK, rest = channels - whole;
    const uint8_t *const end = x + pixels * channels;
    const limits_u8 last = limits_of(low + whole, high + whole, rest);
    for (size_t p = 0; p < pixels; p++, x += channels)
        for (size_t w = 0; w < words; w++) {
            uint8x16_t block[4];
            for (size_t i = 0; i < 4; i++) {
                const size_t c = w * BNN_WORD_BITS + i * BLOCK;
                if (c < whole)
                    block[i] = in_range_u8(vld1q_u8(x + c), vld1q_u8(low + c), vld1q_u8(high + c));
                else if (c == whole && rest)
                    block[i] = in_range_u8(load_bytes(x + c, (size_t)(end - (x + c))), last.low, last.high);
                else
                    block[i] = vdupq_n_u8(0);
            }
            *bits++ = neon_bits_64(block[0], block[1], block[2], block[3]);
        }
}

/* ---- planes ---- */

/* Bit b of 64 channels. */
static inline uint8x16_t plane_eighths(const uint8x16_t x[4], uint8x16_t plane) {
    const uint8x16_t bit = neon_bit_of_lane();
    uint8x16_t a = vandq_u8(vtstq_u8(x[0], plane), bit), b = vandq_u8(vtstq_u8(x[1], plane), bit);
    uint8x16_t c = vandq_u8(vtstq_u8(x[2], plane), bit), d = vandq_u8(vtstq_u8(x[3], plane), bit);
    return vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
}

/* Bit j of byte i goes to bit i of byte j, in each half (Warren, Hacker's Delight, 7-3). */
static inline uint64x2_t transpose_8x8(uint64x2_t x) {
    uint64x2_t t = vandq_u64(veorq_u64(x, vshrq_n_u64(x, 7)), vdupq_n_u64(UINT64_C(0x00AA00AA00AA00AA)));
    x = veorq_u64(x, veorq_u64(t, vshlq_n_u64(t, 7)));
    t = vandq_u64(veorq_u64(x, vshrq_n_u64(x, 14)), vdupq_n_u64(UINT64_C(0x0000CCCC0000CCCC)));
    x = veorq_u64(x, veorq_u64(t, vshlq_n_u64(t, 14)));
    t = vandq_u64(veorq_u64(x, vshrq_n_u64(x, 28)), vdupq_n_u64(UINT64_C(0x00000000F0F0F0F0)));
    return veorq_u64(x, veorq_u64(t, vshlq_n_u64(t, 28)));
}

/* Pixels of at most 8 channels. */
static void few_planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    const uint8x16_t from = two_pixels(channels);
    for (size_t p = 0; p < pixels; p += 2, x += 2 * channels) {
        uint8x16_t v = vqtbl1q_u8(load_bytes(x, (pixels - p) * channels), from);
        uint64x2_t t = transpose_8x8(vreinterpretq_u64_u8(v));
        for (size_t b = 0; b < PLANES; b++) {
            uint64x2_t two = vandq_u64(vshlq_u64(t, vdupq_n_s64(-8 * (int64_t)b)), vdupq_n_u64(0xFF));
            uint64_t *at = bits + b * plane_words + p;
            if (pixels - p >= 2)
                vst1q_u64(at, two);
            else
                *at = vgetq_lane_u64(two, 0);
        }
    }
}

static void planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    if (channels <= FEW_BYTES) {
        few_planes(x, pixels, channels, bits, plane_words);
        return;
    }
    const size_t words = bnn_words(channels), whole = channels / BLOCK * BLOCK, rest = channels - whole;
    const uint8_t *const end = x + pixels * channels;
    uint8_t keep[BLOCK] = {0};
    memset(keep, 0xFF, rest);
    for (size_t p = 0; p < pixels; p++, x += channels)
        for (size_t w = 0; w < words; w++, bits++) {
            uint8x16_t v[4];
            for (size_t i = 0; i < 4; i++) {
                const size_t c = w * BNN_WORD_BITS + i * BLOCK;
                v[i] = vdupq_n_u8(0);
                if (c < whole)
                    v[i] = vld1q_u8(x + c);
                else if (c == whole && rest)
                    v[i] = vandq_u8(load_bytes(x + c, (size_t)(end - (x + c))), vld1q_u8(keep));
            }
            for (size_t b = 0; b < PLANES; b += 2) {
                uint64x2_t two = vreinterpretq_u64_u8(vpaddq_u8(plane_eighths(v, vdupq_n_u8((uint8_t)(1u << b))),
                                                                plane_eighths(v, vdupq_n_u8((uint8_t)(2u << b)))));
                vst1q_lane_u64(bits + b * plane_words, two, 0);
                vst1q_lane_u64(bits + (b + 1) * plane_words, two, 1);
            }
        }
}

const bnn_pack_kernel bnn_pack_neon = {.isa = BNN_ISA_neon, .f32 = f32, .u8 = u8, .planes = planes};
