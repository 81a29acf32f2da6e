/* Numbers to bits, AVX-512.
 *
 * A compare gives its mask at once, and a second compare under that mask closes the range: 16 floats or 64 bytes in two
 * compares. The channels of one word at a time pass over all pixels, so that their limits stay in registers and each
 * vector of x is one load. For the planes of a byte vector, eight vptestmb. Compares into masks run on one port on
 * Intel cores and on two on Zen 4 and 5, so the bounds are 8 floats or 32 bytes a cycle (Ice Lake); on Zen 5 8.5 and 36
 * were measured. Where a vector holds several pixels, the limits are repeated, and the mask is cut into up to
 * eight words at once by a shift with a count for each lane.
 */
#include "../kernels.h"

#include <immintrin.h>

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 8")
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

enum { FLOATS = 16, BYTES = 64, WORDS = 8, PLANES = 8 }; /* elements in a vector, planes of a byte */

static inline uint64_t low_bits(size_t n) { return n < 64 ? (UINT64_C(1) << n) - 1 : ~UINT64_C(0); }

/* ---- pixels of few channels: the masks of several at once ---- */

/* How a mask of `together` pixels, channel after channel, becomes words. */
typedef struct cut {
    size_t channels;
    __m512i shift, keep;
} cut;

static inline cut cut_of(size_t channels) {
    const __m512i lane = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    return (cut){channels, _mm512_mullo_epi32(lane, _mm512_set1_epi64((long long)channels)),
                 _mm512_set1_epi64((long long)low_bits(channels))};
}

static inline void put_words(const cut *c, uint64_t mask, uint64_t *bits, size_t pixels) {
    for (size_t p = 0; p < pixels; p += WORDS) {
        const __m512i words = _mm512_srlv_epi64(_mm512_set1_epi64((long long)mask), c->shift);
        _mm512_mask_storeu_epi64(bits + p, (__mmask8)low_bits(pixels - p), _mm512_and_si512(words, c->keep));
        mask = c->channels < 8 ? mask >> WORDS * c->channels : 0;
    }
}

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* ---- float32 ranges ---- */

static inline uint64_t in_range_f32(__mmask16 lanes, const float *x, __m512 low, __m512 high) {
    const __m512 v = _mm512_maskz_loadu_ps(lanes, x);
    return _mm512_mask_cmp_ps_mask(_mm512_mask_cmp_ps_mask(lanes, low, v, _CMP_LE_OQ), v, high, _CMP_LE_OQ);
}

/* Pixels of at most 4 channels. */
static void few_f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high,
                    uint64_t *bits) {
    const size_t together = FLOATS / channels;
    const cut c = cut_of(channels);
    float lows[FLOATS] = {0}, highs[FLOATS] = {0};
    for (size_t i = 0; i < together * channels; i++) lows[i] = low[i % channels], highs[i] = high[i % channels];
    const __m512 l = _mm512_loadu_ps(lows), h = _mm512_loadu_ps(highs);
    for (size_t p = 0; p < pixels; p += together) {
        const size_t now = least(together, pixels - p);
        put_words(&c, in_range_f32((__mmask16)low_bits(now * channels), x + p * channels, l, h), bits + p, now);
    }
}

/* The word of the same 16 * vectors channels, less those past `channels`, of all pixels; `vectors` is a constant. */
UNROLLED void column_f32(const size_t vectors, const float *x, size_t pixels, size_t channels, size_t stride,
                         const float *low, const float *high, uint64_t *bits, size_t words) {
    __m512 l[4], h[4];
    __mmask16 lanes[4];
    UNROLL for (size_t v = 0; v < vectors; v++) {
        lanes[v] = (__mmask16)low_bits(channels - v * FLOATS);
        l[v] = _mm512_maskz_loadu_ps(lanes[v], low + v * FLOATS);
        h[v] = _mm512_maskz_loadu_ps(lanes[v], high + v * FLOATS);
    }
    for (size_t p = 0; p < pixels; p++, x += stride, bits += words) {
        uint64_t word = 0;
        UNROLL for (size_t v = 0; v < vectors; v++) word |= in_range_f32(lanes[v], x + v * FLOATS, l[v], h[v])
                                                            << v * FLOATS;
        *bits = word;
    }
}

