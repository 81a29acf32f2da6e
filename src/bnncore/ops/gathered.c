/* Exact integer sums that no faster road takes: of more products than a bgemm kernel may sum, and of groups of uint8
 * channels. Each pixel's bits of one group are gathered into one tight row, rows are cut into chunks that a kernel may
 * sum, and the counts of all chunks and planes add up before the output. */
#include "binary_sum.h"
#include "bits_copy.h"
#include "../memory.h"

#include <string.h>

enum { PIXELS = 16, CHUNK_WORDS = BNN_BGEMM_MAX_K / BNN_WORD_BITS, PLANES = 8 };

struct bnn_gathered {
    const bnn_bgemm_kernel *gemm;
    const bnn_pack_kernel *pack;
    uint32_t planes, chunks, padded; /* padded: outputs of a group, in whole blocks */
    size_t row_words;
    unsigned char *packed; /* [groups][chunks], each packed_bytes apart */
    uint64_t packed_bytes;
    uint64_t tight_at, rows_at, cells_at, kernel_at, counts_at, scratch_bytes;
};

static uint64_t depth(const bnn_sum *s) {
    return (uint64_t)s->window.kernel_h * s->window.kernel_w * s->group_channels;
}

static bnn_bgemm_shape chunk_shape(const bnn_sum *s, uint32_t chunk) {
    uint64_t left = depth(s) - (uint64_t)chunk * CHUNK_WORDS * BNN_WORD_BITS, most = CHUNK_WORDS * BNN_WORD_BITS;
    return (bnn_bgemm_shape){(uint32_t)(left < most ? left : most), 1, s->group_outputs};
}

static uint32_t chunk_count(const bnn_sum *s) {
    uint64_t most = CHUNK_WORDS * BNN_WORD_BITS;
    return (uint32_t)((depth(s) + most - 1) / most);
}

static uint64_t packed_bytes(const bnn_sum *s, const bnn_bgemm_kernel *gemm) {
    bnn_bgemm_shape first = chunk_shape(s, 0);
    return bnn_size_align(gemm->weights_bytes(&first));
}

uint64_t bnn_gathered_bytes(const bnn_sum *s, const bnn_bgemm_kernel *gemm) {
    uint64_t packs = bnn_size_mul((uint64_t)s->groups * chunk_count(s), packed_bytes(s, gemm));
    return bnn_size_add(bnn_size_align(sizeof(bnn_gathered)), bnn_size_align(packs));
}

/* Bits from .. from+n-1 of src, put at bit `to` of dst, which holds zeros there. */
static void set_bits(uint64_t *dst, size_t to, size_t n) {
    while (n--) bnn_bit_set(dst, to++);
}

/* One group's weights, tight, cut into chunks, packed. */
static void pack_group(bnn_gathered *g, const bnn_sum *s, uint32_t group, uint64_t *tight, uint64_t *rows) {
    uint32_t taps = s->window.kernel_h * s->window.kernel_w, outputs = s->group_outputs;
    size_t words = bnn_words(s->group_channels);
    const uint64_t *from = (const uint64_t *)s->weight->data + (size_t)group * outputs * taps * words;
    memset(tight, 0, g->row_words * outputs * BNN_WORD_BYTES);
    for (size_t n = 0; n < outputs; n++)
        for (uint32_t tap = 0; tap < taps; tap++, from += words)
            bnn_bits_copy(tight + n * g->row_words, (size_t)tap * s->group_channels, from, 0, s->group_channels);
    for (uint32_t c = 0; c < g->chunks; c++) {
        bnn_bgemm_shape shape = chunk_shape(s, c);
        size_t chunk_words = bnn_words(shape.channels);
        for (size_t n = 0; n < outputs; n++)
            memcpy(rows + n * chunk_words, tight + n * g->row_words + (size_t)c * CHUNK_WORDS,
                   chunk_words * BNN_WORD_BYTES);
        g->gemm->weights_pack(&shape, rows, g->packed + ((size_t)group * g->chunks + c) * g->packed_bytes);
    }
}

