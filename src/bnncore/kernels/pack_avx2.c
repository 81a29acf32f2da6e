/* Numbers to bits, AVX2.
 *
 * 32 channels at a time: compare with the limits, and take the sign bits (vpmovmskb; four vectors of floats are packed
 * to bytes first). The limits stay in registers for a group of pixels, so a vector of floats costs one load, two
 * compares and an AND, and four of them three packs, a permutation and the mask: 17 operations for 32 floats, 7.5 a
 * cycle on four ports (5.7 measured on a Zen 5 core). A byte lies in [low, high] where both saturated
 * differences are 0: 4 operations and the mask for 32. Planes take eight masks, with a doubling (vpaddb) between them:
 * vpmovmskb has one port, so 4 bytes a cycle. Where a pixel has few channels, a vector takes several pixels, with the
 * limits repeated, and its mask is cut up.
 */
#include "../kernels.h"

#include <immintrin.h>
#include <string.h>

enum {
    FLOATS = 8,     /* in a vector */
    BYTES = 32,     /* in a vector */
    PLANES = 8,     /* of a byte */
    BLOCK = 32,     /* channels at a time: half a word */
    TOGETHER = 16,  /* pixels at a time */
    FEW_FLOATS = 4, /* channels that fit a vector twice */
    FEW_BYTES = 16
};

static inline uint32_t low_bits(size_t n) { return n < 32 ? (1u << n) - 1 : ~0u; }

/* The bits of a block; it has the word to itself where it is the first half and no second follows. */
static inline void put_block(uint64_t *words, size_t block, uint32_t bits, int alone) {
    if (alone)
        words[block / 2] = bits;
    else
        memcpy((unsigned char *)words + block * sizeof bits, &bits, sizeof bits);
}

static inline int is_alone(size_t block, size_t channels) { return block % 2 == 0 && channels <= (block + 1) * BLOCK; }

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* ---- float32 ranges ---- */

/* The first `lanes` (0 to 8) lanes, for masked loads. */
static inline __m256i lane_mask(size_t lanes) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), lane);
}

static inline __m256 in_range_f32(__m256 x, __m256 low, __m256 high) {
    return _mm256_and_ps(_mm256_cmp_ps(low, x, _CMP_LE_OQ), _mm256_cmp_ps(x, high, _CMP_LE_OQ));
}

static inline __m256i pack_32(__m256 a, __m256 b) {
    return _mm256_packs_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b));
}

/* The bits of four vectors of comparisons. */
static inline uint32_t mask_f32(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* packs work within halves */
    __m256i bytes = _mm256_packs_epi16(pack_32(a, b), pack_32(c, d));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order));
}

static void block_f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, size_t block,
                      uint64_t *bits) {
    const int alone = is_alone(block, channels);
    const size_t words = bnn_words(channels);
    const float *l = low + block * BLOCK, *h = high + block * BLOCK;
    const __m256 l0 = _mm256_loadu_ps(l), l1 = _mm256_loadu_ps(l + 8), l2 = _mm256_loadu_ps(l + 16),
                 l3 = _mm256_loadu_ps(l + 24), h0 = _mm256_loadu_ps(h), h1 = _mm256_loadu_ps(h + 8),
                 h2 = _mm256_loadu_ps(h + 16), h3 = _mm256_loadu_ps(h + 24);
    x += block * BLOCK;
    for (; pixels--; x += channels, bits += words) {
        const __m256 a = in_range_f32(_mm256_loadu_ps(x), l0, h0), b = in_range_f32(_mm256_loadu_ps(x + 8), l1, h1);
        const __m256 c = in_range_f32(_mm256_loadu_ps(x + 16), l2, h2),
                     d = in_range_f32(_mm256_loadu_ps(x + 24), l3, h3);
        put_block(bits, block, mask_f32(a, b, c, d), alone);
    }
}

/* Limits of the channels past the last whole block; unused lanes hold the empty range. */
typedef struct tail_f32 {
    float low[BLOCK], high[BLOCK];
} tail_f32;

static void rest_f32(const float *x, size_t pixels, size_t channels, const tail_f32 *tail, uint64_t *bits) {
    const size_t block = channels / BLOCK, rest = channels % BLOCK, whole = rest / FLOATS * FLOATS;
    const __m256i lanes = lane_mask(rest - whole);
    const int alone = is_alone(block, channels);
    x += block * BLOCK;
    for (; pixels--; x += channels, bits += bnn_words(channels)) {
        uint32_t mask = 0;
        for (size_t c = 0; c < rest; c += FLOATS) {
            const __m256 v = c < whole ? _mm256_loadu_ps(x + c) : _mm256_maskload_ps(x + c, lanes);
            const __m256 in = in_range_f32(v, _mm256_loadu_ps(tail->low + c), _mm256_loadu_ps(tail->high + c));
            mask |= (uint32_t)_mm256_movemask_ps(in) << c;
        }
        put_block(bits, block, mask, alone);
    }
}

