/* uint8 pixels times +-1 weights, NEON: sums of four pixel bytes are made once and looked up for every output.
 *
 * Eight pixels lie in the 16-bit lanes. Of four neighbouring bytes of each, all 16 sums of some of them, twice, go into
 * a table (11 additions); the four weights of an output name one of its entries, that of the bytes whose weight is +1,
 * so a load and an addition do 32 products. From minus the sum of all bytes on, which adds up beside the tables, that
 * gives the difference of both sides, exact in 16 bits for 32 tables. Then 8 outputs x 8 pixels are turned over.
 *
 * A tile is 16 pixels; a step of sum_whole, 8 outputs and one table, is 16 additions, 8 loads of two entries, and 16
 * operations on entries' numbers, for 512 products. A table of fill is 8 loads, 12 operations that put equal bytes
 * beside each other, 4 that double, 12 additions and 15 stores for 8 pixels. Predicted by llvm-mca 19, cycles from gcc
 * and clang, and times the bound of the model's ports:
 *
 *                    sum_whole                  products a cycle   fill, four bytes           3x3x3 to 32, 7x7x3 to 64
 *     cortex-a72     23.0, 24.0 (1.13, 1.16)    22, 21             31.1, 30.1 (1.04, 1.00)    9, 14
 *     neoverse-n1    11.0, 11.0 (1.19, 1.19)    46, 46             22.1, 23.1 (1.05, 1.05)    16, 26
 *     neoverse-v1    6.8, 6.4 (1.19, 1.13)      75, 80             10.8, 10.8 (1.00, 1.00)    31, 48
 *     apple-m1       12.5, 15.0 (1.00, 1.16)    41, 34             13.5, 12.1 (1.18, 1.05)    20, 29
 *
 * The last column is products a cycle of whole layers, from gcc's numbers of both loops and of turning the sums over
 * (64, 48, 20, 21 cycles for 8 outputs of 16 pixels). Other ways, with their inner loops' products a cycle on these
 * cores in this order, their sums' way to memory not counted: SMLAL of x - 128 and weights 8, 8, 16, 14, as it has one
 * of two pipes on the first two; SMLAL and UABAL, which adds |x - 0| or |x - 255|, in turn 9, 12, 23, 14; AND with
 * masks and UADALP 9, 13, 24, 18.
 */
#include "../kernels.h"
#include "unroll.h"

#include <arm_neon.h>
#include <string.h>

enum {
    GROUP = 4,                        /* most bytes in a table's sums */
    LANES = 8,                        /* pixels in a vector */
    VECTORS = 2,                      /* of pixels in a tile */
    ENTRIES = 16,                     /* sums in a table: bit i of an entry's number says that byte i is in it */
    CHUNK = 32,                       /* groups until the 16-bit sums must be widened: 32 * 4 * 255 < 2^15 */
    BLOCK = 8,                        /* outputs in a tile */
    ENTRY = LANES * 2,                /* bytes of an entry of one vector; both vectors' lie side by side */
    TABLE = ENTRIES * VECTORS * LANES /* numbers in a table */
};

typedef struct tables {
    _Alignas(BNN_ALIGN) uint16_t of[CHUNK][ENTRIES][VECTORS][LANES];
    uint16x8_t start[VECTORS]; /* the sums of all bytes, negated */
} tables;

/* A segment is cut into as few groups as it can be, none more than a byte longer than another, the long ones first. */
static size_t groups(const bnn_igemm_shape *s) { return (size_t)(s->segment_bytes + GROUP - 1) / GROUP; }

static size_t group_bytes(const bnn_igemm_shape *s, size_t i) {
    return s->segment_bytes / groups(s) + (i < s->segment_bytes % groups(s));
}

static size_t weights_bytes(const bnn_igemm_shape *s) {
    return bnn_round_up(s->outputs, BLOCK) * s->segments * groups(s);
}

/* packed: [outputs / 8][segments][groups][8], entry numbers times ENTRY */
static void weights_pack(const bnn_igemm_shape *s, const int8_t *rows, void *packed) {
    const size_t depth = (size_t)s->segments * s->segment_bytes;
    uint8_t *to = packed;
    for (size_t first = 0; first < s->outputs; first += BLOCK) {
        size_t k = 0;
        for (size_t at = 0; at < s->segments; at++)
            for (size_t i = 0; i < groups(s); k += group_bytes(s, i++))
                for (size_t n = first; n < first + BLOCK; n++) {
                    size_t entry = 0;
                    for (size_t j = 0; n < s->outputs && j < group_bytes(s, i); j++)
                        entry |= (size_t)(rows[n * depth + k + j] > 0) << j;
                    *to++ = (uint8_t)(entry * ENTRY);
                }
    }
}

/* ---- tables ---- */

