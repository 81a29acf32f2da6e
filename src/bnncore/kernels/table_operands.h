/* The operands of the two-pixel table product: tables, weights and cells, which are the same for every length of
 * vectors. See table_body.h for what they are for.
 */
#ifndef BNN_TABLE_OPERANDS_H
#define BNN_TABLE_OPERANDS_H

#include "../kernels.h"

#include <immintrin.h>
#include <string.h>

enum {
    GROUP = 4,  /* bits in a look-up */
    PANEL = 64, /* output channels in a panel */
    NONE = 0x80 /* an index for which vpshufb gives 0 */
};

/* ---- tables[a1 | a2 << 4][w] = popcount(a1 ^ w) | popcount(a2 ^ w) << 4 ---- */

#define ONES(x)      (((x) & 1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define ENTRY(a, w)  (ONES(((a) & 15) ^ (w)) | ONES(((a) >> 4) ^ (w)) << 4)
#define ENTRY4(a, w) ENTRY(a, w), ENTRY(a, w + 1), ENTRY(a, w + 2), ENTRY(a, w + 3)
#define TABLE(a)     {ENTRY4(a, 0), ENTRY4(a, 4), ENTRY4(a, 8), ENTRY4(a, 12)}
#define TABLE4(a)    TABLE(a), TABLE((a) + 1), TABLE((a) + 2), TABLE((a) + 3)
#define TABLE16(a)   TABLE4(a), TABLE4((a) + 4), TABLE4((a) + 8), TABLE4((a) + 12)
#define TABLE64(a)   TABLE16(a), TABLE16((a) + 16), TABLE16((a) + 32), TABLE16((a) + 48)

static const _Alignas(BNN_ALIGN) uint8_t tables[256][16] = {TABLE64(0), TABLE64(64), TABLE64(128), TABLE64(192)};

/* ---- weights: panels of 64 channels, [group][channel] nibbles, two of them a byte ---- */

/* Groups in a tap: the last one is filled up with zeros, in weights and cells alike. */
static size_t tap_groups(const bnn_bgemm_shape *shape) { return (shape->channels + GROUP - 1) / GROUP; }

static size_t panel_groups(const bnn_bgemm_shape *shape) { return shape->taps * tap_groups(shape); }

/* Channels in the panel that starts at n: 64, or 32 where that covers the last ones. */
static uint32_t panel_width(const bnn_bgemm_shape *shape, uint32_t n) {
    return shape->outputs - n <= PANEL / 2 ? PANEL / 2 : PANEL;
}

static size_t panel_bytes(const bnn_bgemm_shape *shape) { return panel_groups(shape) * PANEL / 2; }

static size_t weights_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up(shape->outputs, PANEL) / PANEL * panel_bytes(shape);
}

/* Which channel of a column lies in a lane: its first half in the even ones, so that they widen to 16 bits in order. */
static uint32_t channel_in(uint32_t lane, uint32_t column) { return lane / 2 + lane % 2 * (column / 2); }

/* The groups of word `word` of tap `tap` for all channels of a panel. Low nibbles are the first half of its lanes, high
 * ones the second. */
static void word_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, uint32_t tap, size_t word, uint32_t n,
                      uint32_t width, uint8_t *to) {
    const size_t words = bnn_words(shape->channels), groups = tap_groups(shape), first = word * 16;
    const size_t count = groups - first < 16 ? groups - first : 16;
    const uint32_t channels = shape->outputs - n < width ? shape->outputs - n : width;
    const uint32_t column = width < BYTES ? width : BYTES;
    uint64_t of[PANEL]; /* of each lane */
    for (uint32_t i = 0; i < width; i++) {
        const uint32_t c = i / column * column + channel_in(i % column, column);
        of[i] = c < channels ? rows[((size_t)(n + c) * shape->taps + tap) * words + word] : 0;
    }
    const uint64_t *low = of, *high = of + width / 2;
    for (size_t g = 0; g < count; g++, to += width / 2)
        for (uint32_t i = 0; i < width / 2; i++)
            to[i] = (uint8_t)((low[i] >> g * GROUP & 15) | (high[i] >> g * GROUP & 15) << 4);
}

static void weights_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed) {
    const size_t words = bnn_words(shape->channels);
    for (uint32_t n = 0; n < shape->outputs; n += PANEL) {
        const uint32_t width = panel_width(shape, n);
        uint8_t *panel = (uint8_t *)packed + n / PANEL * panel_bytes(shape);
        for (uint32_t tap = 0; tap < shape->taps; tap++)
            for (size_t word = 0; word < words; word++)
                word_pack(shape, rows, tap, word, n, width, panel + (tap * tap_groups(shape) + word * 16) * width / 2);
    }
}

/* ---- cells: for each group of a pixel and its mate, the byte offset of their table, 16 bits ---- */

static size_t cell_bytes(const bnn_bgemm_shape *shape) { return tap_groups(shape) * sizeof(uint16_t); }

