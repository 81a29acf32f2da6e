/* Binary matrix product, AVX2: one table look-up counts for two pixels.
 *
 * Output channels lie in the byte lanes; a byte of weights is 4 bits of a channel. For two pixels with activation
 * nibbles a1, a2 the table T[a1 | a2 << 4][w] = popcount(a1 ^ w) | popcount(a2 ^ w) << 4 answers 4 bits of 32 channels
 * for both pixels in one vpshufb: 256 bit pairs. Three look-ups fill the nibbles of x. Adding x up modulo 256 and its
 * high nibbles apart gives both pixels' byte sums, up to 60 look-ups: the first pixel's is the one less 16 times the
 * other. High nibbles add up by vpavgb, of which four values need one shift; the low ones are never masked. So four
 * times three look-ups, a block, cost a column of 32 channels 12 vpshufb, 8 vpaddb for the threes, 4 vpaddb, 4 vpand,
 * 3 vpavgb, and a shift with its vpaddb: 33 operations for 3,072 bit pairs.
 *
 * A tile is one pair and 64 channels (6,144 bit pairs a block): 66 vector operations, 36 vector loads (24 of weights,
 * within vpshufb, and 12 of tables) and 12 of table offsets. Bounds, in cycles a block:
 *
 *     Zen 3, 4          18    two vector loads a cycle (16.5 for four vector pipes)        341 bit pairs a cycle
 *     Skylake, Ice Lake 25    two loads a cycle (24 for vpshufb on Skylake's one port)     246
 *     Alder Lake (P)    22    three vector ports                                           279
 *
 * llvm-mca 19 predicts for the loop from gcc 12 (clang 19): znver3 and znver4 23.4 (24.7), skylake 30.0 (30.0),
 * icelake-server 27.1 (28.4), alderlake 23.1 (23.1); its znver3 counts vbroadcasti128 as a shuffle, which made a load
 * of here. Measured on a Zen 5 core: 20.0 (21.2).
 *
 * The addresses of a block are read one block ahead: without that the loop takes 23 to 25 cycles, whatever the order of
 * its instructions. The weights of a part stay in L1 while pixels stream past, and 16-bit counts wait in scratch.
 */
#include "avx2_out.h"
#include "avx2_table.h"

enum {
    BLOCK = 12,         /* look-ups in the unrolled block */
    CHUNK = 60,         /* look-ups until byte sums are full: 60 * 4 < 256 */
    PART = 24,          /* blocks whose weights (18 KiB) stay in L1 beside the tables while pixels stream past */
    TILES = 64,         /* tiles whose counts wait in scratch between two parts */
    TILES_AT_ONCE = 16, /* the same where there is one part */
    FEW = 32            /* tiles below which fetching weights shows */
};

/* ---- look-ups ----
 *
 * Two columns of 32 channels go side by side: the halves of a wide panel for one pair of pixels, or, where 32 channels
 * or fewer are left, that narrow panel for two pairs.
 */

typedef struct columns {
    __m256i a, b;
} columns;

/* Byte sums: of both pixels' counts, as first + 16 * second modulo 256, and of the second's alone. */
typedef struct sums {
    columns both, second;
} sums;

/* gcc would reorder the sums of a block and run out of registers; this keeps them as they are written. */
#if defined(__GNUC__) && !defined(__clang__)
#define KEEP(x) __asm__("" : "+x"((x).a), "+x"((x).b))
#else
#define KEEP(x) (void)(x)
#endif

static inline columns add(columns x, columns y) {
    return (columns){_mm256_add_epi8(x.a, y.a), _mm256_add_epi8(x.b, y.b)};
}

static inline columns mean(columns x, columns y) {
    return (columns){_mm256_avg_epu8(x.a, y.a), _mm256_avg_epu8(x.b, y.b)};
}

static inline columns high_nibbles(columns x) {
    const __m256i high = _mm256_set1_epi8((char)0xF0);
    return (columns){_mm256_and_si256(x.a, high), _mm256_and_si256(x.b, high)};
}

UNROLLED columns shift_right(columns x, const int bits) {
    return (columns){_mm256_srli_epi16(x.a, bits), _mm256_srli_epi16(x.b, bits)};
}

static inline __m256i load(const uint8_t *at) { return _mm256_load_si256((const __m256i *)(const void *)at); }

