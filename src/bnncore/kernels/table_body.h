/* The two-pixel table product, for every instruction set that has vectors of bytes and looks each byte up in a table of
 * 16: bgemm_<isa>.c includes its bytes_<isa>.h and then this.
 *
 * Output channels lie in the byte lanes; a byte of weights is 4 bits of a channel. For two pixels with activation
 * nibbles a1, a2 the table T[a1 | a2 << 4][w] = popcount(a1 ^ w) | popcount(a2 ^ w) << 4 answers 4 bits of a vector's
 * channels for both pixels in one vpshufb: 8 bit pairs a byte. Three look-ups fill the nibbles of x. Adding x up modulo
 * 256 and its high nibbles apart gives both pixels' byte sums, up to 60 look-ups: the first pixel's is the one less 16
 * times the other. High nibbles add up by vpavgb, of which four values need one shift; the low ones are never masked.
 * So four times three look-ups, a block, cost a vector 12 vpshufb, 8 vpaddb for the threes, 4 vpaddb, 4 vpand, 3
 * vpavgb, and a shift with its vpaddb: 33 operations. Where there are 32 registers, four blocks are averaged without
 * any shift, in 127 operations.
 *
 * A tile is two columns of channels for one pair of pixels, or one column for two. The addresses of a block are read
 * one block ahead. The weights of a part stay in L1 while pixels stream past, and 16-bit counts wait in scratch.
 */
#ifndef BNN_TABLE_BODY_H
#define BNN_TABLE_BODY_H

#include "table_operands.h"
#include "table_out.h"
#include "unroll.h"

enum {
    BLOCK = 12,           /* look-ups in the unrolled block */
    CHUNK = 60,           /* look-ups until byte sums are full: 60 * 4 < 256 */
    PART = 24,            /* blocks whose weights (18 KiB) stay in L1 beside the tables while pixels stream past */
    TILES = 2048 / BYTES, /* tiles whose counts (16 KiB) wait in scratch between two parts */
    TILES_AT_ONCE = 16,   /* tiles whose counts wait for what becomes of them, where there is one part */
    FEW = 32              /* tiles below which fetching weights shows */
};

/* ---- look-ups ----
 *
 * Two columns of BYTES channels go side by side: two of weights, `wide`, for one pair of pixels, or, where just one is
 * left, that one for two pairs.
 */

typedef struct columns {
    bytes a, b;
} columns;

/* Where the weights of a look-up lie. */
typedef struct weights2 {
    const uint8_t *a, *b; /* b of the second column; unused where there is one */
} weights2;

/* Byte sums: of both pixels' counts, as first + 16 * second modulo 256, and of the second's alone. */
typedef struct sums {
    columns both, second;
} sums;

/* gcc would reorder the sums of a block and run out of registers; this keeps them as they are written. */
#if defined(__GNUC__) && !defined(__clang__)
#define KEEP(x) __asm__("" : "+v"((x).a), "+v"((x).b))
#else
#define KEEP(x) (void)(x)
#endif

/* Nor does gcc load a vector that two look-ups need once, of itself; 16 registers are too few for that. */
#if defined(__GNUC__) && !defined(__clang__) && MANY_REGISTERS
#define LOADED(x) __asm__("" : "+v"(x))
#else
#define LOADED(x) (void)(x)
#endif

static inline columns add(columns x, columns y) { return (columns){bytes_add(x.a, y.a), bytes_add(x.b, y.b)}; }

static inline columns mean(columns x, columns y) { return (columns){bytes_mean(x.a, y.a), bytes_mean(x.b, y.b)}; }

static inline columns high_nibbles(columns x) {
    const bytes high = bytes_all(0xF0);
    return (columns){bytes_and(x.a, high), bytes_and(x.b, high)};
}

UNROLLED columns shift_right(columns x, const int bits) {
    return (columns){words_right(x.a, bits), words_right(x.b, bits)};
}

