/* Numbers to bits, AVX2.
 *
 * Compare a vector of channels with its limits and take the sign bits (vmovmskps: 8 floats; vpmovmskb: 32 bytes); a
 * word of bits is 8 or 2 such masks. vmovmsk runs on one port on every AVX2 core, so the bounds are 8 floats and 32
 * bytes a cycle; reading x from beyond L2 is slower. A byte lies in [low, high] where both saturated differences are 0.
 * For the planes of a byte vector, eight vpmovmskb with a doubling (vpaddb) between them. Where a pixel has few
 * channels one vector takes several pixels, with the limits repeated, and its mask is cut up.
 */
#include "../kernels.h"

#include <immintrin.h>
#include <string.h>

enum { FLOATS = 8, BYTES = 32, PLANES = 8 }; /* elements in a vector, planes of a byte */

/* ---- float32 ranges ---- */

/* The first `lanes` (0 to 8) lanes, for masked loads. */
static inline __m256i lane_mask(size_t lanes) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), lane);
}

static inline uint32_t in_range_f32(__m256 x, __m256 low, __m256 high) {
    __m256 above = _mm256_cmp_ps(low, x, _CMP_LE_OQ), below = _mm256_cmp_ps(x, high, _CMP_LE_OQ);
    return (uint32_t)_mm256_movemask_ps(_mm256_and_ps(above, below));
}

/* The word of `n` (1 to 64) channels that start at x. */
static inline uint64_t word_f32(const float *x, const float *low, const float *high, size_t n) {
    uint64_t word = 0;
    size_t c = 0;
    for (; c + FLOATS <= n; c += FLOATS)
        word |= (uint64_t)in_range_f32(_mm256_loadu_ps(x + c), _mm256_loadu_ps(low + c), _mm256_loadu_ps(high + c))
                << c;
    if (c < n) {
        __m256i lanes = lane_mask(n - c);
        uint32_t mask = in_range_f32(_mm256_maskload_ps(x + c, lanes), _mm256_maskload_ps(low + c, lanes),
                                     _mm256_maskload_ps(high + c, lanes));
        word |= (uint64_t)(mask & ((1u << (n - c)) - 1)) << c;
    }
    return word;
}

/* Pixels of at most 4 channels, as many as a vector holds at a time. */
static void few_f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high,
                    uint64_t *bits) {
    float lows[FLOATS] = {0}, highs[FLOATS] = {0};
    const size_t together = FLOATS / channels;
    for (size_t i = 0; i < together * channels; i++) lows[i] = low[i % channels], highs[i] = high[i % channels];
    const __m256 l = _mm256_loadu_ps(lows), h = _mm256_loadu_ps(highs);
    const uint32_t one = (1u << channels) - 1;
    for (size_t p = 0; p < pixels; p += together, x += together * channels) {
        size_t count = pixels - p < together ? pixels - p : together, left = (pixels - p) * channels;
        __m256 v = left >= FLOATS ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, lane_mask(left));
        uint32_t mask = in_range_f32(v, l, h);
        for (size_t i = 0; i < count; i++, mask >>= channels) *bits++ = mask & one;
    }
}