static inline __m256i table_at(const unsigned char *cell) {
    uint16_t offset;
    memcpy(&offset, cell, sizeof offset);
    return _mm256_broadcastsi128_si256(
        _mm_load_si128((const __m128i *)(const void *)((const uint8_t *)tables + offset)));
}

UNROLLED columns look(const unsigned char *a, const unsigned char *b, const uint8_t *w, const int wide) {
    const __m256i t = table_at(a);
    if (wide) return (columns){_mm256_shuffle_epi8(t, load(w)), _mm256_shuffle_epi8(t, load(w + 32))};
    return (columns){_mm256_shuffle_epi8(t, load(w)), _mm256_shuffle_epi8(table_at(b), load(w))};
}

/* Adds three look-ups, at most 12 in each nibble, to s->both, and returns their high nibbles. */
UNROLLED columns look3(const unsigned char *a, const unsigned char *b, const uint8_t *w, const int wide, sums *s) {
    const size_t next = wide ? 64 : 32;
    columns x = add(look(a, b, w, wide), look(a + 2, b + 2, w + next, wide));
    x = add(x, look(a + 4, b + 4, w + 2 * next, wide));
    s->both = add(s->both, x);
    KEEP(s->both);
    return high_nibbles(x);
}

/* A block. The mean of bytes whose low bits are clear is exact, so high nibbles add up without being shifted down: four
 * of them to a quarter of their sum, of which the two low bits are clear again. */
UNROLLED void look12(const unsigned char *a, const unsigned char *b, const uint8_t *w, const int wide, sums *s) {
    const size_t next = wide ? 192 : 96;
    columns x = look3(a, b, w, wide, s);
    x = mean(x, look3(a + 6, b + 6, w + next, wide, s));
    columns y = look3(a + 12, b + 12, w + 2 * next, wide, s);
    y = mean(y, look3(a + 18, b + 18, w + 3 * next, wide, s));
    s->second = add(s->second, shift_right(mean(x, y), 2));
    KEEP(s->second);
}

/* ---- the walk through a panel: what does not fill blocks, singly, then the blocks ---- */

/* Where a look-up, or the first of a block of them, finds its offset and its weights. */
typedef struct source {
    size_t cell, weights; /* bytes from the pair's first cell; bytes into the panel */
} source;

typedef struct walk {
    const source *single, *block; /* one more entry than blocks may be read */
    size_t singles, blocks;       /* singles are a multiple of 3 */
} walk;

static size_t walk_bytes(const bnn_bgemm_shape *shape) {
    const size_t groups = panel_groups(shape);
    return bnn_round_up((groups / BLOCK + groups + 3) * sizeof(source), BNN_ALIGN);
}

static walk walk_of(const bnn_bgemm_run *r, size_t width, source *memory) {
    const size_t groups = panel_groups(r->shape), run = tap_groups(r->shape) * r->segment_taps;
    source *at = memory;
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = run / BLOCK * BLOCK; i < run; i++)
            *at++ = (source){r->segment[s] + i * sizeof(uint16_t), (s * run + i) * width};
    while ((at - memory) % 3) *at++ = (source){r->segment[0], groups * width};
    walk w = {memory, at, (size_t)(at - memory), 0};
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = 0; i + BLOCK <= run; i += BLOCK, w.blocks++)
            *at++ = (source){r->segment[s] + i * sizeof(uint16_t), (s * run + i) * width};
    *at = (source){r->segment[0], 0};
    return w;
}

/* Three single look-ups. */
UNROLLED void look_singles(const unsigned char *a, const unsigned char *b, const uint8_t *panel, const source *at,
                           const int wide, sums *s) {
    columns x = look(a + at[0].cell, b + at[0].cell, panel + at[0].weights, wide);
    x = add(x, look(a + at[1].cell, b + at[1].cell, panel + at[1].weights, wide));
    x = add(x, look(a + at[2].cell, b + at[2].cell, panel + at[2].weights, wide));
    s->both = add(s->both, x);
    s->second = add(s->second, shift_right(high_nibbles(x), 4));
}

