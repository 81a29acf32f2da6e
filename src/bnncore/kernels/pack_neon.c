/* Numbers to bits, NEON.
 *
 * NEON has no move-mask. Compares give bytes of 0 or 0xFF (floats: four vectors of masks narrowed to one by UZP1); an
 * AND leaves in byte i the bit i % 8, and three pairwise additions (ADDP) turn 64 bytes into a word. Where a pixel has
 * few channels, one vector takes one pixel (floats) or two (bytes), and additions spread the bits to whole words.
 * Channels past the last one get limits that nothing meets.
 *
 * A word takes 68 operations and 48 loads from floats, 20 and 12 from bytes (two thirds of the loads are limits), 92
 * and 4 to eight planes. llvm-mca 19, cycles a word from gcc 12 in this order: 36.6, 10.6, 50.5 on neoverse-n1
 * (bounds 36.5, 10.5, 50.5), 18.1, 5.3, 25.3 on neoverse-v1 (17, 5, 23.3), 22.7, 7.1, 32.4 on apple-m1
 * (22.7, 6.7, 32.3), 80, 18.1, 48.6 on cortex-a72 (70.3, 15.7, 48.5). Two pixels of few channels to planes, 24
 * operations and 8 stores: 23.0 (20), 9.2 (8.2), 10.1 (8), 25.1 (21.7).
 */
#include "../kernels.h"
#include "neon_bits.h"

#include <string.h>

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 8")
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

enum {
    BLOCK = 16,      /* channels in a vector of bytes */
    WORD_BLOCKS = 4, /* blocks in a word */
    QUAD = 4,        /* channels in a vector of floats */
    FEW_BYTES = 8,
    PLANES = 8 /* bits of a byte */
};

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

/* The first 16 * blocks channels of a word; the others give 0. */
UNROLLED uint64_t word_f32(const float *x, const float *low, const float *high, const size_t blocks) {
    uint8x16_t block[WORD_BLOCKS];
    UNROLL for (size_t i = 0; i < WORD_BLOCKS; i++) {
        block[i] = vdupq_n_u8(0);
        if (i < blocks) block[i] = block_f32(x + i * BLOCK, low + i * BLOCK, high + i * BLOCK);
    }
    return neon_bits_64(block[0], block[1], block[2], block[3]);
}

static void f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits) {
    if (channels <= QUAD) {
        few_f32(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t whole = channels / BNN_WORD_BITS * BNN_WORD_BITS, rest = channels - whole;
    const float *const end = x + pixels * channels;
    float lows[BNN_WORD_BITS], highs[BNN_WORD_BITS], copy[BNN_WORD_BITS] = {0};
    for (size_t i = 0; i < BNN_WORD_BITS; i++) lows[i] = 1.0f, highs[i] = 0.0f;
    memcpy(lows, low + whole, rest * sizeof(float));
    memcpy(highs, high + whole, rest * sizeof(float));
    for (size_t p = 0; p < pixels; p++, x += channels) {
        for (size_t c = 0; c < whole; c += BNN_WORD_BITS) *bits++ = word_f32(x + c, low + c, high + c, WORD_BLOCKS);
        if (!rest) continue;
        const float *last = x + whole;
        if ((size_t)(end - last) < BNN_WORD_BITS) last = memcpy(copy, last, rest * sizeof(float));
        *bits++ = rest <= BLOCK ? word_f32(last, lows, highs, 1) : word_f32(last, lows, highs, WORD_BLOCKS);
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
    uint8_t lows[BLOCK], highs[BLOCK] = {0};
    memset(lows, 1, sizeof lows);
    for (size_t i = 0; i < 2; i++) {
        memcpy(lows + i * FEW_BYTES, low, channels);
        memcpy(highs + i * FEW_BYTES, high, channels);
    }
    const uint8x16_t from = two_pixels(channels), l = vld1q_u8(lows), h = vld1q_u8(highs), bit = neon_bit_of_lane();
    for (size_t p = 0; p < pixels; p += 2, x += 2 * channels) {
        uint8x16_t v = vqtbl1q_u8(load_bytes(x, (pixels - p) * channels), from);
        uint64x2_t two = vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vandq_u8(in_range_u8(v, l, h), bit))));
        if (pixels - p >= 2)
            vst1q_u64(bits + p, two);
        else
            bits[p] = vgetq_lane_u64(two, 0);
    }
}

/* The first 16 * blocks channels of a word; the others give 0. */
UNROLLED uint64_t word_u8(const uint8_t *x, const uint8_t *low, const uint8_t *high, const size_t blocks) {
    uint8x16_t block[WORD_BLOCKS];
    UNROLL for (size_t i = 0; i < WORD_BLOCKS; i++) {
        block[i] = vdupq_n_u8(0);
        if (i < blocks)
            block[i] = in_range_u8(vld1q_u8(x + i * BLOCK), vld1q_u8(low + i * BLOCK), vld1q_u8(high + i * BLOCK));
    }
    return neon_bits_64(block[0], block[1], block[2], block[3]);
}