/* Four bytes, in a load that writes the whole register. */
static inline uint8x8_t load_four(const uint8_t *x) {
    float four;
    memcpy(&four, x, sizeof four);
    return vreinterpret_u8_f32(vset_lane_f32(four, vdup_n_f32(0), 0));
}

/* The table of `bytes` bytes (a constant) of 8 pixels that begin at x + at[p], but for entry 0, which is 0; returns the
 * last entry. */
UNROLLED uint16x8_t table_of(const uint8_t *x, const size_t at[LANES], const size_t bytes, uint16_t *table) {
    uint8x8_t two[4]; /* byte 0 of two pixels, byte 1, and so on */
    UNROLL for (size_t p = 0; p < 4; p++) two[p] = vzip1_u8(load_four(x + at[2 * p]), load_four(x + at[2 * p + 1]));
    uint32x2_t low[2], high[2]; /* bytes 0 and 1 of four pixels, bytes 2 and 3 */
    UNROLL for (size_t p = 0; p < 2; p++) {
        const uint16x4_t a = vreinterpret_u16_u8(two[2 * p]), b = vreinterpret_u16_u8(two[2 * p + 1]);
        low[p] = vreinterpret_u32_u16(vzip1_u16(a, b)), high[p] = vreinterpret_u32_u16(vzip2_u16(a, b));
    }
    const uint8x8_t byte[GROUP] = {
        vreinterpret_u8_u32(vzip1_u32(low[0], low[1])), vreinterpret_u8_u32(vzip2_u32(low[0], low[1])),
        vreinterpret_u8_u32(vzip1_u32(high[0], high[1])), vreinterpret_u8_u32(vzip2_u32(high[0], high[1]))};
    uint16x8_t twice[GROUP];
    UNROLL for (size_t i = 0; i < bytes; i++) twice[i] = vaddl_u8(byte[i], byte[i]);
    uint16x8_t sum[ENTRIES];
    UNROLL for (size_t e = 1; e < (size_t)1 << bytes; e++) {
        const size_t i = e >= 8 ? 3 : e >= 4 ? 2 : e >= 2 ? 1 : 0, rest = e - ((size_t)1 << i);
        sum[e] = rest ? vaddq_u16(sum[rest], twice[i]) : twice[i];
        vst1q_u16(table + e * VECTORS * LANES, sum[e]);
    }
    return sum[((size_t)1 << bytes) - 1];
}

/* Those of n neighbouring groups; adds up the last entries. */
UNROLLED uint16x8_t tables_of(const uint8_t *x, const size_t at[LANES], size_t n, const size_t bytes, uint16_t *table,
                              uint16x8_t sum) {
    for (size_t g = 0; g < n; g++, x += bytes, table += TABLE) sum = vaddq_u16(sum, table_of(x, at, bytes, table));
    return sum;
}

/* Tables of n groups, from group `first` of all on, for 8 pixels, of which `count` exist: the last one stands for the
 * others. */
APART void fill(const bnn_igemm_shape *s, const uint8_t *x, size_t pixel_bytes, size_t count, const size_t *segment,
                size_t first, size_t n, size_t v, tables *t) {
    const size_t all = groups(s), least = s->segment_bytes / all, longer = s->segment_bytes % all;
    size_t i = first % all, at[LANES];
    for (size_t p = 0; p < LANES; p++) at[p] = (p < count ? p : count - 1) * pixel_bytes;
    segment += first / all;
    uint16_t *table = t->of[0][0][v];
    uint16x8_t sum = vdupq_n_u16(0);
    for (size_t some; n > 0; n -= some) { /* neighbours of one length */
        const size_t bytes = least + (i < longer);
        const uint8_t *from = x + *segment + i * least + (i < longer ? i : longer);
        some = (i < longer ? longer : all) - i;
        if (some > n) some = n;
        sum = bytes == 4   ? tables_of(from, at, some, 4, table, sum)
              : bytes == 3 ? tables_of(from, at, some, 3, table, sum)
              : bytes == 2 ? tables_of(from, at, some, 2, table, sum)
                           : tables_of(from, at, some, 1, table, sum);
        table += some * TABLE;
        i += some;
        if (i == all) i = 0, segment++;
    }
    t->start[v] = vsubq_u16(vdupq_n_u16(0), vshrq_n_u16(sum, 1));
}

/* ---- sums ---- */

static inline void put(int32_t *y, int16x4_t sum, int add) {
    vst1q_s32(y, add ? vaddw_s16(vld1q_s32(y), sum) : vmovl_s16(sum));
}