/* Byte sums over blocks begin to end - 1, and over the singles where begin is 0; returns their number. */
UNROLLED size_t part_sums(const walk *k, size_t begin, size_t end, const unsigned char *a, const unsigned char *b,
                          const uint8_t *panel, const int wide, sums *out) {
    const __m256i zero = _mm256_setzero_si256();
    const sums none = {{zero, zero}, {zero, zero}};
    sums s = none, *const start = out;
    size_t room = CHUNK;
    if (begin == 0)
        for (size_t i = 0; i < k->singles; i += 3, room -= 3) {
            if (room < 3) *out++ = s, s = none, room = CHUNK;
            look_singles(a, b, panel, k->single + i, wide, &s);
        }
    const source *at = k->block + begin, *const stop = k->block + end;
    source now = *at; /* a block ahead, for its addresses to be there in time */
    for (; at < stop; room -= BLOCK) {
        if (room < BLOCK) *out++ = s, s = none, room = CHUNK;
        const source next = *++at;
        look12(a + now.cell, b + now.cell, panel + now.weights, wide, &s);
        now = next;
    }
    *out++ = s;
    return (size_t)(out - start);
}

/* ---- counts ---- */

/* 16-bit sums of the words of byte vectors, modulo 2^16, and of their odd bytes; the even bytes follow from both. */
typedef struct words {
    __m256i all, odd;
} words;

static inline words words_add(words w, __m256i bytes) {
    return (words){_mm256_add_epi16(w.all, bytes), _mm256_add_epi16(w.odd, _mm256_srli_epi16(bytes, 8))};
}

static inline counts32 counts_of(words w) {
    return (counts32){_mm256_sub_epi16(w.all, _mm256_slli_epi16(w.odd, 8)), w.odd};
}

static inline __m256i first_of(__m256i both, __m256i second) {
    return _mm256_sub_epi8(both, _mm256_slli_epi16(_mm256_and_si256(second, _mm256_set1_epi8(15)), 4));
}

/* Counts of both columns, for the first and the second pixel. */
typedef struct counts {
    counts32 a[2], b[2];
} counts;

/* Adds up n byte sums. */
UNROLLED counts counts_sum(const sums *s, size_t n) {
    const words none = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    words a0 = none, a1 = none, b0 = none, b1 = none;
    for (size_t i = 0; i < n; i++) {
        a0 = words_add(a0, first_of(s[i].both.a, s[i].second.a)), a1 = words_add(a1, s[i].second.a);
        b0 = words_add(b0, first_of(s[i].both.b, s[i].second.b)), b1 = words_add(b1, s[i].second.b);
    }
    return (counts){{counts_of(a0), counts_of(a1)}, {counts_of(b0), counts_of(b1)}};
}

static inline counts32 counts32_add(counts32 x, counts32 y) {
    return (counts32){_mm256_add_epi16(x.low, y.low), _mm256_add_epi16(x.high, y.high)};
}

static inline counts counts_add(counts x, const counts *y) {
    return (counts){{counts32_add(x.a[0], y->a[0]), counts32_add(x.a[1], y->a[1])},
                    {counts32_add(x.b[0], y->b[0]), counts32_add(x.b[1], y->b[1])}};
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

/* across: a pair's columns, 2, or 1 where it goes down two rows */
static inline place place_next(const bnn_bgemm_run *r, uint32_t across, place at) {
    at.x += across;
    at.cells += r->tile_bytes;
    if (at.x < r->cols) return at;
    at.row += r->row_bytes;
    return (place){at.y + (across == 2 ? 1 : 2), 0, at.row, at.row};
}

/* One panel and the pairs that pass it together. */
typedef struct pass {
    const bnn_bgemm_run *run;
    const uint8_t *panel, *weights_end;
    const walk *walk;
    const out_panel *out;
    uint32_t across;
    size_t pairs, tiles;
    counts *waiting; /* [tiles] */
    sums *sums;
} pass;

/* Fetches a tile's share of the weights of the next part into L2: between few tiles there is no time to wait for them.
 */
static inline void fetch_share(const pass *p, const uint8_t *next, size_t tile) {
    if (p->tiles > FEW) return;
    const size_t share = bnn_round_up(PART * BLOCK * PANEL / p->tiles, BNN_ALIGN);
    for (size_t i = tile * share; i < (tile + 1) * share && i < (size_t)(p->weights_end - next); i += BNN_ALIGN)
        _mm_prefetch((const char *)next + i, _MM_HINT_T1);
}

/* Bits of both pixels of a pair, of which the second may lie past the row. */
static inline void pair_put(const pass *p, place at, const counts32 a[2], const counts32 b[2]) {
    out_put_bits(p->out, at.y, at.x, a, b);
    if (at.x + p->across - 1 < p->run->cols)
        out_put_bits(p->out, at.y + 2 - p->across, at.x + p->across - 1, a + 1, b + 1);
}

/* Adds blocks begin to end - 1 to the counts of all tiles from `at` on; with `bits`, a constant, they are the last, and
 * become bits at once. */
UNROLLED void tiles_sum(const pass *p, place at, size_t begin, size_t end, const int wide, const int bits) {
    const size_t width = wide ? PANEL : PANEL / 2;
    for (size_t tile = 0; tile < p->tiles; tile++, at = place_next(p->run, p->across, at)) {
        const place first = at;
        const int two = !wide && 2 * tile + 1 < p->pairs;
        if (two) at = place_next(p->run, p->across, at);
        fetch_share(p, p->panel + end * BLOCK * width, tile);
        const size_t n = part_sums(p->walk, begin, end, first.cells, at.cells, p->panel, wide, p->sums);
        counts c = counts_sum(p->sums, n);
        if (begin) c = counts_add(c, p->waiting + tile);
        if (!bits) {
            p->waiting[tile] = c;
            continue;
        }
        pair_put(p, first, c.a, c.b);
        if (two) pair_put(p, at, c.b, c.b);
    }
}

/* Each compiled apart: in one function gcc would run out of registers for the walk. */
APART void sum_wide(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 1, 0); }
APART void sum_narrow(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 0, 0); }
APART void bits_wide(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 1, 1); }
APART void bits_narrow(const pass *p, place at, size_t begin, size_t end) { tiles_sum(p, at, begin, end, 0, 1); }