static inline bytes table_at(const unsigned char *cell) {
    uint16_t offset;
    memcpy(&offset, cell, sizeof offset);
    return bytes_table((const uint8_t *)tables + offset);
}

UNROLLED columns look(const unsigned char *a, const unsigned char *b, weights2 w, size_t at, const int wide) {
    const bytes t = table_at(a);
    bytes first = bytes_load(w.a + at);
    if (wide) return (columns){bytes_look(t, first), bytes_look(t, bytes_load(w.b + at))};
    LOADED(first);
    return (columns){bytes_look(t, first), bytes_look(table_at(b), first)};
}

/* Bytes from a group's weights to the next one's. */
UNROLLED size_t step_of(const int wide) { return wide || BYTES == PANEL ? PANEL : PANEL / 2; }

/* Adds three look-ups, at most 12 in each nibble, to s->both, and returns their high nibbles. */
UNROLLED columns look3(const unsigned char *a, const unsigned char *b, weights2 w, size_t at, const int wide, sums *s) {
    const size_t next = step_of(wide);
    columns x = add(look(a, b, w, at, wide), look(a + 2, b + 2, w, at + next, wide));
    x = add(x, look(a + 4, b + 4, w, at + 2 * next, wide));
    s->both = add(s->both, x);
    KEEP(s->both);
    return high_nibbles(x);
}

/* Where a look-up, or the first of a block of them, finds its offset and its weights. */
typedef struct source {
    size_t cell, weights; /* bytes from the pair's first cell; bytes into the panel */
} source;

/* A block, added to s->both; returns a quarter of the sum of the high nibbles. The mean of bytes whose low bits are
 * clear is exact, so high nibbles add up without being shifted down: four of them to that, of which the two low bits
 * are clear again. */
UNROLLED columns look12(const unsigned char *a, const unsigned char *b, weights2 w, source at, const int wide,
                        sums *s) {
    const size_t next = 3 * step_of(wide);
    a += at.cell, b += at.cell, w.a += at.weights;
    w.b = BYTES < PANEL ? w.a + BYTES : w.b + at.weights; /* one address where a panel has both columns */
    columns x = look3(a, b, w, 0, wide, s);
    x = mean(x, look3(a + 6, b + 6, w, next, wide, s));
    columns y = look3(a + 12, b + 12, w, 2 * next, wide, s);
    y = mean(y, look3(a + 18, b + 18, w, 3 * next, wide, s));
    return mean(x, y);
}

/* Four blocks: the means of four quarters are the sum. */
UNROLLED void look48(const unsigned char *a, const unsigned char *b, weights2 w, const source *at, const int wide,
                     sums *s) {
    const source first = at[0], second = at[1], third = at[2], fourth = at[3];
    columns x = look12(a, b, w, first, wide, s);
    x = mean(x, look12(a, b, w, second, wide, s));
    columns y = look12(a, b, w, third, wide, s);
    y = mean(y, look12(a, b, w, fourth, wide, s));
    s->second = mean(x, y);
}

/* ---- the walk through a panel: what does not fill blocks, singly, then the blocks ---- */

typedef struct walk {
    const source *single, *block; /* one more entry than blocks may be read */
    size_t singles, blocks;       /* singles are a multiple of 3 */
} walk;

static size_t walk_bytes(const bnn_bgemm_shape *shape) {
    const size_t groups = panel_groups(shape);
    return bnn_round_up((groups / BLOCK + groups + 3) * sizeof(source), BNN_ALIGN);
}