/* 8 outputs' sums of 8 pixels, of which `count` exist: the other way round, to or onto y, in 32 bits. */
UNROLLED void put_block(const uint16x8_t sum[BLOCK], int32_t *y, size_t y_stride, size_t count, int add) {
    uint32x4_t pair[BLOCK];
    UNROLL for (size_t o = 0; o < BLOCK; o += 2) {
        pair[o] = vreinterpretq_u32_u16(vtrn1q_u16(sum[o], sum[o + 1]));     /* pixels 0, 2, 4, 6 */
        pair[o + 1] = vreinterpretq_u32_u16(vtrn2q_u16(sum[o], sum[o + 1])); /* 1, 3, 5, 7 */
    }
    UNROLL for (size_t p = 0; p < 4; p++) {
        const size_t o = p % 2;
        UNROLL for (size_t half = 0; half < 2; half++) {
            const uint32x4_t a = pair[half * 4 + o], b = pair[half * 4 + 2 + o];
            const int16x8_t four = vreinterpretq_s16_u32(p < 2 ? vtrn1q_u32(a, b) : vtrn2q_u32(a, b));
            if (p < count) put(y + p * y_stride + half * 4, vget_low_s16(four), add);
            if (p + 4 < count) put(y + (p + 4) * y_stride + half * 4, vget_high_s16(four), add);
        }
    }
}

/* All outputs of 8 * vectors pixels (a constant), of which `count` exist, from n groups; w_step: bytes from the weights
 * of 8 outputs to those of the next 8. */
UNROLLED void sum_up(const tables *t, size_t n, const uint8_t *w, size_t w_step, size_t outputs, const size_t vectors,
                     size_t count, int add, int32_t *y, size_t y_stride) {
    for (size_t first = 0; first < outputs; first += BLOCK, w += w_step) {
        uint16x8_t sum[VECTORS][BLOCK];
        UNROLL for (size_t v = 0; v < vectors; v++) UNROLL for (size_t o = 0; o < BLOCK; o++) sum[v][o] = t->start[v];
        const unsigned char *table = (const unsigned char *)t->of;
        for (size_t g = 0; g < n; g++, table += sizeof t->of[0]) {
            uint64_t entries;
            memcpy(&entries, w + g * BLOCK, sizeof entries);
            UNROLL for (size_t o = 0; o < BLOCK; o++) {
                size_t half = entries >> 8 * o & 0xFF;
                IN_REGISTER(half);
                const unsigned char *entry = table + VECTORS * half;
                IN_REGISTER(entry);
                UNROLL for (size_t v = 0; v < vectors; v++) sum[v][o] =
                    vaddq_u16(sum[v][o], vld1q_u16((const void *)(entry + v * ENTRY)));
            }
        }
        UNROLL for (size_t v = 0; v < vectors; v++)
            put_block(sum[v], y + first + v * LANES * y_stride, y_stride, count - v * LANES, add);
    }
}

APART void sum_whole(const tables *t, size_t n, const uint8_t *w, size_t w_step, size_t outputs, int add, int32_t *y,
                     size_t y_stride) {
    sum_up(t, n, w, w_step, outputs, VECTORS, VECTORS * LANES, add, y, y_stride);
}

APART void sum_some(const tables *t, size_t n, const uint8_t *w, size_t w_step, size_t outputs, size_t count, int add,
                    int32_t *y, size_t y_stride) {
    if (count > LANES)
        sum_up(t, n, w, w_step, outputs, VECTORS, count, add, y, y_stride);
    else
        sum_up(t, n, w, w_step, outputs, 1, count, add, y, y_stride);
}

/* `count` pixels, 16 at most. */
static void run_tile(const bnn_igemm_shape *s, const uint8_t *x, size_t pixel_bytes, size_t count,
                     const size_t *segment, const uint8_t *w, tables *t, int32_t *y, size_t y_stride) {
    const size_t all = s->segments * groups(s);
    for (size_t first = 0; first < all; first += CHUNK, w += CHUNK * BLOCK) {
        const size_t n = all - first < CHUNK ? all - first : CHUNK;
        for (size_t v = 0; v * LANES < count; v++)
            fill(s, x + v * LANES * pixel_bytes, pixel_bytes, count - v * LANES, segment, first, n, v, t);
        if (count == VECTORS * LANES)
            sum_whole(t, n, w, all * BLOCK, s->outputs, first != 0, y, y_stride);
        else
            sum_some(t, n, w, all * BLOCK, s->outputs, count, first != 0, y, y_stride);
    }
}

static void run(const bnn_igemm_shape *s, const uint8_t *x, size_t pixel_bytes, size_t pixels, const size_t *segment,
                const void *packed, int32_t *y, size_t y_stride) {
    tables t;
    for (size_t g = 0; g < CHUNK && g < s->segments * groups(s); g++) memset(t.of[g][0], 0, sizeof t.of[g][0]);
    for (size_t p = 0; p < pixels; p += VECTORS * LANES) {
        const size_t count = pixels - p < VECTORS * LANES ? pixels - p : VECTORS * LANES;
        run_tile(s, x + p * pixel_bytes, pixel_bytes, count, segment, packed, &t, y + p * y_stride, y_stride);
    }
}

const bnn_igemm_kernel bnn_igemm_neon = {
    .isa = BNN_ISA_neon, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