/* The counts of all tiles to numbers. */
APART void tiles_put(const pass *p, place at) {
    const bnn_out *out = &p->run->out;
    out_pixel pixels[4 * TILES];
    size_t count = 0;
    for (size_t pair = 0; pair < p->pairs; pair++, at = place_next(p->run, p->across, at)) {
        const counts *c = p->out->width == PANEL ? p->waiting + pair : p->waiting + pair / 2;
        const counts32 *pop = p->out->width == PANEL || pair % 2 == 0 ? c->a : c->b;
        for (uint32_t mate = 0; mate < 2; mate++) {
            const uint32_t y = at.y + mate * (2 - p->across), x = at.x + mate * (p->across - 1);
            if (x >= p->run->cols) continue;
            const size_t to = y * out->row_stride + x * out->stride + p->out->n;
            const int16_t *level = out->kind == BNN_OUT_FLOAT ? out_level(p->out, y, x) : NULL;
            pixels[count++] = (out_pixel){to, level, (const uint16_t *)(const void *)(pop + mate)};
        }
    }
    out_put_numbers(p->out, pixels, count);
}

static place places_next(const pass *p, place at) {
    for (size_t i = 0; i < p->pairs; i++) at = place_next(p->run, p->across, at);
    return at;
}

static void panel_run(const bnn_bgemm_run *r, uint32_t n) {
    const uint32_t width = panel_width(r->shape, n);
    const int wide = width == PANEL, bits = r->out.kind == BNN_OUT_BITS;
    const uint8_t *weights = r->weights;
    counts *const waiting = r->scratch;
    sums *const s = (void *)(waiting + TILES);
    const walk k = walk_of(r, width, (void *)(s + sums_most(r->shape)));
    const out_panel out = out_panel_of(r, n, width);
    const size_t pairs = wide ? 1 : 2; /* in a tile */
    const size_t parts = k.blocks > PART ? (k.blocks + PART - 1) / PART : 1;
    const size_t most = (parts > 1 || bits ? TILES : TILES_AT_ONCE) * pairs;
    pass p = {.run = r,
              .panel = weights + n / PANEL * panel_bytes(r->shape),
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
            const size_t begin = k.blocks * part / parts, end = k.blocks * (part + 1) / parts;
            if (bits && part + 1 == parts)
                (wide ? bits_wide : bits_narrow)(&p, at, begin, end);
            else
                (wide ? sum_wide : sum_narrow)(&p, at, begin, end);
        }
        if (!bits) tiles_put(&p, at);
    }
}

static void run(const bnn_bgemm_run *r) {
    for (uint32_t n = r->n_begin; n < r->n_end; n += PANEL) panel_run(r, n);
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
