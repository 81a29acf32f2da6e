/* Binary matrix product, NEON: one table look-up counts for two pixels.
 *
 * Sixteen output channels lie in the lanes, a byte of weights is 4 bits of a channel. For two pixels with activation
 * nibbles a1, a2 the table T[a1 | a2 << 4][w] = popcount(a1 ^ w) | popcount(a2 ^ w) << 4 answers 4 bits of 16 channels
 * for both pixels in one TBL. Three look-ups fill a nibble: x = T0[w0] + T1[w1] + T2[w2], where SABA adds two of them
 * to the third at once, as |T0[w0] - (-T1[w1])| with a negated copy of the tables. Then ADD keeps the sum of x modulo
 * 256 and USRA the sum of its high nibbles, from which both pixels' byte sums follow every 21 triples. That is 6
 * operations for 384 bit pairs; EOR, CNT and ADD on whole bits take 9, and a broadcast of the activations beside.
 *
 * A tile is two pixel pairs and 64 channels, 3,072 bit pairs a step: 48 vector operations, 24 loads (12 of weights, 6
 * of tables and 6 of their numbers) and 3 of the walk; 80 instructions from gcc 12, 75 from clang 19. SABA and USRA run
 * on half of the vector pipes. Predicted by llvm-mca 19, cycles a step; the bound counts the model's ports:
 *
 *                    gcc    clang   bound   ratio        EOR + CNT + ADD, bound
 *     neoverse-n1    24.1   24.1    24      1.00         39 (two pipes)
 *     neoverse-v1    25.7   25.4    24      1.07, 1.06   19.5 (four pipes; in this model a TBL takes two, on V2 one)
 *     neoverse-v2    13.4   15.1    12      1.12, 1.26   19.5
 *     apple-m1       17.6   16.6    16      1.10, 1.04   26 (the model has three pipes, the core four)
 *     cortex-a72     58.1   58.1    51      1.13, 1.14   39 (TBL is three micro-operations there, SABA two)
 *
 * So Cortex-A57 and A72 would run the plain count half as fast again, and Neoverse V1 too if its model is right about
 * TBL; the others run this one faster, by half or more.
 */
#include "neon_out.h"

#include <string.h>

#if defined(__GNUC__)
/* Here both sums stand in their registers: without it compilers move loads up and additions down, and spill. */
#define SETTLE(s) __asm__ volatile("" : "+w"((s).both), "+w"((s).second) : : "memory")
#else
#define SETTLE(s) (void)0
#endif

enum {
    GROUP = 4,        /* bits in a look-up */
    CHUNK = 21,       /* triples until the byte sums must be widened: 21 * 3 * 4 < 256 */
    PART = 5 * CHUNK, /* triples whose weights (20 KiB) stay in L1 beside the tables while pixels stream past */
    WAITING = 32,     /* tiles whose counts wait in scratch between two parts */
    PAIRS = 2,        /* pixel pairs in a tile */
    BYTES = 16,
    HALF = BYTES / 2,
    VECTORS = NEON_PANEL / BYTES,
    NONE = 0x80 /* an index for which tbl gives 0 */
};

/* ---- tables[0][a1 | a2 << 4][w] = popcount(a1 ^ w) | popcount(a2 ^ w) << 4, and tables[1], the same negated ---- */

#define ONES(x)        (((x) & 1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define ENTRY(s, a, w) (int8_t)(s * (ONES(((a) & 15) ^ (w)) | ONES(((a) >> 4) ^ (w)) << 4))
#define ROW(s, a)                                                                                                      \
    {ENTRY(s, a, 0),  ENTRY(s, a, 1),  ENTRY(s, a, 2),  ENTRY(s, a, 3), ENTRY(s, a, 4),  ENTRY(s, a, 5),               \
     ENTRY(s, a, 6),  ENTRY(s, a, 7),  ENTRY(s, a, 8),  ENTRY(s, a, 9), ENTRY(s, a, 10), ENTRY(s, a, 11),              \
     ENTRY(s, a, 12), ENTRY(s, a, 13), ENTRY(s, a, 14), ENTRY(s, a, 15)}
