/* Binary matrix product, AVX-512: carry-save sums, one output channel a 32-bit lane.
 *
 * A vector holds 32 bits of the weights of 16 channels, and a broadcast brings the same 32 bits of a pixel. The XORed
 * words x1, x2 of a lane pass a carry-save adder before they are counted. With p the parity of all words before them,
 *   odd = p ^ x1,  even = p ^ x1 ^ x2,  carry = odd ? ~even : p,  twos += popcount(carry),  p = even
 * and the sum over K is 2 * twos + popcount(p). Weights and pixels are stored as running parities, so that `odd` and
 * `even` are one XOR each, with the pixel's word as a broadcast memory operand. Five instructions count 1,024 bit
 * pairs; XOR, vpopcntd and vpaddd alone would be six. Every one runs on both vector ports of Ice Lake and Sapphire
 * Rapids but vpopcntd, which has one: bound 410 bit-MAC a cycle (llvm-mca 409, and 409 on znver4); on Zen 5 with four
 * ports 819, of which 745 to 775 were measured in the loop.
 *
 * VBMI's vpermb looks up 6 bits of 64 channels. With one pixel a table (384 bit pairs, 2 operations, 42 of them until
 * bytes are full) llvm-mca has at best 383 on icelake-server, 329 on sapphirerapids and 307 on znver4, and 605 were
 * measured in such a loop on Zen 5: slower. So is two pixels in nibbles, their table OR-ed together for several vectors
 * of channels (768 bit pairs, about 3.1 operations and a part of the OR): the loop reaches 300, 450, 530 and 580 with
 * 64, 128, 192 and 256 channels on Zen 5, where scalar loads of table offsets keep 512-bit ones waiting (790 without
 * them), and in whole layers 0.44 of this kernel's rate at 28x28x128, 0.58 to 0.65 at 14x14x256, 14x14x512 and 7x7x512.
 * llvm-mca has 433 to 438, 431 to 447 and 453 to 461 with 128, 192 and 256 on sapphirerapids, 394 to 425 on znver4.
 *
 * The running parities are a pixel's own, so each tile of eight pixels is first copied out of the image into rows,
 * [word][pixel], taps without gaps between them; a packed pixel can therefore be the cell as it lies.
 */
#include "avx512_out.h"

#include <string.h>

#if defined(__GNUC__)
#define PIN(x) __asm__("" : "+v"(x)) /* without it gcc copies the sums from register to register */
#else
#define PIN(x) (void)(x)
#endif

enum {
    PANEL = 16,        /* output channels in a panel: the lanes of a vector */
    TILE = 8,          /* pixels whose sums are in registers at once */
    BATCH_TILES = 16,  /* tiles that pass a panel together, at most */
    BATCH_BYTES = 8192 /* of their rows, so that they and the panel stay in L1 */
};

/* 64-bit words of a dot product, all taps' channels one after the other. */
static size_t row_words(const bnn_bgemm_shape *shape) { return bnn_words((size_t)shape->taps * shape->channels); }

/* ---- weights: panels of 16 channels, [word][half][channel], as parities over the row up to there ---- */

static size_t panel_words(const bnn_bgemm_shape *shape) { return row_words(shape) * 2 * PANEL; }

static size_t weights_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up(shape->outputs, PANEL) / PANEL * panel_words(shape) * sizeof(uint32_t);
}

static void weights_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed) {
    const size_t words = bnn_words(shape->channels);
    memset(packed, 0, weights_bytes(shape));
    for (uint32_t n = 0; n < shape->outputs; n++) {
        uint32_t *lane = (uint32_t *)packed + n / PANEL * panel_words(shape) + n % PANEL;
        for (uint32_t tap = 0; tap < shape->taps; tap++, rows += words)
            for (uint32_t c = 0; c < shape->channels; c += 32) {
                const size_t bit = (size_t)tap * shape->channels + c;
                const uint64_t x = (rows[c / 64] >> c % 64 & UINT32_MAX) << bit % 32;
                lane[bit / 32 * PANEL] |= (uint32_t)x;
                if (x >> 32) lane[(bit / 32 + 1) * PANEL] |= (uint32_t)(x >> 32);
            }
        for (size_t half = 1; half < 2 * row_words(shape); half++) lane[half * PANEL] ^= lane[(half - 1) * PANEL];
    }
}