static void u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits) {
    if (channels <= FEW_BYTES) {
        few_u8(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t whole = channels / BNN_WORD_BITS * BNN_WORD_BITS, rest = channels - whole;
    const uint8_t *const end = x + pixels * channels;
    uint8_t lows[BNN_WORD_BITS], highs[BNN_WORD_BITS] = {0}, copy[BNN_WORD_BITS] = {0};
    memset(lows, 1, sizeof lows);
    memcpy(lows, low + whole, rest);
    memcpy(highs, high + whole, rest);
    for (size_t p = 0; p < pixels; p++, x += channels) {
        for (size_t c = 0; c < whole; c += BNN_WORD_BITS) *bits++ = word_u8(x + c, low + c, high + c, WORD_BLOCKS);
        if (!rest) continue;
        const uint8_t *last = x + whole;
        if ((size_t)(end - last) < BNN_WORD_BITS) last = memcpy(copy, last, rest);
        *bits++ = rest <= BLOCK ? word_u8(last, lows, highs, 1) : word_u8(last, lows, highs, WORD_BLOCKS);
    }
}

/* ---- planes ---- */

/* Bit j of byte i goes to bit i of byte j, in each half (Warren, Hacker's Delight, 7-3): squares of 1, 2, and 4 bits
 * change places with those across the diagonal. */
static inline uint64x2_t transpose_8x8(uint64x2_t x) {
#define SWAP(distance, upper)                                                                                          \
    vbslq_u64(vdupq_n_u64(UINT64_C(upper)), vshrq_n_u64(x, distance),                                                  \
              vbslq_u64(vdupq_n_u64(UINT64_C(upper) << (distance)), vshlq_n_u64(x, distance), x))
    x = SWAP(7, 0x00AA00AA00AA00AA);
    x = SWAP(14, 0x0000CCCC0000CCCC);
    return SWAP(28, 0x00000000F0F0F0F0);
#undef SWAP
}

/* Two pixels, a half of x each, or the first of them. */
UNROLLED void put_planes(uint8x16_t x, const int both, uint64_t *bits, size_t plane_words) {
    const uint64x2_t t = transpose_8x8(vreinterpretq_u64_u8(x));
    /* with planes 0, 2, 4 and 6 at the lower end, and 7, 5, 3 and 1 at the upper */
    const uint64x2_t ends[PLANES / 2] = {t, vreinterpretq_u64_u16(vrev32q_u16(vreinterpretq_u16_u64(t))),
                                         vreinterpretq_u64_u32(vrev64q_u32(vreinterpretq_u32_u64(t))),
                                         vreinterpretq_u64_u16(vrev64q_u16(vreinterpretq_u16_u64(t)))};
    UNROLL for (size_t b = 0; b < PLANES; b++, bits += plane_words) {
        uint64x2_t two = b % 2 ? vshrq_n_u64(ends[(PLANES - b) / 2], 56) : vandq_u64(ends[b / 2], vdupq_n_u64(0xFF));
        if (both)
            vst1q_u64(bits, two);
        else
            *bits = vgetq_lane_u64(two, 0);
    }
}

/* Pixels of at most 8 channels. */
static void few_planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    const uint8x16_t from = two_pixels(channels);
    for (; pixels * channels >= BLOCK; pixels -= 2, x += 2 * channels, bits += 2)
        put_planes(vqtbl1q_u8(vld1q_u8(x), from), 1, bits, plane_words);
    uint8_t rest[2 * BLOCK] = {0};
    x = memcpy(rest, x, pixels * channels);
    for (; pixels >= 2; pixels -= 2, x += 2 * channels, bits += 2)
        put_planes(vqtbl1q_u8(vld1q_u8(x), from), 1, bits, plane_words);
    if (pixels) put_planes(vqtbl1q_u8(vld1q_u8(x), from), 0, bits, plane_words);
}

/* 64 bytes at x, of which `keep` lets bits through, to the word `bits` of each plane. */
UNROLLED void word_planes(const uint8_t *x, const uint8_t *keep, uint64_t *bits, size_t plane_words) {
    const uint8x16_t bit = neon_bit_of_lane();
    uint8x16_t v[WORD_BLOCKS], x8[PLANES];
    UNROLL for (size_t i = 0; i < WORD_BLOCKS; i++) {
        v[i] = vld1q_u8(x + i * BLOCK);
        if (keep) v[i] = vandq_u8(v[i], vld1q_u8(keep + i * BLOCK));
    }
    UNROLL for (size_t b = 0; b < PLANES; b++) {
        const uint8x16_t plane = vdupq_n_u8((uint8_t)(1u << b));
        uint8x16_t m[WORD_BLOCKS];
        UNROLL for (size_t i = 0; i < WORD_BLOCKS; i++) m[i] = vandq_u8(vtstq_u8(v[i], plane), bit);
        x8[b] = vpaddq_u8(vpaddq_u8(m[0], m[1]), vpaddq_u8(m[2], m[3]));
    }
    UNROLL for (size_t b = 0; b < PLANES; b += 2) {
        uint64x2_t two = vreinterpretq_u64_u8(vpaddq_u8(x8[b], x8[b + 1]));
        vst1q_lane_u64(bits + b * plane_words, two, 0);
        vst1q_lane_u64(bits + (b + 1) * plane_words, two, 1);
    }
}

static void planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    if (channels <= FEW_BYTES) {
        few_planes(x, pixels, channels, bits, plane_words);
        return;
    }
    const size_t whole = channels / BNN_WORD_BITS * BNN_WORD_BITS, rest = channels - whole;
    const uint8_t *const end = x + pixels * channels;
    uint8_t keep[BNN_WORD_BITS] = {0}, copy[BNN_WORD_BITS] = {0};
    memset(keep, 0xFF, rest);
    for (size_t p = 0; p < pixels; p++, x += channels) {
        for (size_t c = 0; c < whole; c += BNN_WORD_BITS) word_planes(x + c, NULL, bits++, plane_words);
        if (!rest) continue;
        const uint8_t *last = x + whole;
        if ((size_t)(end - last) < BNN_WORD_BITS) last = memcpy(copy, last, rest);
        word_planes(last, keep, bits++, plane_words);
    }
}

const bnn_pack_kernel bnn_pack_neon = {.isa = BNN_ISA_neon, .f32 = f32, .u8 = u8, .planes = planes};