static void few_f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high,
                    uint64_t *bits) {
    float lows[FLOATS] = {0}, highs[FLOATS] = {0};
    const size_t together = FLOATS / channels;
    for (size_t i = 0; i < together * channels; i++) lows[i] = low[i % channels], highs[i] = high[i % channels];
    const __m256 l = _mm256_loadu_ps(lows), h = _mm256_loadu_ps(highs);
    const uint32_t one = low_bits(channels);
    for (size_t p = 0; p < pixels; p += together, x += together * channels) {
        const size_t count = least(pixels - p, together), left = (pixels - p) * channels;
        const __m256 v = left >= FLOATS ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, lane_mask(left));
        uint32_t mask = (uint32_t)_mm256_movemask_ps(in_range_f32(v, l, h));
        for (size_t i = 0; i < count; i++, mask >>= channels) *bits++ = mask & one;
    }
}

static void f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits) {
    if (channels <= FEW_FLOATS) {
        few_f32(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t blocks = channels / BLOCK, rest = channels % BLOCK;
    tail_f32 tail;
    for (size_t i = 0; i < BLOCK; i++) {
        tail.low[i] = i < rest ? low[blocks * BLOCK + i] : 1;
        tail.high[i] = i < rest ? high[blocks * BLOCK + i] : 0;
    }
    for (size_t p = 0; p < pixels; p += TOGETHER) {
        const size_t count = least(pixels - p, TOGETHER);
        const float *at = x + p * channels;
        uint64_t *to = bits + p * bnn_words(channels);
        for (size_t b = 0; b < blocks; b++) block_f32(at, count, channels, low, high, b, to);
        if (rest) rest_f32(at, count, channels, &tail, to);
    }
}

/* ---- bytes ---- */

static inline __m256i load(const uint8_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }

/* The first `lanes` bytes at x, and no byte past them; the rest is 0. */
static inline __m256i load_some(const uint8_t *x, size_t lanes) {
    if (lanes >= BYTES) return load(x);
    uint8_t copy[BYTES] = {0};
    memcpy(copy, x, lanes);
    return load(copy);
}

static inline uint32_t in_range_u8(__m256i x, __m256i low, __m256i high) {
    __m256i outside = _mm256_or_si256(_mm256_subs_epu8(low, x), _mm256_subs_epu8(x, high));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(outside, _mm256_setzero_si256()));
}

/* Limits of `channels` channels (at most 32), repeated for some pixels; unused lanes hold the empty range. */
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
    return (limits_u8){load(l), load(h)};
}

static void few_u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
                   uint64_t *bits) {
    const size_t together = BYTES / channels;
    const limits_u8 limit = limits_of(low, high, channels, together);
    const uint32_t one = low_bits(channels);
    for (size_t p = 0; p < pixels; p += together, x += together * channels) {
        const size_t count = least(pixels - p, together);
        const uint32_t mask = in_range_u8(load_some(x, (pixels - p) * channels), limit.low, limit.high);
        for (size_t i = 0; i < count; i++) *bits++ = mask >> i * channels & one;
    }
}

static void u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits) {
    if (channels <= FEW_BYTES) {
        few_u8(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t words = bnn_words(channels), whole = channels / BLOCK * BLOCK, total = pixels * channels;
    const limits_u8 tail = limits_of(low + whole, high + whole, channels - whole, 1);
    for (size_t first = 0; first < pixels; first += TOGETHER) {
        const size_t end = first + least(pixels - first, TOGETHER);
        for (size_t c = 0; c < whole; c += BLOCK) {
            const __m256i l = load(low + c), h = load(high + c);
            const int alone = is_alone(c / BLOCK, channels);
            for (size_t p = first; p < end; p++)
                put_block(bits + p * words, c / BLOCK, in_range_u8(load(x + p * channels + c), l, h), alone);
        }
        if (whole == channels) continue;
        for (size_t p = first, at = p * channels + whole; p < end; p++, at += channels) {
            const uint32_t mask = in_range_u8(load_some(x + at, total - at), tail.low, tail.high);
            put_block(bits + p * words, whole / BLOCK, mask, is_alone(whole / BLOCK, channels));
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
        const size_t count = least(pixels - p, together);
        uint32_t mask[PLANES];
        plane_masks(load_some(x, (pixels - p) * channels), mask);
        for (size_t b = 0; b < PLANES; b++)
            for (size_t i = 0; i < count; i++) bits[b * plane_words + p + i] = mask[b] >> i * channels & one;
    }
}

static void planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    if (channels <= FEW_BYTES) {
        few_planes(x, pixels, channels, bits, plane_words);
        return;
    }
    const size_t words = bnn_words(channels), total = pixels * channels;
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c += BLOCK) {
            const uint32_t keep = low_bits(channels - c);
            const int alone = is_alone(c / BLOCK, channels);
            uint32_t mask[PLANES];
            plane_masks(load_some(x + p * channels + c, total - p * channels - c), mask);
            for (size_t b = 0; b < PLANES; b++)
                put_block(bits + b * plane_words + p * words, c / BLOCK, mask[b] & keep, alone);
        }
}

const bnn_pack_kernel bnn_pack_avx2 = {.isa = BNN_ISA_avx2, .f32 = f32, .u8 = u8, .planes = planes};