static size_t cell_bytes(const bnn_bgemm_shape *shape) { return bnn_words(shape->channels) * BNN_WORD_BYTES; }

/* ---- rows: the words of a tile's pixels, [word][pixel], in the same form ---- */

/* The same word of eight pixels, which lie `spacing` bytes apart in memory, or anywhere where that is 0. */
UNROLLED __m512i load_word(const out_pixel *p, size_t at, const size_t spacing) {
    const unsigned char *from = p->cells + at;
    if (spacing == 8) return _mm512_loadu_si512(from);
    if (spacing == 16) {
        const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
        return _mm512_permutex2var_epi64(_mm512_loadu_si512(from), even, _mm512_maskz_loadu_epi64(0x7f, from + 64));
    }
    uint64_t x[TILE];
    UNROLL for (int i = 0; i < TILE; i++) memcpy(&x[i], p[i].cells + at, sizeof *x);
    return _mm512_setr_epi64((long long)x[0], (long long)x[1], (long long)x[2], (long long)x[3], (long long)x[4],
                             (long long)x[5], (long long)x[6], (long long)x[7]);
}

/* Two neighbouring words of eight pixels that lie 16 bytes apart. */
static inline void load_pair(const out_pixel *p, size_t at, __m512i word[2]) {
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
                  odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const __m512i a = _mm512_loadu_si512(p->cells + at), b = _mm512_loadu_si512(p->cells + at + 64);
    word[0] = _mm512_permutex2var_epi64(a, even, b);
    word[1] = _mm512_permutex2var_epi64(a, odd, b);
}

/* Four neighbouring words of eight pixels, each from its cell. */
static inline void load_quad(const out_pixel *p, size_t at, __m512i word[4]) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
                  high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512i q[4], pair[4];
    UNROLL for (int i = 0; i < 4; i++) {
        const __m256i first = _mm256_loadu_si256((const __m256i *)(const void *)(p[i].cells + at));
        q[i] = _mm512_inserti64x4(_mm512_castsi256_si512(first),
                                  _mm256_loadu_si256((const __m256i *)(const void *)(p[i + 4].cells + at)), 1);
    }
    pair[0] = _mm512_unpacklo_epi64(q[0], q[1]), pair[1] = _mm512_unpackhi_epi64(q[0], q[1]);
    pair[2] = _mm512_unpacklo_epi64(q[2], q[3]), pair[3] = _mm512_unpackhi_epi64(q[2], q[3]);
    UNROLL for (int i = 0; i < 2; i++) {
        word[i] = _mm512_permutex2var_epi64(pair[i], low, pair[i + 2]);
        word[i + 2] = _mm512_permutex2var_epi64(pair[i], high, pair[i + 2]);
    }
}

static inline __m512i xor3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }

typedef struct writer {
    uint64_t *at;
    __m512i parity; /* of the words so far, in both halves */
} writer;

static inline void put_words(writer *w, __m512i x) {
    _mm512_store_si512(w->at, xor3(w->parity, x, _mm512_slli_epi64(x, 32)));
    w->parity = xor3(w->parity, x, _mm512_shuffle_epi32(x, _MM_PERM_CDAB));
    w->at += TILE;
}