static walk walk_of(const bnn_bgemm_run *r, size_t step, source *memory) {
    const size_t groups = panel_groups(r->shape), run = tap_groups(r->shape) * r->segment_taps;
    source *at = memory;
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = run / BLOCK * BLOCK; i < run; i++)
            *at++ = (source){r->segment[s] + i * sizeof(uint16_t), (s * run + i) * step};
    while ((at - memory) % 3) *at++ = (source){r->segment[0], groups * step};
    walk w = {memory, at, (size_t)(at - memory), 0};
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = 0; i + BLOCK <= run; i += BLOCK, w.blocks++)
            *at++ = (source){r->segment[s] + i * sizeof(uint16_t), (s * run + i) * step};
    *at = (source){r->segment[0], 0};
    return w;
}

/* Three single look-ups. */
UNROLLED void look_singles(const unsigned char *a, const unsigned char *b, weights2 w, const source *at, const int wide,
                           sums *s) {
    columns x = look(a + at[0].cell, b + at[0].cell, w, at[0].weights, wide);
    x = add(x, look(a + at[1].cell, b + at[1].cell, w, at[1].weights, wide));
    x = add(x, look(a + at[2].cell, b + at[2].cell, w, at[2].weights, wide));
    s->both = add(s->both, x);
    s->second = add(s->second, shift_right(high_nibbles(x), 4));
}

/* Byte sums over blocks begin to end - 1, and over the singles where begin is 0; returns their number. */
UNROLLED size_t part_sums(const walk *k, size_t begin, size_t end, const unsigned char *a, const unsigned char *b,
                          weights2 w, const int wide, sums *out) {
    const bytes zero = bytes_zero();
    const sums none = {{zero, zero}, {zero, zero}};
    sums s = none, *const start = out;
    const source *at = k->block + begin, *const stop = k->block + end;
    for (; MANY_REGISTERS && stop - at >= 4; at += 4) {
        sums four = none;
        look48(a, b, w, at, wide, &four);
        *out++ = four;
    }
    size_t room = CHUNK;
    if (begin == 0)
        for (size_t i = 0; i < k->singles; i += 3, room -= 3) {
            if (room < 3) *out++ = s, s = none, room = CHUNK;
            look_singles(a, b, w, k->single + i, wide, &s);
        }
    source now = *at; /* a block ahead, for its addresses to be there in time */
    for (; at < stop; room -= BLOCK) {
        if (room < BLOCK) *out++ = s, s = none, room = CHUNK;
        const source next = *++at;
        s.second = add(s.second, shift_right(look12(a, b, w, now, wide, &s), 2));
        KEEP(s.second);
        now = next;
    }
    if (room < CHUNK) *out++ = s;
    return (size_t)(out - start);
}

/* ---- counts ---- */

/* 16-bit sums of the words of byte vectors, modulo 2^16, and of their odd bytes; the even bytes follow from both. */
typedef struct words {
    bytes all, odd;
} words;

static inline words words_take(words w, bytes x) {
    return (words){words_add(w.all, x), words_add(w.odd, words_right(x, 8))};
}

static inline column_counts counts_of(words w) {
    return (column_counts){words_sub(w.all, words_left(w.odd, 8)), w.odd};
}

static inline bytes first_of(bytes both, bytes second) {
    return bytes_sub(both, words_left(bytes_and(second, bytes_all(15)), 4));
}

/* Counts of both columns, for the first and the second pixel. */
typedef struct counts {
    column_counts a[2], b[2];
} counts;

/* Adds up n byte sums. */
UNROLLED counts counts_sum(const sums *s, size_t n) {
    const words none = {bytes_zero(), bytes_zero()};
    words a0 = none, a1 = none, b0 = none, b1 = none;
    for (size_t i = 0; i < n; i++) {
        a0 = words_take(a0, first_of(s[i].both.a, s[i].second.a)), a1 = words_take(a1, s[i].second.a);
        b0 = words_take(b0, first_of(s[i].both.b, s[i].second.b)), b1 = words_take(b1, s[i].second.b);
    }
    return (counts){{counts_of(a0), counts_of(a1)}, {counts_of(b0), counts_of(b1)}};
}

static inline column_counts column_add(column_counts x, column_counts y) {
    return (column_counts){words_add(x.low, y.low), words_add(x.high, y.high)};
}