typedef struct offsets64 {
    __m256i of[4];
} offsets64;

/* The offsets of four words beside four others. An offset's low byte is a nibble of the first, shifted up, and its high
 * byte one of the second, so that masking and interleaving builds them. */
static inline offsets64 offsets_of(__m256i first, __m256i second) {
    const __m256i low = _mm256_set1_epi8(0x0F), high = _mm256_set1_epi8((char)0xF0);
    const __m256i x0 = _mm256_and_si256(_mm256_slli_epi16(first, 4), high), y0 = _mm256_and_si256(second, low);
    const __m256i x1 = _mm256_and_si256(first, high), y1 = _mm256_and_si256(_mm256_srli_epi16(second, 4), low);
    const __m256i even02 = _mm256_unpacklo_epi8(x0, y0), odd02 = _mm256_unpacklo_epi8(x1, y1);
    const __m256i even13 = _mm256_unpackhi_epi8(x0, y0), odd13 = _mm256_unpackhi_epi8(x1, y1);
    const __m256i begin02 = _mm256_unpacklo_epi16(even02, odd02), end02 = _mm256_unpackhi_epi16(even02, odd02);
    const __m256i begin13 = _mm256_unpacklo_epi16(even13, odd13), end13 = _mm256_unpackhi_epi16(even13, odd13);
    return (offsets64){
        {_mm256_permute2x128_si256(begin02, end02, 0x20), _mm256_permute2x128_si256(begin13, end13, 0x20),
         _mm256_permute2x128_si256(begin02, end02, 0x31), _mm256_permute2x128_si256(begin13, end13, 0x31)}};
}

static inline __m256i load_words(const uint64_t *at) { return _mm256_loadu_si256((const __m256i *)(const void *)at); }

static inline void store_offsets(uint16_t *at, __m256i offsets) { _mm256_storeu_si256((__m256i *)(void *)at, offsets); }

/* The first `count` (1 to 16) offsets of one word beside another, and nothing past them. */
static uint16_t *word_fill(uint16_t *at, uint64_t first, uint64_t second, size_t count) {
    uint16_t all[16];
    store_offsets(all, offsets_of(_mm256_set1_epi64x((long long)first), _mm256_set1_epi64x((long long)second)).of[0]);
    memcpy(at, all, count * sizeof *at);
    return at + count;
}

/* `words` whole words beside others. */
static uint16_t *words_fill(uint16_t *at, const uint64_t *first, const uint64_t *second, size_t words) {
    size_t w = 0;
    for (; w + 4 <= words; w += 4, at += 64) {
        const offsets64 o = offsets_of(load_words(first + w), load_words(second + w));
        for (int i = 0; i < 4; i++) store_offsets(at + 16 * i, o.of[i]);
    }
    for (; w < words; w++) at = word_fill(at, first[w], second[w], 16);
    return at;
}

static inline __m256i gather_words(const uint64_t *at, size_t step) {
    return _mm256_setr_epi64x((long long)at[0], (long long)at[step], (long long)at[2 * step], (long long)at[3 * step]);
}

/* Cells of up to 64 channels, four at a time: every store but the last fills more than its cell, and the next one puts
 * that right. Returns how many cells are done; it stops before a store would leave the `count` cells. */
static size_t short_cells_fill(size_t groups, const uint64_t *pixels, size_t limit, size_t mate, size_t step,
                               uint16_t *at, size_t count) {
    size_t i = 0;
    for (; (i + 3) * groups + 16 <= count * groups && (i + 3) * step + mate < limit; i += 4, at += 4 * groups) {
        const uint64_t *p = pixels + i * step;
        const offsets64 o = offsets_of(gather_words(p, step), gather_words(p + mate, step));
        for (size_t j = 0; j < 4; j++) store_offsets(at + j * groups, o.of[j]);
    }
    return i;
}

static void cells_fill(const bnn_bgemm_shape *shape, const uint64_t *pixels, size_t limit, size_t mate, size_t step,
                       void *cells, size_t count) {
    const size_t words = bnn_words(shape->channels), whole = shape->channels / BNN_WORD_BITS;
    const size_t groups = tap_groups(shape), rest = groups - whole * 16;
    uint16_t *at = cells;
    size_t i = 0;
    if (rest == 0 && step == 1 && limit > mate) { /* neighbouring cells are one run of words */
        i = count < limit - mate ? count : limit - mate;
        words_fill(at, pixels, pixels + mate * words, i * words);
    } else if (words == 1) {
        i = short_cells_fill(groups, pixels, limit, mate, step, at, count);
    }
    for (at += i * groups; i < count; i++) {
        const size_t p = i * step < limit ? i * step : limit - 1, q = p + mate < limit ? p + mate : p;
        const uint64_t *first = pixels + p * words, *second = pixels + q * words;
        at = words_fill(at, first, second, whole);
        if (rest) at = word_fill(at, first[whole], second[whole], rest);
    }
}

#endif