bnn_gathered *bnn_gathered_new(const bnn_sum *s, const bnn_bgemm_kernel *gemm, const bnn_pack_kernel *pack,
                               void *memory) {
    bnn_carver carver = {.memory = memory};
    bnn_gathered *g = bnn_carve(&carver, sizeof *g);
    *g = (bnn_gathered){.gemm = gemm,
                        .pack = pack,
                        .planes = s->in == BNN_UINT8 ? PLANES : 1,
                        .chunks = chunk_count(s),
                        .padded = (uint32_t)bnn_round_up(s->group_outputs, BNN_BLOCK),
                        .row_words = bnn_words((size_t)depth(s)),
                        .packed_bytes = packed_bytes(s, gemm)};
    g->packed = bnn_carve(&carver, g->packed_bytes * s->groups * g->chunks);
    /* one group's rows, tight and then chunk by chunk */
    size_t rows_words = g->row_words * s->group_outputs;
    uint64_t *tight = (uint64_t *)(void *)bnn_memory_new(bnn_size_mul(rows_words, 2 * BNN_WORD_BYTES));
    if (!tight) return NULL;
    for (uint32_t group = 0; group < s->groups; group++) pack_group(g, s, group, tight, tight + rows_words);
    bnn_memory_free(tight);

    bnn_bgemm_shape shape = chunk_shape(s, 0);
    bnn_carver scratch = {0};
    g->tight_at = scratch.used;
    bnn_carve(&scratch, g->row_words * g->planes * BNN_WORD_BYTES);
    g->rows_at = scratch.used;
    bnn_carve(&scratch, g->row_words * PIXELS * g->planes * BNN_WORD_BYTES);
    g->cells_at = scratch.used;
    bnn_carve(&scratch, gemm->cell_bytes(&shape) * PIXELS);
    g->kernel_at = scratch.used;
    bnn_carve(&scratch, gemm->scratch_bytes ? gemm->scratch_bytes(&shape, 1, PIXELS) : 0);
    g->counts_at = scratch.used;
    bnn_carve(&scratch, (uint64_t)PIXELS * g->padded * sizeof(int32_t));
    g->scratch_bytes = scratch.used;
    return g;
}

uint64_t bnn_gathered_scratch(const bnn_gathered *g) { return g->scratch_bytes; }

/* One tap of one pixel into the tight rows, one row a plane. */
static void gather_tap(const bnn_gathered *g, const bnn_sum *s, const unsigned char *image, size_t pixel,
                       uint32_t group, size_t to, uint64_t *tight) {
    size_t first = (size_t)group * s->group_channels;
    if (s->in == BNN_BITS) {
        bnn_bits_copy(tight, to, (const uint64_t *)(const void *)image + pixel * bnn_words(s->in_channels), first,
                      s->group_channels);
        return;
    }
    const uint8_t *x = image + pixel * s->in_channels + first;
    for (uint32_t c = 0; c < s->group_channels; c++)
        for (uint32_t plane = 0; plane < g->planes; plane++)
            tight[plane * g->row_words + (to + c) / 64] |= (uint64_t)(x[c] >> plane & 1) << (to + c) % 64;
}

static void gather_row(const bnn_gathered *g, const bnn_sum *s, const unsigned char *image, uint32_t oy, uint32_t ox,
                       uint32_t group, uint64_t *tight) {
    const bnn_window *w = &s->window;
    size_t to = 0;
    memset(tight, 0, g->row_words * g->planes * BNN_WORD_BYTES);
    for (uint32_t i = 0; i < w->kernel_h; i++)
        for (uint32_t j = 0; j < w->kernel_w; j++, to += s->group_channels) {
            int64_t y = (int64_t)oy * w->stride_h - w->pad_top + (int64_t)i * w->dilation_h;
            int64_t x = (int64_t)ox * w->stride_w - w->pad_left + (int64_t)j * w->dilation_w;
            if (y >= 0 && y < w->in_h && x >= 0 && x < w->in_w)
                gather_tap(g, s, image, (size_t)y * w->in_w + (size_t)x, group, to, tight);
            else if (s->pad_value == BNN_PAD_PLUS)
                set_bits(tight, to, s->group_channels);
        }
}