static inline counts counts_add(counts x, const counts *y) {
    return (counts){{column_add(x.a[0], y->a[0]), column_add(x.a[1], y->a[1])},
                    {column_add(x.b[0], y->b[0]), column_add(x.b[1], y->b[1])}};
}

/* ---- all pixels and panels ---- */

static size_t sums_most(const bnn_bgemm_shape *shape) { return panel_groups(shape) / (CHUNK - BLOCK) + 2; }

static size_t scratch_bytes(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    (void)rows, (void)cols;
    return TILES * sizeof(counts) + sums_most(shape) * sizeof(sums) + walk_bytes(shape);
}

/* Output pixels go in pairs along their row, or down two rows. */
typedef struct place {
    uint32_t y, x;
    const unsigned char *row, *cells; /* the row's first cells, and these pixels' */
} place;

static inline size_t pairs_of(const bnn_bgemm_run *r) {
    return r->down ? (size_t)r->rows / 2 * r->cols : (size_t)r->rows * ((r->cols + 1) / 2);
}

/* One column or two, and the pairs that pass them together. */
typedef struct pass {
    const bnn_bgemm_run *run;
    weights2 panel;
    const uint8_t *weights_end;
    const walk *walk;
    const out_panel *out;
    uint32_t across; /* a pair's columns: 2, or 1 where it goes down two rows */
    size_t pairs, tiles;
    counts *waiting; /* [tiles] */
    sums *sums;
} pass;

static inline place place_next(const pass *p, place at) {
    const bnn_bgemm_run *r = p->run;
    at.x += p->across;
    at.cells += r->tile_bytes;
    if (at.x < r->cols) return at;
    at.row += r->row_bytes;
    return (place){at.y + (p->across == 2 ? 1 : 2), 0, at.row, at.row};
}

/* Fetches a tile's share of the weights of the next part into L2: between few tiles there is no time to wait for them.
 */
static inline void fetch_share(const pass *p, const uint8_t *next, size_t tile) {
    const size_t share = bnn_round_up(PART * BLOCK * PANEL / p->tiles, BNN_ALIGN);
    for (size_t i = tile * share; i < (tile + 1) * share && i < (size_t)(p->weights_end - next); i += BNN_ALIGN)
        _mm_prefetch((const char *)next + i, _MM_HINT_T1);
}

/* Bits of both pixels of a pair, of which the second may lie past the row. */
UNROLLED void pair_put(const pass *p, const int wide, place at, const column_counts a[2], const column_counts b[2]) {
    out_put_bits(p->out, wide, at.y, at.x, a, b);
    if (at.x + p->across - 1 < p->run->cols)
        out_put_bits(p->out, wide, at.y + 2 - p->across, at.x + p->across - 1, a + 1, b + 1);
}

/* Adds blocks begin to end - 1 to the counts of all tiles from `at` on; with `bits`, a constant as `wide` is, they are
 * the last, and become bits at once. */
UNROLLED void tiles_sum(const pass *p, place at, size_t begin, size_t end, const int wide, const int bits) {
    for (size_t tile = 0; tile < p->tiles; tile++, at = place_next(p, at)) {
        const place first = at;
        const int two = !wide && 2 * tile + 1 < p->pairs;
        if (two) at = place_next(p, at);
        if (p->tiles <= FEW) {
            fetch_share(p, p->panel.a + end * BLOCK * step_of(wide), tile);
            if (wide && BYTES == PANEL) fetch_share(p, p->panel.b + end * BLOCK * step_of(wide), tile);
        }
        const size_t n = part_sums(p->walk, begin, end, first.cells, at.cells, p->panel, wide, p->sums);
        counts c = counts_sum(p->sums, n);
        if (begin) c = counts_add(c, p->waiting + tile);
        if (!bits) {
            p->waiting[tile] = c;
            continue;
        }
        pair_put(p, wide, first, c.a, c.b);
        if (two) pair_put(p, wide, at, c.b, c.b);
    }
}

