/* Binary matrix product, AVX2: one table look-up counts for two pixels.
 */
#include "../kernels.h"
#include "avx2_out.h"

#include <string.h>

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#else
#define UNROLLED static __forceinline
#endif

enum {
    GROUP = 4,        /* bits in a look-up */
    BLOCK = 12,       /* look-ups in the unrolled block */
    CHUNK = 60,       /* look-ups until the byte sums must be widened: 60 * 4 < 256 */
    PART_BLOCKS = 32, /* blocks whose weights (24 KiB) stay in L1 beside the tables while pixels stream past */
    TILE = 64,        /* pixel pairs whose counts wait in scratch between two parts */
    PANEL = 64,       /* output channels in a panel */
    NONE = 0x80       /* an index for which vpshufb gives 0 */
};

/* ---- tables: tables[a1 | a2 << 4][w] = popcount(a1 ^ w) | popcount(a2 ^ w) << 4 ---- */

#define ONES(x)     (((x) & 1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define ENTRY(a, w) (ONES(((a) & 15) ^ (w)) | ONES(((a) >> 4) ^ (w)) << 4)
#define ROW(a)                                                                                                         \
    {ENTRY(a, 0), ENTRY(a, 1), ENTRY(a, 2),  ENTRY(a, 3),  ENTRY(a, 4),  ENTRY(a, 5),  ENTRY(a, 6),  ENTRY(a, 7),      \
     ENTRY(a, 8), ENTRY(a, 9), ENTRY(a, 10), ENTRY(a, 11), ENTRY(a, 12), ENTRY(a, 13), ENTRY(a, 14), ENTRY(a, 15)}
#define ROWS4(a)  ROW(a), ROW((a) + 1), ROW((a) + 2), ROW((a) + 3)
#define ROWS16(a) ROWS4(a), ROWS4((a) + 4), ROWS4((a) + 8), ROWS4((a) + 12)
#define ROWS64(a) ROWS16(a), ROWS16((a) + 16), ROWS16((a) + 32), ROWS16((a) + 48)

static const _Alignas(BNN_ALIGN) uint8_t tables[256][16] = {ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192)};

/* ---- weights: panels of 64 channels, [group][channel] nibbles, a byte each, and one more group of NONE ---- */

static size_t groups_of(const bnn_bgemm_shape *shape) {
    return (size_t)shape->taps * ((shape->channels + GROUP - 1) / GROUP);
}

/* Channels in the panel that starts at n: 64, or 32 where that covers the last ones. */
static uint32_t panel_width(const bnn_bgemm_shape *shape, uint32_t n) { return shape->outputs - n <= 32 ? 32 : 64; }

static size_t panel_bytes(const bnn_bgemm_shape *shape) { return (groups_of(shape) + 1) * PANEL; }

static size_t weights_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up(shape->outputs, PANEL) / PANEL * panel_bytes(shape);
}

/* Where channel c of 32 lies: even bytes hold the first 16, so that they widen to 16 bits in order. */
static uint32_t lane_of(uint32_t c) { return c % 16 * 2 + c / 16; }

static void weights_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed) {
    const size_t words = bnn_words(shape->channels), tap_groups = (shape->channels + GROUP - 1) / GROUP;
    memset(packed, NONE, weights_bytes(shape));
    for (uint32_t n = 0; n < shape->outputs; n++) {
        const uint32_t first = n / PANEL * PANEL, width = panel_width(shape, first), c = n - first;
        uint8_t *at = (uint8_t *)packed + n / PANEL * panel_bytes(shape) + c / 32 * 32 + lane_of(c % 32);
        for (uint32_t tap = 0; tap < shape->taps; tap++, rows += words)
            for (size_t g = 0; g < tap_groups; g++, at += width) *at = rows[g / 16] >> g % 16 * GROUP & 15;
    }
}

/* ---- cells: for each group of a pixel and its mate, the byte offset of their table ---- */

static size_t cell_bytes(const bnn_bgemm_shape *shape) {
    return (shape->channels + GROUP - 1) / GROUP * sizeof(uint16_t);
}

/* The offsets of the 16 groups of a word. */
static inline __m256i word_offsets(uint64_t a, uint64_t mate) {
    const uint64_t nibbles = UINT64_C(0x0F0F0F0F0F0F0F0F);
    __m128i even = _mm_cvtsi64_si128((long long)((a & nibbles) | (mate & nibbles) << 4));
    __m128i odd = _mm_cvtsi64_si128((long long)((a >> 4 & nibbles) | (mate & ~nibbles)));
    return _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd)), 4);
}

/* The first `count` (1 to 16) offsets, and nothing past them. */
static inline uint16_t *store_offsets(uint16_t *at, __m256i offsets, size_t count) {
    __m128i x = _mm256_castsi256_si128(offsets);
    if (count & 16) {
        _mm256_storeu_si256((__m256i *)(void *)at, offsets);
        return at + 16;
    }
    if (count & 8) {
        _mm_storeu_si128((__m128i *)(void *)at, x);
        x = _mm256_extracti128_si256(offsets, 1);
        at += 8;
    }
    uint64_t rest = (uint64_t)_mm_cvtsi128_si64(x);
    if (count & 4) {
        memcpy(at, &rest, 8);
        rest = (uint64_t)_mm_extract_epi64(x, 1);
        at += 4;
    }
    for (size_t i = 0; i < (count & 3); i++, rest >>= 16) *at++ = (uint16_t)rest;
    return at;
}