#define ROWS4(s, a)  ROW(s, a), ROW(s, (a) + 1), ROW(s, (a) + 2), ROW(s, (a) + 3)
#define ROWS16(s, a) ROWS4(s, a), ROWS4(s, (a) + 4), ROWS4(s, (a) + 8), ROWS4(s, (a) + 12)
#define ROWS64(s, a) ROWS16(s, a), ROWS16(s, (a) + 16), ROWS16(s, (a) + 32), ROWS16(s, (a) + 48)
#define TABLES(s)    {ROWS64(s, 0), ROWS64(s, 64), ROWS64(s, 128), ROWS64(s, 192)}

static const _Alignas(BNN_ALIGN) int8_t tables[2][256][16] = {TABLES(1), TABLES(-1)};

/* ---- weights: panels of 64 channels, [triple][vector][3 groups][16 channels] nibbles, two of them a byte ---- */

static size_t tap_groups_of(const bnn_bgemm_shape *shape) { return (shape->channels + GROUP - 1) / GROUP; }

static size_t groups_of(const bnn_bgemm_shape *shape) { return tap_groups_of(shape) * shape->taps; }

static size_t triples_of(const bnn_bgemm_shape *shape) { return (groups_of(shape) + 2) / 3; }

/* Channels in the panel that starts at n: 64, or fewer vectors where those cover the last ones. */
static uint32_t panel_width(const bnn_bgemm_shape *shape, uint32_t n) {
    const uint32_t left = shape->outputs - n;
    return left <= BYTES ? BYTES : left <= 2 * BYTES ? 2 * BYTES : NEON_PANEL;
}

static size_t panel_bytes(const bnn_bgemm_shape *shape) { return triples_of(shape) * 3 * NEON_PANEL / 2; }

static size_t weights_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up(shape->outputs, NEON_PANEL) / NEON_PANEL * panel_bytes(shape);
}

/* A vector's first eight channels are low nibbles, the others high ones. */
static void weights_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed) {
    const size_t words = bnn_words(shape->channels), tap_groups = tap_groups_of(shape);
    memset(packed, 0, weights_bytes(shape));
    for (uint32_t n = 0; n < shape->outputs; n++) {
        const uint32_t first = n / NEON_PANEL * NEON_PANEL, width = panel_width(shape, first), c = n - first;
        const uint32_t shift = c % BYTES / HALF * GROUP;
        uint8_t *panel = (uint8_t *)packed + n / NEON_PANEL * panel_bytes(shape) + c / BYTES * 3 * HALF + c % HALF;
        size_t i = 0;
        for (uint32_t tap = 0; tap < shape->taps; tap++, rows += words)
            for (size_t g = 0; g < tap_groups; g++, i++)
                panel[i / 3 * 3 * width / 2 + i % 3 * HALF] |=
                    (uint8_t)((rows[g / 16] >> g % 16 * GROUP & 15) << shift);
    }
}

/* Bytes of the weights of a part, a nibble each. */
static size_t part_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up((triples_of(shape) < PART ? triples_of(shape) : PART) * 3 * NEON_PANEL, BNN_ALIGN);
}

/* The weights of triples begin to end - 1 of a panel of some vectors, and NONE for groups past the last one. */
static void part_unpack(const bnn_bgemm_shape *shape, const uint8_t *panel, size_t begin, size_t end, size_t vectors,
                        uint8_t *to) {
    const uint8_t *from = panel + begin * 3 * vectors * HALF;
    for (size_t i = 0; i < (end - begin) * 3 * vectors; i++) {
        const uint8x8_t both = vld1_u8(from + i * HALF);
        vst1_u8(to + i * BYTES, vand_u8(both, vdup_n_u8(15)));
        vst1_u8(to + i * BYTES + HALF, vshr_n_u8(both, GROUP));
    }
    for (size_t i = groups_of(shape); i < end * 3; i++)
        for (size_t v = 0; v < vectors; v++)
            memset(to + (((i / 3 - begin) * vectors + v) * 3 + i % 3) * BYTES, NONE, BYTES);
}

/* ---- cells: for each group of a pixel and its mate, the number of their table ---- */

static size_t cell_bytes(const bnn_bgemm_shape *shape) { return tap_groups_of(shape); }

/* The 16 groups of a word. */
static inline uint8x16_t word_groups(uint64_t a, uint64_t mate) {
    const uint64_t nibbles = UINT64_C(0x0F0F0F0F0F0F0F0F);
    uint8x16_t even = vreinterpretq_u8_u64(vdupq_n_u64((a & nibbles) | (mate & nibbles) << 4));
    uint8x16_t odd = vreinterpretq_u8_u64(vdupq_n_u64((a >> 4 & nibbles) | (mate & ~nibbles)));
    return vzip1q_u8(even, odd);
}