/* The cells of eight pixels become one tile of rows: taps of any number of channels, without gaps. */
UNROLLED void rows_fill(const bnn_bgemm_run *r, const out_pixel *p, uint64_t *rows, const size_t spacing) {
    const uint32_t channels = r->shape->channels;
    const size_t words = bnn_words(channels);
    writer w = {rows, _mm512_setzero_si512()};
    if (channels % 64 == 0) {
        const size_t run = r->segment_taps * words * BNN_WORD_BYTES, several = spacing == 16 ? 2 : 4;
        for (uint32_t s = 0; s < r->segments; s++) {
            size_t at = r->segment[s], end = at + run;
            for (; spacing != 8 && at + several * BNN_WORD_BYTES <= end; at += several * BNN_WORD_BYTES) {
                __m512i word[4];
                spacing == 16 ? load_pair(p, at, word) : load_quad(p, at, word);
                UNROLL for (size_t i = 0; i < several; i++) put_words(&w, word[i]);
            }
            for (; at < end; at += BNN_WORD_BYTES) put_words(&w, load_word(p, at, spacing));
        }
        return;
    }
    __m512i rest = _mm512_setzero_si512();
    uint32_t filled = 0; /* bits of rest */
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = 0, word = 0; i < r->segment_taps * words; i++) {
            const int last = ++word == words;
            const uint32_t bits = last ? channels % 64 : 64;
            if (last) word = 0;
            const __m512i x = load_word(p, r->segment[s] + i * BNN_WORD_BYTES, spacing);
            rest = _mm512_or_si512(rest, _mm512_sll_epi64(x, _mm_cvtsi32_si128((int)filled)));
            filled += bits;
            if (filled < 64) continue;
            put_words(&w, rest);
            filled -= 64;
            /* never a shift by 64: it clears a word, but not under Bochs 2.7 */
            rest = filled ? _mm512_srl_epi64(x, _mm_cvtsi32_si128((int)(bits - filled))) : _mm512_setzero_si512();
        }
    if (filled) put_words(&w, rest);
}

/* ---- the sum over K ---- */

typedef struct sums {
    __m512i parity, twos;
} sums;

/* Two halves of a word, as parities, for one pixel and 16 channels; returns the new parity. */
UNROLLED __m512i add_word(sums *s, __m512i parity, const uint32_t *word, const uint32_t *weights) {
    const __m512i odd = _mm512_xor_si512(_mm512_set1_epi32((int)word[0]), _mm512_load_si512(weights));
    const __m512i even = _mm512_xor_si512(_mm512_set1_epi32((int)word[1]), _mm512_load_si512(weights + PANEL));
    s->twos = _mm512_add_epi32(s->twos, _mm512_popcnt_epi32(_mm512_ternarylogic_epi32(odd, parity, even, 0x5C)));
    PIN(s->twos);
    return even;
}

/* Counts of `pixels` pixels (a constant) and the 16 channels of a panel. */
UNROLLED void tile(const uint32_t *row, const int pixels, size_t words, const uint32_t *panel, __m512i *pop) {
    sums s[TILE];
    UNROLL for (int i = 0; i < pixels; i++) s[i] = (sums){_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (; words >= 2; words -= 2, row += 4 * TILE, panel += 4 * PANEL) {
        UNROLL for (int i = 0; i < pixels; i++) {
            const __m512i parity = add_word(&s[i], s[i].parity, row + 2 * i, panel);
            s[i].parity = add_word(&s[i], parity, row + 2 * TILE + 2 * i, panel + 2 * PANEL);
            PIN(s[i].parity);
        }
    }
    if (words) {
        UNROLL for (int i = 0; i < pixels; i++) s[i].parity = add_word(&s[i], s[i].parity, row + 2 * i, panel);
    }
    UNROLL for (int i = 0; i < pixels; i++) {
        pop[i] = _mm512_add_epi32(_mm512_popcnt_epi32(s[i].parity), _mm512_slli_epi32(s[i].twos, 1));
    }
}

/* ---- all pixels and panels ---- */

static size_t tile_bytes(const bnn_bgemm_shape *shape) { return row_words(shape) * TILE * BNN_WORD_BYTES; }

static size_t batch_tiles(const bnn_bgemm_shape *shape) {
    const size_t tiles = BATCH_BYTES / tile_bytes(shape);
    return tiles < 1 ? 1 : tiles < BATCH_TILES ? tiles : BATCH_TILES;
}

static size_t scratch_bytes(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    (void)rows, (void)cols;
    return batch_tiles(shape) * tile_bytes(shape);
}

#define TILE_RUN(pixels)                                                                                               \
    static void tile_run_##pixels(const bnn_bgemm_run *r, const out_pixel *p, const void *row, size_t words,           \
                                  uint32_t n) {                                                                        \
        __m512i pop[TILE];                                                                                             \
        tile(row, pixels, words, (const uint32_t *)r->weights + n / PANEL * words * 2 * PANEL, pop);                   \
        out_put(r, p, pixels, n, pop);                                                                                 \
    }
