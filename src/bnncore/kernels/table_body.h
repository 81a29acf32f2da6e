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
 *
 * In the model's memory two nibbles are a byte. A part's weights are unpacked into scratch, in the order of their
 * look-ups, by the first tile's own sum: with AVX2 that adds 36 operations and 24 stores to a block, about 10 cycles,
 * and takes 12 loads away.
 * table_operands.h has weights, cells and tables, table_sums.h a tile's look-ups, table_out.h what becomes of counts;
 * here all tiles pass all panels.
 */
#ifndef BNN_TABLE_BODY_H
#define BNN_TABLE_BODY_H

#include "table_out.h"
#include "table_sums.h"

enum {
    TILES = 2048 / BYTES, /* tiles whose counts (16 KiB) wait in scratch between two parts */
    TILES_AT_ONCE = 16,   /* tiles whose counts wait for what becomes of them, where there is one part */
    FEW = 32              /* tiles below which fetching weights shows */
};

/* A sum is closed with fewer than a block's look-ups missing; and there may be one more that is not full, and one of
 * the singles. */
static size_t sums_most(const bnn_bgemm_shape *shape) { return panel_groups(shape) / (CHUNK - BLOCK) + 2; }

static size_t scratch_bytes(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    (void)rows, (void)cols;
    return TILES * sizeof(counts) + sums_most(shape) * sizeof(sums) + part_looks(shape) * 2 * BYTES + walk_bytes(shape);
}

/* Output pixels go in pairs along their row, or down two rows. */
typedef struct place {
    uint32_t y, x;
    const unsigned char *row, *cells; /* the row's first cells, and these pixels' */
} place;

/* One column or two, and the pairs that pass them together. */
typedef struct pass {
    const bnn_bgemm_run *run;
    packed panel;
    const uint8_t *panels_end;
    uint8_t *part; /* its weights, unpacked */
    int fresh;     /* not yet: the first tile's sum unpacks them */
    const walk *walk;
    const out_panel *out;
    uint32_t across, down; /* columns and rows of a pair: 2 and 1, or 1 and 2 */
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
    return (place){at.y + p->down, 0, at.row, at.row};
}

/* The place of a pair, which are counted through the run; row_pairs: in a row. */
static place place_of(const pass *p, size_t pair, size_t row_pairs) {
    const bnn_bgemm_run *r = p->run;
    const uint32_t row = (uint32_t)(pair / row_pairs), across = (uint32_t)(pair % row_pairs);
    const unsigned char *cells = (const unsigned char *)r->cells + row * r->row_bytes;
    return (place){row * p->down, across * p->across, cells, cells + across * r->tile_bytes};
}

/* Fetches a tile's share of the weights of the next part into L2: between few tiles there is no time to wait for them.
 */
static inline void fetch_share(const pass *p, const uint8_t *next, size_t tile) {
    const size_t share = bnn_round_up(PART * BLOCK * PANEL / 2 / p->tiles, BNN_ALIGN);
    for (size_t i = tile * share; i < (tile + 1) * share && i < (size_t)(p->panels_end - next); i += BNN_ALIGN)
        _mm_prefetch((const char *)next + i, _MM_HINT_T1);
}

/* Bits of both pixels of a pair, of which the second may lie past the row. */
UNROLLED void pair_put(const pass *p, const int wide, place at, const column_counts a[2], const column_counts b[2]) {
    const uint32_t y = at.y + p->down - 1, x = at.x + p->across - 1;
    out_put_bits(p->out, wide, at.y, at.x, a, b);
    if (x < p->run->cols) out_put_bits(p->out, wide, y, x, a + 1, b + 1);
}

/* Each compiled apart, as below: in one function gcc would run out of registers for the walk. */
APART size_t fresh_wide(const pass *p, size_t begin, size_t end, const unsigned char *a, const unsigned char *b) {
    return part_sums(p->walk, begin, end, a, b, p->part, p->panel, 1, 1, p->sums);
}