/* The first `count` (1 to 16) groups, and nothing past them. */
static inline uint8_t *store_groups(uint8_t *at, uint8x16_t groups, size_t count) {
    if (count == 16) {
        vst1q_u8(at, groups);
    } else {
        uint8_t all[16];
        vst1q_u8(all, groups);
        for (size_t i = 0; i < count; i++) at[i] = all[i];
    }
    return at + count;
}

static void cells_fill(const bnn_bgemm_shape *shape, const uint64_t *pixels, size_t limit, size_t mate, size_t step,
                       void *cells, size_t count) {
    const size_t words = bnn_words(shape->channels), last = tap_groups_of(shape) - (words - 1) * 16;
    uint8_t *at = cells;
    for (size_t i = 0; i < count; i++) {
        const size_t p = i * step < limit ? i * step : limit - 1, q = p + mate < limit ? p + mate : p;
        const uint64_t *a = pixels + p * words, *b = pixels + q * words;
        for (size_t w = 0; w + 1 < words; w++) at = store_groups(at, word_groups(a[w], b[w]), 16);
        at = store_groups(at, word_groups(a[words - 1], b[words - 1]), last);
    }
}

/* ---- the walk: where each look-up finds its cell, in the order of the weights, from a pair's first cell ---- */

static size_t walk_bytes(const bnn_bgemm_shape *shape) {
    return bnn_round_up(triples_of(shape) * 3 * sizeof(size_t), BNN_ALIGN);
}

static void walk_fill(const bnn_bgemm_run *r, size_t *walk) {
    const size_t run = tap_groups_of(r->shape) * r->segment_taps, end = triples_of(r->shape) * 3;
    size_t at = 0;
    for (uint32_t s = 0; s < r->segments; s++)
        for (size_t i = 0; i < run; i++) walk[at++] = r->segment[s] + i;
    while (at < end) walk[at++] = r->segment[0]; /* its weights are NONE */
}

/* ---- the sum over K for one tile and one panel ---- */

/* Byte sums of 16 channels: of both pixels' counts, as first + 16 * second modulo 256, and of the second's alone. */
typedef struct sums {
    uint8x16_t both, second;
} sums;

static inline int8x16_t table_at(int negated, uint8_t index) { return vld1q_s8(tables[negated][index]); }

/* Three look-ups for each pair and vector: at most 12 in each nibble. */
UNROLLED void look3(const unsigned char *const cells[PAIRS], const size_t *walk, const uint8_t *w, const uint32_t pairs,
                    const uint32_t vectors, sums s[PAIRS][VECTORS]) {
    int8x16_t t[PAIRS][3];
    for (uint32_t p = 0; p < pairs; p++)
        for (uint32_t i = 0; i < 3; i++) t[p][i] = table_at(i == 1, cells[p][walk[i]]);
    for (uint32_t v = 0; v < vectors; v++, w += 3 * BYTES) {
        const uint8x16_t w0 = vld1q_u8(w), w1 = vld1q_u8(w + BYTES), w2 = vld1q_u8(w + 2 * BYTES);
        for (uint32_t p = 0; p < pairs; p++) {
            int8x16_t sum = vabaq_s8(vqtbl1q_s8(t[p][2], w2), vqtbl1q_s8(t[p][0], w0), vqtbl1q_s8(t[p][1], w1));
            uint8x16_t x = vreinterpretq_u8_s8(sum);
            s[p][v].both = vaddq_u8(s[p][v].both, x);
            s[p][v].second = vsraq_n_u8(s[p][v].second, x, 4);
        }
        for (uint32_t p = 0; p < pairs; p++) SETTLE(s[p][v]);
    }
}

/* Counts of a tile's pixels. */
typedef uint16_t counts[2 * PAIRS][NEON_PANEL];

static inline void add_bytes(uint16_t *count, uint8x16_t bytes, int first) {
    uint16x8_t low = first ? vdupq_n_u16(0) : vld1q_u16(count), high = first ? low : vld1q_u16(count + 8);
    vst1q_u16(count, vaddw_u8(low, vget_low_u8(bytes)));
    vst1q_u16(count + 8, vaddw_high_u8(high, bytes));
}