TILE_RUN(8)
TILE_RUN(4)
TILE_RUN(2)
TILE_RUN(1)

/* One panel for all pixels of a batch. */
static void panel_run(const bnn_bgemm_run *r, const out_pixel *p, size_t pixels, size_t words, uint32_t n) {
    const uint64_t *rows = r->scratch;
    for (; pixels >= TILE; pixels -= TILE, p += TILE, rows += words * TILE) tile_run_8(r, p, rows, words, n);
    if (pixels & 4) tile_run_4(r, p, rows, words, n), p += 4, rows += 4;
    if (pixels & 2) tile_run_2(r, p, rows, words, n), p += 2, rows += 2;
    if (pixels & 1) tile_run_1(r, p, rows, words, n);
}

/* Bits of the last block past the channels that exist, from the first panel that was not computed. */
static void clear_rest(const out_pixel *p, size_t pixels, uint32_t n) {
    for (size_t i = 0; i < pixels; i++) memset(p[i].out + n / 8, 0, (bnn_round_up(n, BNN_BLOCK) - n) / 8);
}

/* The first `pixels` (1 to 8) of a tile are its own, the others copies of the last one. */
static void tile_fill(const bnn_bgemm_run *r, const out_pixel *p, size_t pixels, uint64_t *rows) {
    const int even = pixels >= TILE && p[TILE - 1].cells == p[0].cells + (TILE - 1) * r->tile_bytes;
    if (even && r->tile_bytes == 8)
        rows_fill(r, p, rows, 8);
    else if (even && r->tile_bytes == 16)
        rows_fill(r, p, rows, 16);
    else
        rows_fill(r, p, rows, 0);
}

/* The next output pixels from (y, x) on, `most` or fewer; past the last one, copies of it fill up the tile. */
static size_t batch_fill(const bnn_bgemm_run *r, uint32_t *y, uint32_t *x, out_pixel *batch, size_t most) {
    const bnn_out *out = &r->out;
    const size_t padded = bnn_round_up(r->shape->outputs, BNN_BLOCK);
    const size_t element = out->kind == BNN_OUT_BITS ? sizeof(uint64_t) : sizeof(float);
    size_t count = 0;
    for (; *y < r->rows && count < most; ++*y, *x = 0) {
        out_pixel p = {(const unsigned char *)r->cells + *y * r->row_bytes + *x * r->tile_bytes,
                       (unsigned char *)out->data + (*y * out->row_stride + *x * out->stride) * element, NULL};
        const size_t end = r->cols - *x < most - count ? r->cols : *x + (most - count);
        for (; *x < end; ++*x, p.cells += r->tile_bytes, p.out += out->stride * element) {
            if (out->kind != BNN_OUT_COUNTS)
                p.level = out->level + padded * ((size_t)out->row_class[*y] + out->col_class[*x]);
            batch[count++] = p;
        }
        if (*x < r->cols) break;
    }
    for (size_t i = count; i % TILE; i++) batch[i] = batch[count - 1];
    return count;
}

static void run(const bnn_bgemm_run *r) {
    const size_t words = row_words(r->shape), most = batch_tiles(r->shape) * TILE;
    out_pixel batch[BATCH_TILES * TILE];
    uint32_t y = 0, x = 0;
    for (size_t count; (count = batch_fill(r, &y, &x, batch, most)) > 0;) {
        for (size_t i = 0; i < count; i += TILE) tile_fill(r, batch + i, count - i, (uint64_t *)r->scratch + i * words);
        uint32_t n = r->n_begin;
        for (; n < r->n_end; n += PANEL) panel_run(r, batch, count, words, n);
        if (r->out.kind == BNN_OUT_BITS && n % BNN_BLOCK) clear_rest(batch, count, n);
    }
}

const bnn_bgemm_kernel bnn_bgemm_avx512 = {
    .isa = BNN_ISA_avx512,
    .pixels_per_cell = 1,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = NULL,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