APART size_t fresh_narrow(const pass *p, size_t begin, size_t end, const unsigned char *a, const unsigned char *b) {
    return part_sums(p->walk, begin, end, a, b, p->part, p->panel, 0, 1, p->sums);
}

/* Adds blocks begin to end - 1 to the counts of all tiles from `at` on; with `bits`, a constant as `wide` is, they are
 * the last, and become bits at once. */
UNROLLED void tiles_sum(const pass *p, place at, size_t begin, size_t end, const int wide, const int bits) {
    for (size_t tile = 0; tile < p->tiles; tile++, at = place_next(p, at)) {
        const place first = at;
        const int two = !wide && 2 * tile + 1 < p->pairs;
        if (two) at = place_next(p, at);
        if (p->tiles <= FEW) {
            fetch_share(p, p->panel.a + end * BLOCK * packed_step(wide), tile);
            if (wide && BYTES == PANEL) fetch_share(p, p->panel.b + end * BLOCK * packed_step(wide), tile);
        }
        const size_t n =
            tile == 0 && p->fresh
                ? (wide ? fresh_wide : fresh_narrow)(p, begin, end, first.cells, at.cells)
                : part_sums(p->walk, begin, end, first.cells, at.cells, p->part, p->panel, wide, 0, p->sums);
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
            const uint32_t y = at.y + mate * (p->down - 1), x = at.x + mate * (p->across - 1);
            if (x >= p->run->cols) continue;
            const size_t to = y * out->row_stride + x * out->stride + p->out->n;
            const int16_t *level = out->kind == BNN_OUT_FLOAT ? out_level(p->out, p->out->width, y, x) : NULL;
            pixels[count++] = (out_pixel){to, level, (const uint16_t *)(const void *)(pop + mate)};
        }
    }
    out_put_numbers(p->out, pixels, count);
}

/* The first block of a part, all of which but the last have whole fours of them. */
static inline size_t part_begin(const walk *k, size_t part, size_t parts) {
    return part < parts ? k->blocks / 4 * part / parts * 4 : k->blocks;
}

/* One column or two, from output channel n on. */
static void panel_run(const bnn_bgemm_run *r, uint32_t n, int wide) {
    const uint8_t *panels = r->weights, *panel = panels + n / PANEL * panel_bytes(r->shape);
    const int bits = r->out.kind == BNN_OUT_BITS;
    counts *const waiting = r->scratch;
    sums *const s = (void *)(waiting + TILES);
    uint8_t *const weights = (void *)(s + sums_most(r->shape));
    const walk k = walk_of(r, packed_step(wide), (void *)(weights + part_looks(r->shape) * 2 * BYTES));
    const out_panel out = out_panel_of(r, n, wide ? 2 * BYTES : BYTES);
    const size_t most_blocks = wide && BYTES == PANEL ? PART / 2 : PART;
    const size_t parts = k.blocks > most_blocks ? (k.blocks + most_blocks - 1) / most_blocks : 1;
    const size_t pairs = wide ? 1 : 2; /* in a tile */
    const size_t most = (parts > 1 || bits ? TILES : TILES_AT_ONCE) * pairs;
    pass p = {.run = r,
              .panel = {panel, panel + panel_bytes(r->shape)},
              .panels_end = panels + weights_bytes(r->shape),
              .part = weights,
              .walk = &k,
              .out = &out,
              .across = r->down ? 1 : 2,
              .down = r->down ? 2 : 1,
              .waiting = waiting,
              .sums = s};
    const size_t row_pairs = (r->cols + p.across - 1) / p.across, all = r->rows / p.down * row_pairs;
    for (size_t pair = 0; pair < all; pair += p.pairs) {
        const place at = place_of(&p, pair, row_pairs);
        p.pairs = all - pair < most ? all - pair : most;
        p.tiles = (p.pairs + pairs - 1) / pairs;
        p.fresh = parts > 1 || pair == 0;
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