/* Adds triples begin to end - 1, whose weights are w, to the counts. */
UNROLLED void tile_add(const unsigned char *const cells[PAIRS], const size_t *walk, const uint8_t *w, size_t begin,
                       size_t end, const uint32_t pairs, const uint32_t vectors, uint16_t (*count)[NEON_PANEL]) {
    for (size_t i = begin; i < end;) {
        const int first = i == 0;
        sums s[PAIRS][VECTORS];
        for (uint32_t p = 0; p < pairs; p++)
            for (uint32_t v = 0; v < vectors; v++) s[p][v].both = s[p][v].second = vdupq_n_u8(0);
        for (size_t stop = end - i < CHUNK ? end : i + CHUNK; i < stop; i++, w += 3 * vectors * BYTES)
            look3(cells, walk + 3 * i, w, pairs, vectors, s);
        for (uint32_t p = 0; p < pairs; p++)
            for (uint32_t v = 0; v < vectors; v++) {
                add_bytes(count[2 * p] + v * BYTES, vsubq_u8(s[p][v].both, vshlq_n_u8(s[p][v].second, 4)), first);
                add_bytes(count[2 * p + 1] + v * BYTES, s[p][v].second, first);
            }
    }
}

/* ---- all pixels and panels ---- */

static size_t scratch_bytes(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    (void)rows, (void)cols;
    return walk_bytes(shape) + part_bytes(shape) + WAITING * sizeof(counts);
}

UNROLLED void panel_run(const bnn_bgemm_run *r, uint32_t n, const uint32_t vectors) {
    const uint8_t *panel = (const uint8_t *)r->weights + n / NEON_PANEL * panel_bytes(r->shape);
    const size_t *walk = r->scratch;
    uint8_t *weights = (uint8_t *)r->scratch + walk_bytes(r->shape);
    counts *count = (counts *)(void *)(weights + part_bytes(r->shape));
    const uint32_t down = r->down ? 2 : 1, across = r->down ? 1 : 2; /* rows and columns of a pair */
    const size_t triples = triples_of(r->shape), row_pairs = (r->cols + across - 1) / across;
    const size_t pairs = r->rows / down * row_pairs;
    for (size_t start = 0; start < pairs; start += WAITING * PAIRS) {
        const size_t stop = pairs - start < WAITING * PAIRS ? pairs : start + WAITING * PAIRS;
        for (size_t begin = 0; begin < triples; begin += PART) {
            const size_t end = triples - begin < PART ? triples : begin + PART;
            if (triples > PART || start == 0) part_unpack(r->shape, panel, begin, end, vectors, weights);
            for (size_t pair = start; pair < stop; pair += PAIRS) {
                const unsigned char *cells[PAIRS];
                uint32_t y[PAIRS], x[PAIRS], used = stop - pair < PAIRS ? (uint32_t)(stop - pair) : PAIRS;
                for (uint32_t p = 0; p < used; p++) {
                    const size_t row = (pair + p) / row_pairs, col = (pair + p) % row_pairs;
                    cells[p] = (const unsigned char *)r->cells + row * r->row_bytes + col * r->tile_bytes;
                    y[p] = (uint32_t)row * down, x[p] = (uint32_t)col * across;
                }
                uint16_t(*c)[NEON_PANEL] = count[triples > PART ? (pair - start) / PAIRS : 0];
                if (used == PAIRS)
                    tile_add(cells, walk, weights, begin, end, PAIRS, vectors, c);
                else
                    tile_add(cells, walk, weights, begin, end, 1, vectors, c);
                for (uint32_t p = 0; p < used && end == triples; p++) {
                    neon_out_put(r, y[p], x[p], n, vectors * BYTES, c[2 * p]);
                    const uint32_t mate_y = y[p] + down - 1, mate_x = x[p] + across - 1;
                    if (mate_x < r->cols) neon_out_put(r, mate_y, mate_x, n, vectors * BYTES, c[2 * p + 1]);
                }
            }
        }
    }
}

static void run(const bnn_bgemm_run *r) {
    walk_fill(r, r->scratch);
    for (uint32_t n = r->n_begin; n < r->n_end; n += NEON_PANEL) {
        const uint32_t width = panel_width(r->shape, n);
        if (width == NEON_PANEL)
            panel_run(r, n, VECTORS);
        else if (width == 2 * BYTES)
            panel_run(r, n, 2);
        else
            panel_run(r, n, 1);
    }
}

const bnn_bgemm_kernel bnn_bgemm_neon = {
    .isa = BNN_ISA_neon,
    .pixels_per_cell = 2,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = cells_fill,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
