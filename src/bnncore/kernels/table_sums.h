/* The sums of the two-pixel table product for one tile: table_body.h tells the idea. */
#ifndef BNN_TABLE_SUMS_H
#define BNN_TABLE_SUMS_H

#include "table_operands.h"
#include "table_out.h"
#include "unroll.h"

enum {
    BLOCK = 12, /* look-ups in the unrolled block */
    CHUNK = 60, /* look-ups until byte sums are full: 60 * 4 < 256 */
    PART = 24,  /* blocks whose weights (18 KiB) stay in L1 beside the tables while pixels stream past */
    MORE = 3    /* blocks that a part may have beyond that, since all but the last have whole fours */
};

/* ---- look-ups ----
 *
 * Two columns of BYTES channels go side by side: two of weights, `wide`, for one pair of pixels, or, where just one is
 * left, that one for two pairs.
 */

typedef struct columns {
    bytes a, b;
} columns;

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

/* Bytes of weights in a look-up: those of one column, or of both side by side. */
UNROLLED size_t step_of(const int wide) { return wide ? 2 * BYTES : BYTES; }

/* Packed bytes from a group to the next one. */
UNROLLED size_t packed_step(const int wide) { return wide || BYTES == PANEL ? PANEL / 2 : PANEL / 4; }

/* The packed weights of a column or two. */
typedef struct packed {
    const uint8_t *a, *b; /* b of the second one, where that is another panel's */
} packed;

static inline packed packed_at(packed p, size_t at) { return (packed){p.a + at, p.b + at}; }

/* Where the weights of a look-up are; or, `fresh`, a constant as `wide` is, where they go once they are unpacked. */
typedef struct weights {
    uint8_t *at;
    packed from; /* fresh */
} weights;

UNROLLED weights weights_next(weights w, size_t looks, const int wide) {
    return (weights){w.at + looks * step_of(wide), packed_at(w.from, looks * packed_step(wide))};
}

/* Unpacks the weights of a look-up. Low nibbles are the first half of a panel's lanes, high ones the second. */
UNROLLED columns unpack(weights w, const int wide) {
    const bytes zero = bytes_zero(), low = bytes_all(15);
    columns x = {zero, zero};
    if (wide && BYTES < PANEL) {
        const bytes both = bytes_load(w.from.a);
        x = (columns){bytes_and(both, low), bytes_and(words_right(both, 4), low)};
    } else {
        x.a = bytes_of_nibbles(w.from.a);
        if (wide) x.b = bytes_of_nibbles(w.from.b);
    }
    bytes_store(w.at, x.a);
    if (wide) bytes_store(w.at + BYTES, x.b);
    return x;
}

UNROLLED columns look(const unsigned char *a, const unsigned char *b, weights w, const int wide, const int fresh) {
    const bytes t = table_at(a);
    columns c = {bytes_zero(), bytes_zero()};
    if (fresh) c = unpack(w, wide);
    bytes first = fresh ? c.a : bytes_load(w.at);
    if (wide) return (columns){bytes_look(t, first), bytes_look(t, fresh ? c.b : bytes_load(w.at + BYTES))};
    LOADED(first);
    return (columns){bytes_look(t, first), bytes_look(table_at(b), first)};
}

/* Adds three look-ups, at most 12 in each nibble, to s->both, and returns their high nibbles. */
UNROLLED columns look3(const unsigned char *a, const unsigned char *b, weights w, const int wide, const int fresh,
                       sums *s) {
    columns x = add(look(a, b, w, wide, fresh), look(a + 2, b + 2, weights_next(w, 1, wide), wide, fresh));
    x = add(x, look(a + 4, b + 4, weights_next(w, 2, wide), wide, fresh));
    s->both = add(s->both, x);
    KEEP(s->both);
    return high_nibbles(x);
}

/* A block, added to s->both; returns a quarter of the sum of the high nibbles. The mean of bytes whose low bits are
 * clear is exact, so high nibbles add up without being shifted down: four of them to that, of which the two low bits
 * are clear again. */
UNROLLED columns look12(const unsigned char *a, const unsigned char *b, weights w, const int wide, const int fresh,
                        sums *s) {
    columns x = look3(a, b, w, wide, fresh, s);
    x = mean(x, look3(a + 6, b + 6, weights_next(w, 3, wide), wide, fresh, s));
    columns y = look3(a + 12, b + 12, weights_next(w, 6, wide), wide, fresh, s);
    y = mean(y, look3(a + 18, b + 18, weights_next(w, 9, wide), wide, fresh, s));
    return mean(x, y);
}

/* Where a look-up, or the first of a block of them, finds its offset and its weights. */
typedef struct source {
    size_t cell, weights; /* bytes from the pair's first cell; bytes into the packed panel */
} source;