static void f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits) {
    if (4 * channels <= FLOATS) {
        few_f32(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t words = bnn_words(channels);
    for (size_t c = 0; c < channels; c += BNN_WORD_BITS, bits++) {
        const size_t left = channels - c;
        if (left > 3 * FLOATS)
            column_f32(4, x + c, pixels, left, channels, low + c, high + c, bits, words);
        else if (left > 2 * FLOATS)
            column_f32(3, x + c, pixels, left, channels, low + c, high + c, bits, words);
        else if (left > FLOATS)
            column_f32(2, x + c, pixels, left, channels, low + c, high + c, bits, words);
        else
            column_f32(1, x + c, pixels, left, channels, low + c, high + c, bits, words);
    }
}

/* ---- bytes ---- */

static inline uint64_t in_range_u8(__mmask64 lanes, const uint8_t *x, __m512i low, __m512i high) {
    const __m512i v = _mm512_maskz_loadu_epi8(lanes, x);
    return _mm512_mask_cmple_epu8_mask(_mm512_mask_cmple_epu8_mask(lanes, low, v), v, high);
}

/* Pixels of at most 16 channels. */
static void few_u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
                   uint64_t *bits) {
    const size_t together = BYTES / channels;
    const cut c = cut_of(channels);
    uint8_t lows[BYTES] = {0}, highs[BYTES] = {0};
    for (size_t i = 0; i < together * channels; i++) lows[i] = low[i % channels], highs[i] = high[i % channels];
    const __m512i l = _mm512_loadu_si512(lows), h = _mm512_loadu_si512(highs);
    for (size_t p = 0; p < pixels; p += together) {
        const size_t now = least(together, pixels - p);
        put_words(&c, in_range_u8(low_bits(now * channels), x + p * channels, l, h), bits + p, now);
    }
}

static void u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits) {
    if (4 * channels <= BYTES) {
        few_u8(x, pixels, channels, low, high, bits);
        return;
    }
    const size_t words = bnn_words(channels);
    for (size_t c = 0; c < channels; c += BYTES) {
        const __mmask64 lanes = low_bits(channels - c);
        const __m512i l = _mm512_maskz_loadu_epi8(lanes, low + c), h = _mm512_maskz_loadu_epi8(lanes, high + c);
        for (size_t p = 0; p < pixels; p++)
            bits[p * words + c / BYTES] = in_range_u8(lanes, x + p * channels + c, l, h);
    }
}

/* ---- the bits of bytes ---- */

static inline uint64_t plane(__mmask64 lanes, __m512i x, size_t b) {
    return _mm512_mask_test_epi8_mask(lanes, x, _mm512_set1_epi8((char)(1u << b)));
}

static void planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    if (4 * channels <= BYTES) {
        const size_t together = BYTES / channels;
        const cut c = cut_of(channels);
        for (size_t p = 0; p < pixels; p += together) {
            const size_t now = least(together, pixels - p);
            const __mmask64 lanes = low_bits(now * channels);
            const __m512i v = _mm512_maskz_loadu_epi8(lanes, x + p * channels);
            for (size_t b = 0; b < PLANES; b++) put_words(&c, plane(lanes, v, b), bits + b * plane_words + p, now);
        }
        return;
    }
    for (size_t p = 0; p < pixels; p++, x += channels)
        for (size_t c = 0; c < channels; c += BYTES, bits++) {
            const __mmask64 lanes = low_bits(channels - c);
            const __m512i v = _mm512_maskz_loadu_epi8(lanes, x + c);
            for (size_t b = 0; b < PLANES; b++) bits[b * plane_words] = plane(lanes, v, b);
        }
}

const bnn_pack_kernel bnn_pack_avx512bw = {.isa = BNN_ISA_avx512bw, .f32 = f32, .u8 = u8, .planes = planes};