static void cells_fill(const bnn_bgemm_shape *shape, const uint64_t *pixels, size_t limit, size_t mate, size_t step,
                       void *cells, size_t count) {
    const size_t words = bnn_words(shape->channels), last = (shape->channels + GROUP - 1) / GROUP - (words - 1) * 16;
    uint16_t *at = cells;
    for (size_t i = 0; i < count; i++) {
        const size_t p = i * step < limit ? i * step : limit - 1, q = p + mate < limit ? p + mate : p;
        const uint64_t *a = pixels + p * words, *b = pixels + q * words;
        for (size_t w = 0; w + 1 < words; w++) at = store_offsets(at, word_offsets(a[w], b[w]), 16);
        at = store_offsets(at, word_offsets(a[words - 1], b[words - 1]), last);
    }
}

/* ---- the sum over K for one pair of pixels and one panel ---- */

/* Where a look-up, or the first of a block of them, finds its offset and its weights. */
typedef struct source {
    size_t cell, weights; /* bytes from the pair's first cell; bytes into the panel */
} source;

/* The walk through a panel: blocks of 12 neighbouring look-ups, and what does not fill a block, singly. */
typedef struct walk {
    source *block, *single;
    size_t blocks, singles; /* singles are a multiple of 3 */
} walk;

static walk walk_of(const bnn_bgemm_run *r, uint32_t width, void *memory) {
    const size_t groups = groups_of(r->shape), run = groups / r->shape->taps * r->segment_taps;
    walk w = {memory, (source *)memory + groups / BLOCK, 0, 0};
    size_t at = 0;
    for (uint32_t s = 0; s < r->segments; s++) {
        size_t i = 0;
        for (; i + BLOCK <= run; i += BLOCK, at += BLOCK)
            w.block[w.blocks++] = (source){r->segment[s] + i * sizeof(uint16_t), at * width};
        for (; i < run; i++, at++) w.single[w.singles++] = (source){r->segment[s] + i * sizeof(uint16_t), at * width};
    }
    while (w.singles % 3) w.single[w.singles++] = (source){r->segment[0], groups * width};
    return w;
}

/* Byte sums of 32 channels: of both pixels' counts, as first + 16 * second modulo 256, and of the second's alone. */
typedef struct sums {
    __m256i both, second;
} sums;

static inline __m256i load(const void *at) { return _mm256_load_si256((const __m256i *)at); }

static inline __m256i table_at(uint16_t offset) {
    return _mm256_broadcastsi128_si256(
        _mm_load_si128((const __m128i *)(const void *)((const uint8_t *)tables + offset)));
}

/* Three look-ups for 32 channels: at most 12 in each nibble. */
static inline __m256i look(__m256i t0, const uint8_t *w0, __m256i t1, const uint8_t *w1, __m256i t2,
                           const uint8_t *w2) {
    __m256i x = _mm256_add_epi8(_mm256_shuffle_epi8(t0, load(w0)), _mm256_shuffle_epi8(t1, load(w1)));
    return _mm256_add_epi8(x, _mm256_shuffle_epi8(t2, load(w2)));
}

#define HIGH(x) _mm256_and_si256(x, _mm256_set1_epi8((char)0xF0))

UNROLLED void look12(const uint16_t *cell, const uint8_t *w, const uint32_t width, sums s[2]) {
    __m256i x[4][2];
    for (int i = 0; i < 4; i++, cell += 3, w += 3 * width) {
        __m256i t0 = table_at(cell[0]), t1 = table_at(cell[1]), t2 = table_at(cell[2]);
        for (uint32_t v = 0; v < width / 32; v++) {
            x[i][v] = look(t0, w + 32 * v, t1, w + width + 32 * v, t2, w + 2 * width + 32 * v);
            s[v].both = _mm256_add_epi8(s[v].both, x[i][v]);
            x[i][v] = HIGH(x[i][v]);
            if (i % 2) x[i][v] = _mm256_avg_epu8(x[i - 1][v], x[i][v]);
        }
    }
    for (uint32_t v = 0; v < width / 32; v++)
        s[v].second = _mm256_add_epi8(s[v].second, _mm256_srli_epi16(_mm256_avg_epu8(x[1][v], x[3][v]), 2));
}

UNROLLED void look3(const unsigned char *cells, const source *at, const uint8_t *panel, const uint32_t width,
                    sums s[2]) {
    __m256i t[3];
    for (int i = 0; i < 3; i++) t[i] = table_at(*(const uint16_t *)(const void *)(cells + at[i].cell));
    for (uint32_t v = 0; v < width / 32; v++) {
        const uint8_t *w = panel + 32 * v;
        __m256i x = look(t[0], w + at[0].weights, t[1], w + at[1].weights, t[2], w + at[2].weights);
        s[v].both = _mm256_add_epi8(s[v].both, x);
        s[v].second = _mm256_add_epi8(s[v].second, _mm256_srli_epi16(HIGH(x), 4));
    }
}