/* Four blocks: the means of four quarters are the sum. */
UNROLLED void look48(const unsigned char *a, const unsigned char *b, weights w, const source *at, const int wide,
                     sums *s) {
    const size_t first = at[0].cell, second = at[1].cell, third = at[2].cell, fourth = at[3].cell;
    columns x = look12(a + first, b + first, w, wide, 0, s);
    x = mean(x, look12(a + second, b + second, weights_next(w, BLOCK, wide), wide, 0, s));
    columns y = look12(a + third, b + third, weights_next(w, 2 * BLOCK, wide), wide, 0, s);
    y = mean(y, look12(a + fourth, b + fourth, weights_next(w, 3 * BLOCK, wide), wide, 0, s));
    s->second = mean(x, y);
}

/* ---- the walk through a panel: what does not fill blocks, singly, then the blocks ---- */

typedef struct walk {
    const source *single, *block; /* one more entry than blocks may be read */
    size_t singles, blocks;       /* singles are a multiple of 3 */
    size_t nothing;               /* of them, the last: they look up nothing */
} walk;

/* At most all groups singly and all in blocks, two singles that look up nothing, and the entry behind the blocks. */
static size_t walk_bytes(const bnn_bgemm_shape *shape) {
    const size_t groups = panel_groups(shape);
    return bnn_round_up((groups / BLOCK + groups + 3) * sizeof(source), BNN_ALIGN);
}

/* step: bytes from a group to the next one in the packed panel */
static walk walk_of(const bnn_bgemm_run *r, size_t step, source *memory) {
    const size_t run = tap_groups(r->shape) * r->segment_taps;
    source *at = memory;
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = run / BLOCK * BLOCK; i < run; i++)
            *at++ = (source){r->segment[s] + i * sizeof(uint16_t), (s * run + i) * step};
    walk w = {.single = memory};
    for (; (at - memory) % 3; w.nothing++) *at++ = (source){r->segment[0], 0};
    w.block = at, w.singles = (size_t)(at - memory);
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = 0; i + BLOCK <= run; i += BLOCK, w.blocks++)
            *at++ = (source){r->segment[s] + i * sizeof(uint16_t), (s * run + i) * step};
    *at = (source){r->segment[0], 0};
    return w;
}

/* ---- a part: the weights of some blocks, and of the singles before block 0, as the walk looks them up ---- */

/* The most look-ups that a part has: its blocks, the singles, of which a segment has fewer than a block, and up to two
 * that make those a multiple of 3. */
static size_t part_looks(const bnn_bgemm_shape *shape) {
    const size_t groups = panel_groups(shape), most = (PART + MORE) * BLOCK + (BLOCK - 1) * shape->taps;
    return (groups < most ? groups : most) + 2;
}

/* Unpacks the weights of the singles. */
UNROLLED void singles_unpack(const walk *k, packed panel, const int wide, uint8_t *to) {
    const source *const stop = k->single + k->singles - k->nothing;
    for (const source *at = k->single; at < stop; at++, to += step_of(wide))
        unpack((weights){to, packed_at(panel, at->weights)}, wide);
    memset(to, NONE, k->nothing * step_of(wide));
}

/* Three single look-ups. */
UNROLLED void look_singles(const unsigned char *a, const unsigned char *b, weights w, const source *at, const int wide,
                           sums *s) {
    columns x = look(a + at[0].cell, b + at[0].cell, w, wide, 0);
    x = add(x, look(a + at[1].cell, b + at[1].cell, weights_next(w, 1, wide), wide, 0));
    x = add(x, look(a + at[2].cell, b + at[2].cell, weights_next(w, 2, wide), wide, 0));
    s->both = add(s->both, x);
    s->second = add(s->second, shift_right(high_nibbles(x), 4));
}

/* Byte sums over blocks begin to end - 1, and over the singles where begin is 0; returns their number. The
 * part's weights are there, or, `fresh`, come there from the panel as they are looked up. */
UNROLLED size_t part_sums(const walk *k, size_t begin, size_t end, const unsigned char *a, const unsigned char *b,
                          uint8_t *part, packed panel, const int wide, const int fresh, sums *out) {
    const bytes zero = bytes_zero();
    const sums none = {{zero, zero}, {zero, zero}};
    sums s = none, *const start = out;
    weights w = {part, panel};
    size_t room = CHUNK;
    if (begin == 0) {
        if (fresh) singles_unpack(k, panel, wide, part);
        for (size_t i = 0; i < k->singles; i += 3, room -= 3, w = weights_next(w, 3, wide)) {
            if (room < 3) *out++ = s, s = none, room = CHUNK;
            look_singles(a, b, w, k->single + i, wide, &s);
        }
    }
    const source *at = k->block + begin, *const stop = k->block + end;
    for (; MANY_REGISTERS && !fresh && stop - at >= 4; at += 4, w = weights_next(w, 4 * BLOCK, wide)) {
        sums four = none;
        look48(a, b, w, at, wide, &four);
        *out++ = four;
    }
    size_t now = at->cell; /* a block ahead, for its address to be there in time */
    for (; at < stop; room -= BLOCK, w = weights_next(w, BLOCK, wide)) {
        if (room < BLOCK) *out++ = s, s = none, room = CHUNK;
        if (fresh) w.from = packed_at(panel, at->weights);
        const size_t next = (++at)->cell;
        s.second = add(s.second, shift_right(look12(a + now, b + now, w, wide, fresh, &s), 2));
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

#endif