/* counts of one group for `pixels` gathered rows: [plane][chunk][pixel][chunk words] */
static void count_group(const bnn_gathered *g, const bnn_sum *s, uint32_t group, uint32_t pixels,
                        unsigned char *scratch) {
    static const size_t segment = 0;
    int32_t *counts = (int32_t *)(void *)(scratch + g->counts_at);
    unsigned char *cells = scratch + g->cells_at;
    memset(counts, 0, (size_t)pixels * g->padded * sizeof *counts);
    for (uint32_t plane = 0; plane < g->planes; plane++)
        for (uint32_t c = 0; c < g->chunks; c++) {
            bnn_bgemm_shape shape = chunk_shape(s, c);
            uint32_t per_cell = g->gemm->pixels_per_cell, tiles = (pixels + per_cell - 1) / per_cell;
            size_t cell = g->gemm->cell_bytes(&shape);
            const uint64_t *rows = (const uint64_t *)(const void *)(scratch + g->rows_at) +
                                   plane * g->row_words * PIXELS + (size_t)c * CHUNK_WORDS * PIXELS;
            if (g->gemm->cells_fill) g->gemm->cells_fill(&shape, rows, pixels, 1, per_cell, cells, tiles);
            bnn_bgemm_run r = {.shape = &shape,
                               .weights = g->packed + ((size_t)group * g->chunks + c) * g->packed_bytes,
                               .cells = g->gemm->cells_fill ? (const void *)cells : rows,
                               .tile_bytes = cell,
                               .rows = 1,
                               .cols = pixels,
                               .segment = &segment,
                               .segments = 1,
                               .segment_taps = 1,
                               .n_end = shape.outputs,
                               .scratch = scratch + g->kernel_at,
                               .out = {.kind = BNN_OUT_COUNTS, .shift = plane, .data = counts, .stride = g->padded}};
            g->gemm->run(&r);
        }
}

void bnn_gathered_run(const bnn_gathered *g, const bnn_sum *s, const bnn_tables *t, const bnn_job *job) {
    const bnn_window *w = &s->window;
    size_t image_pixels = (size_t)w->out_h * w->out_w, begin, end;
    size_t in_pixel = s->in == BNN_BITS ? bnn_words(s->in_channels) * BNN_WORD_BYTES : s->in_channels;
    size_t in_bytes = in_pixel * w->in_h * w->in_w, out_bytes = s->to_bits ? t->padded / 8 : s->outputs * sizeof(float);
    uint64_t *tight = (uint64_t *)(void *)(job->scratch + g->tight_at),
             *rows = (uint64_t *)(void *)(job->scratch + g->rows_at);
    const int32_t *counts = (const int32_t *)(const void *)(job->scratch + g->counts_at);
    bnn_share(job, image_pixels * job->batch, 2, &begin, &end);
    if (s->to_bits) memset((unsigned char *)job->out[0] + begin * out_bytes, 0, (end - begin) * out_bytes);
    for (size_t at = begin; at < end; at += PIXELS) {
        uint32_t pixels = (uint32_t)(end - at < PIXELS ? end - at : PIXELS);
        for (uint32_t group = 0; group < s->groups; group++) {
            for (uint32_t p = 0; p < pixels; p++) {
                size_t pixel = (at + p) % image_pixels;
                const unsigned char *image = (const unsigned char *)job->in[0] + (at + p) / image_pixels * in_bytes;
                gather_row(g, s, image, (uint32_t)(pixel / w->out_w), (uint32_t)(pixel % w->out_w), group, tight);
                for (uint32_t plane = 0; plane < g->planes; plane++)
                    for (uint32_t c = 0; c < g->chunks; c++) {
                        size_t words = bnn_words(chunk_shape(s, c).channels), skip = (size_t)c * CHUNK_WORDS;
                        memcpy(rows + plane * g->row_words * PIXELS + skip * PIXELS + p * words,
                               tight + plane * g->row_words + skip, words * BNN_WORD_BYTES);
                    }
            }
            count_group(g, s, group, pixels, job->scratch);
            for (uint32_t p = 0; p < pixels; p++) {
                size_t pixel = (at + p) % image_pixels;
                uint32_t class_ = (uint32_t)t->rows.of[pixel / w->out_w] + t->cols.of[pixel % w->out_w];
                bnn_tables_finish(t, s, counts + (size_t)p * g->padded, class_, group * s->group_outputs,
                                  s->group_outputs, (unsigned char *)job->out[0] + (at + p) * out_bytes);
            }
        }
        bnn_follow(job, &(bnn_part){at, pixels, 0, s->outputs});
    }
}