static inline void add_bytes(uint16_t *count, __m256i bytes, int first) {
    __m256i even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xFF)), odd = _mm256_srli_epi16(bytes, 8);
    __m256i *at = (__m256i *)(void *)count;
    _mm256_store_si256(at, first ? even : _mm256_add_epi16(even, at[0]));
    _mm256_store_si256(at + 1, first ? odd : _mm256_add_epi16(odd, at[1]));
}

/* Counts of the pair's pixels. */
typedef uint16_t counts[2][PANEL];

UNROLLED void widen(const sums s[2], const uint32_t width, uint16_t (*count)[PANEL], int first) {
    for (uint32_t v = 0; v < width / 32; v++) {
        __m256i sixteen = _mm256_slli_epi16(_mm256_and_si256(s[v].second, _mm256_set1_epi8(15)), 4);
        add_bytes(count[0] + 32 * v, _mm256_sub_epi8(s[v].both, sixteen), first);
        add_bytes(count[1] + 32 * v, s[v].second, first);
    }
}

#define NO_SUMS                                                                                                        \
    {                                                                                                                  \
        {_mm256_setzero_si256(), _mm256_setzero_si256()}, { _mm256_setzero_si256(), _mm256_setzero_si256() }           \
    }

/* Adds blocks begin to end - 1, and the singles where `end` is the last block, to the counts of one pair. */
UNROLLED void pair_add(const walk *k, size_t begin, size_t end, const unsigned char *cells, const uint8_t *panel,
                       const uint32_t width, uint16_t (*count)[PANEL]) {
    int first = begin == 0;
    for (size_t b = begin; b < end;) {
        sums s[2] = NO_SUMS;
        for (size_t stop = end - b < CHUNK / BLOCK ? end : b + CHUNK / BLOCK; b < stop; b++)
            look12((const uint16_t *)(const void *)(cells + k->block[b].cell), panel + k->block[b].weights, width, s);
        widen(s, width, count, first);
        first = 0;
    }
    if (end < k->blocks) return;
    for (size_t i = 0; i < k->singles;) {
        sums s[2] = NO_SUMS;
        for (size_t stop = k->singles - i < CHUNK ? k->singles : i + CHUNK; i < stop; i += 3)
            look3(cells, k->single + i, panel, width, s);
        widen(s, width, count, first);
        first = 0;
    }
}

/* ---- all pixels and panels ---- */

static size_t walk_bytes(const bnn_bgemm_shape *shape) {
    const size_t groups = groups_of(shape);
    return bnn_round_up((groups / BLOCK + groups + 2) * sizeof(source), BNN_ALIGN);
}

static size_t scratch_bytes(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    (void)rows, (void)cols;
    return walk_bytes(shape) + TILE * sizeof(counts);
}

UNROLLED void panel_run(const bnn_bgemm_run *r, uint32_t n, const uint32_t width) {
    const uint8_t *panel = (const uint8_t *)r->weights + n / PANEL * panel_bytes(r->shape);
    const walk k = walk_of(r, width, r->scratch);
    counts *count = (counts *)(void *)((unsigned char *)r->scratch + walk_bytes(r->shape));
    const size_t parts = k.blocks > PART_BLOCKS ? (k.blocks + PART_BLOCKS - 1) / PART_BLOCKS : 1;
    const size_t row_tiles = (r->cols + 1) / 2, tiles = r->rows * row_tiles;
    for (size_t start = 0; start < tiles; start += TILE) {
        const size_t stop = tiles - start < TILE ? tiles : start + TILE;
        for (size_t part = 0; part < parts; part++) {
            const size_t begin = k.blocks * part / parts, end = k.blocks * (part + 1) / parts;
            uint32_t y = (uint32_t)(start / row_tiles), x = (uint32_t)(start % row_tiles) * 2;
            for (size_t tile = start; tile < stop; tile++) {
                const unsigned char *cells = (const unsigned char *)r->cells + y * r->row_bytes + x / 2 * r->tile_bytes;
                uint16_t(*c)[PANEL] = count[parts > 1 ? tile - start : 0];
                pair_add(&k, begin, end, cells, panel, width, c);
                if (part + 1 == parts) {
                    out_put(r, y, x, n, width, c[0]);
                    if (x + 1 < r->cols) out_put(r, y, x + 1, n, width, c[1]);
                }
                if ((x += 2) >= r->cols) x = 0, y++;
            }
        }
    }
}

static void run(const bnn_bgemm_run *r) {
    for (uint32_t n = r->n_begin; n < r->n_end; n += PANEL) {
        if (panel_width(r->shape, n) == PANEL)
            panel_run(r, n, PANEL);
        else
            panel_run(r, n, PANEL / 2);
    }
}

const bnn_bgemm_kernel bnn_bgemm_avx2 = {
    .isa = BNN_ISA_avx2,
    .pixels_per_cell = 2,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = cells_fill,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