static void f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits) {
    if (2 * channels <= FLOATS) {
        few_f32(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t whole = channels / BNN_WORD_BITS * BNN_WORD_BITS;
    for (size_t p = 0; p < pixels; p++, x += channels) {
        for (size_t c = 0; c < whole; c += BNN_WORD_BITS) *bits++ = word_f32(x + c, low + c, high + c, BNN_WORD_BITS);
        if (whole < channels) *bits++ = word_f32(x + whole, low + whole, high + whole, channels - whole);
    }
}

/* ---- bytes ---- */

/* The first `lanes` bytes at x, and no byte past them; the rest is 0. */
static inline __m256i load_bytes(const uint8_t *x, size_t lanes) {
    if (lanes >= BYTES) return _mm256_loadu_si256((const __m256i *)(const void *)x);
    uint8_t copy[BYTES] = {0};
    memcpy(copy, x, lanes);
    return _mm256_loadu_si256((const __m256i *)(const void *)copy);
}

static inline uint32_t in_range_u8(__m256i x, __m256i low, __m256i high) {
    __m256i outside = _mm256_or_si256(_mm256_subs_epu8(low, x), _mm256_subs_epu8(x, high));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(outside, _mm256_setzero_si256()));
}

static inline uint32_t low_bits(size_t n) { return n < 32 ? (1u << n) - 1 : ~0u; }

/* Limits of the channels past the last whole vector, or of several small pixels; unused lanes hold the empty range. */
typedef struct limits_u8 {
    __m256i low, high;
} limits_u8;

static limits_u8 limits_of(const uint8_t *low, const uint8_t *high, size_t channels, size_t pixels) {
    uint8_t l[BYTES], h[BYTES];
    memset(l, 1, sizeof l);
    memset(h, 0, sizeof h);
    for (size_t p = 0; p < pixels; p++) {
        memcpy(l + p * channels, low, channels);
        memcpy(h + p * channels, high, channels);
    }
    return (limits_u8){load_bytes(l, BYTES), load_bytes(h, BYTES)};
}

/* Pixels of at most 16 channels. */
static void few_u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
                   uint64_t *bits) {
    const size_t together = BYTES / channels;
    const limits_u8 limit = limits_of(low, high, channels, together);
    const uint32_t one = low_bits(channels);
    for (size_t p = 0; p < pixels; p += together, x += together * channels) {
        size_t count = pixels - p < together ? pixels - p : together;
        uint32_t mask = in_range_u8(load_bytes(x, (pixels - p) * channels), limit.low, limit.high);
        for (size_t i = 0; i < count; i++) *bits++ = mask >> i * channels & one;
    }
}

static void u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits) {
    if (2 * channels <= BYTES) {
        few_u8(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t whole = channels / BYTES * BYTES, words = bnn_words(channels);
    const limits_u8 last = limits_of(low + whole, high + whole, channels - whole, 1);
    const uint8_t *end = x + pixels * channels;
    for (size_t p = 0; p < pixels; p++, bits += words) {
        const uint8_t *at = x + p * channels;
        memset(bits, 0, words * BNN_WORD_BYTES);
        for (size_t c = 0; c < whole; c += BYTES) {
            uint32_t mask =
                in_range_u8(load_bytes(at + c, BYTES), load_bytes(low + c, BYTES), load_bytes(high + c, BYTES));
            bits[c / BNN_WORD_BITS] |= (uint64_t)mask << c % BNN_WORD_BITS;
        }
        if (whole < channels) { /* the empty ranges give the pixel's pad bits their 0 */
            uint32_t mask = in_range_u8(load_bytes(at + whole, (size_t)(end - at) - whole), last.low, last.high);
            bits[words - 1] |= (uint64_t)mask << whole % BNN_WORD_BITS;
        }
    }
}

/* Bit b of each byte, for b from 7 down to 0. */
static inline void plane_masks(__m256i x, uint32_t mask[PLANES]) {
    for (size_t b = PLANES; b-- > 0; x = _mm256_add_epi8(x, x)) mask[b] = (uint32_t)_mm256_movemask_epi8(x);
}

static void few_planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    const size_t together = BYTES / channels;
    const uint32_t one = low_bits(channels);
    for (size_t p = 0; p < pixels; p += together, x += together * channels) {
        size_t count = pixels - p < together ? pixels - p : together;
        uint32_t mask[PLANES];
        plane_masks(load_bytes(x, (pixels - p) * channels), mask);
        for (size_t b = 0; b < PLANES; b++)
            for (size_t i = 0; i < count; i++) bits[b * plane_words + p + i] = mask[b] >> i * channels & one;
    }
}

static void planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    if (2 * channels <= BYTES) {
        few_planes(x, pixels, channels, bits, plane_words);
        return;
    }
    const size_t words = bnn_words(channels);
    const uint8_t *end = x + pixels * channels;
    for (size_t p = 0; p < pixels; p++, bits += words) {
        const uint8_t *at = x + p * channels;
        for (size_t c = 0; c < channels; c += BYTES) {
            uint32_t mask[PLANES], keep = low_bits(channels - c);
            plane_masks(load_bytes(at + c, (size_t)(end - at) - c), mask);
            for (size_t b = 0; b < PLANES; b++) {
                uint64_t *word = bits + b * plane_words + c / BNN_WORD_BITS, part = mask[b] & keep;
                *word = c % BNN_WORD_BITS ? *word | part << BNN_WORD_BITS / 2 : part;
            }
        }
    }
}

const bnn_pack_kernel bnn_pack_avx2 = {.isa = BNN_ISA_avx2, .f32 = f32, .u8 = u8, .planes = planes};