/* Each compiled apart: in one function gcc would run out of registers for the walk. */
APART void sum_wide(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 1, 0); }
APART void sum_narrow(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 0, 0); }
APART void bits_wide(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 1, 1); }
APART void bits_narrow(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 0, 1); }

/* The counts of all tiles to numbers. */
APART void tiles_put(const pass *p, place at, const int wide) {
    const bnn_out *out = &p->run->out;
    out_pixel pixels[4 * TILES];
    size_t count = 0;
    for (size_t pair = 0; pair < p->pairs; pair++, at = place_next(p, at)) {
        const counts *c = wide ? p->waiting + pair : p->waiting + pair / 2;
        const column_counts *pop = wide || pair % 2 == 0 ? c->a : c->b;
        for (uint32_t mate = 0; mate < 2; mate++) {
            const uint32_t y = at.y + mate * (2 - p->across), x = at.x + mate * (p->across - 1);
            if (x >= p->run->cols) continue;
            const size_t to = y * out->row_stride + x * out->stride + p->out->n;
            const int16_t *level = out->kind == BNN_OUT_FLOAT ? out_level(p->out, p->out->width, y, x) : NULL;
            pixels[count++] = (out_pixel){to, level, (const uint16_t *)(const void *)(pop + mate)};
        }
    }
    out_put_numbers(p->out, pixels, count);
}

static place places_next(const pass *p, place at) {
    for (size_t i = 0; i < p->pairs; i++) at = place_next(p, at);
    return at;
}

/* The first block of a part, all of which but the last have whole fours of them. */
static inline size_t part_begin(const walk *k, size_t part, size_t parts) {
    return part < parts ? k->blocks / 4 * part / parts * 4 : k->blocks;
}

/* One column or two, from output channel n on. */
static void panel_run(const bnn_bgemm_run *r, uint32_t n, int wide) {
    const uint8_t *weights = r->weights, *panel = weights + n / PANEL * panel_bytes(r->shape);
    const int bits = r->out.kind == BNN_OUT_BITS;
    counts *const waiting = r->scratch;
    sums *const s = (void *)(waiting + TILES);
    const walk k = walk_of(r, step_of(wide), (void *)(s + sums_most(r->shape)));
    const out_panel out = out_panel_of(r, n, wide ? 2 * BYTES : BYTES);
    const size_t most_blocks = wide && BYTES == PANEL ? PART / 2 : PART;
    const size_t parts = k.blocks > most_blocks ? (k.blocks + most_blocks - 1) / most_blocks : 1;
    const size_t pairs = wide ? 1 : 2; /* in a tile */
    const size_t most = (parts > 1 || bits ? TILES : TILES_AT_ONCE) * pairs;
    pass p = {.run = r,
              .panel = {panel, panel + (BYTES < PANEL ? BYTES : panel_bytes(r->shape))},
              .weights_end = weights + weights_bytes(r->shape),
              .walk = &k,
              .out = &out,
              .across = r->down ? 1 : 2,
              .waiting = waiting,
              .sums = s};
    place at = {0, 0, r->cells, r->cells};
    for (size_t left = pairs_of(r); left; left -= p.pairs, at = places_next(&p, at)) {
        p.pairs = left < most ? left : most;
        p.tiles = (p.pairs + pairs - 1) / pairs;
        for (size_t part = 0; part < parts; part++) {
            const size_t begin = part_begin(&k, part, parts), end = part_begin(&k, part + 1, parts);
            if (bits && part + 1 == parts)
                (wide ? bits_wide : bits_narrow)(&p, at, begin, end);
            else
                (wide ? sum_wide : sum_narrow)(&p, at, begin, end);
        }
        if (!bits) tiles_put(&p, at, wide);
    }
}

#endif
