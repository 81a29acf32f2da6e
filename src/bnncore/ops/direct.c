/* Runs the direct road of exact integer sums: rows of the image to cells, cells through the kernel, counts to outputs.
 */
#include "direct.h"
#include "bits_copy.h"

#include <string.h>

enum { FEW_PIXELS = 64 };

/* What one call of the kernel works on: rows of pixels that lie in memory, and the output rows that they make. */
typedef struct strip {
    const unsigned char *from; /* the image, or of a flat one the first pixel */
    int64_t first;             /* the row of the padded image that the first window begins with */
    uint32_t in_rows, pitch, rows, cols;
    int down; /* tiles are of pixels_per_cell rows */
    const uint16_t *row_class, *col_class;
    uint32_t n_begin, n_end;
    void *out;    /* the first pixel's outputs */
    size_t pixel; /* the first, counted through the batch */
    size_t sample;
    int local; /* each piece takes the place of the one before */
} strip;

static size_t out_elements(const bnn_direct *st) { return st->sum.to_bits ? st->tables.padded / 64 : st->sum.outputs; }

/* Outputs n0 .. n1-1 of one pixel whose counts, at n0, become sums in place; n0 starts a block. */
static void settle(const bnn_direct *st, uint32_t class_, uint32_t n0, uint32_t n1, int32_t *counts, void *out) {
    const bnn_tables *t = &st->tables;
    const int32_t *base = t->base + (size_t)class_ * t->padded + n0;
    uint32_t n = n1 - n0;
    for (uint32_t i = 0; i < n; i++) counts[i] = base[i] - t->factor * counts[i];
    if (st->sum.to_bits)
        st->finish->bits(counts, 1, n, t->threshold + n0, t->flip + n0 / 64, (uint64_t *)out + n0 / 64);
    else
        st->finish->floats(counts, 1, n, t->scale + n0, t->bias + n0, (float *)out + n0);
}

static void settle_strip(const bnn_direct *st, const strip *s, int32_t *counts) {
    size_t stride = out_elements(st) * (st->sum.to_bits ? 8 : 4);
    unsigned char *out = s->out;
    for (uint32_t y = 0; y < s->rows; y++)
        for (uint32_t x = 0; x < s->cols; x++, out += stride, counts += st->tables.padded)
            settle(st, (uint32_t)s->row_class[y] + s->col_class[x], s->n_begin, s->n_end, counts + s->n_begin, out);
}

static uint32_t tile_rows(const bnn_direct *st, const strip *s) { return s->down ? st->gemm->pixels_per_cell : 1; }

static uint32_t tile_cols(const bnn_direct *st, const strip *s) { return s->down ? 1 : st->gemm->pixels_per_cell; }

/* A group's part of the kernel's tables and cells; what it writes is pixel `out`. */
static void run_group(const bnn_direct *st, uint32_t group, bnn_bgemm_run r, unsigned char *out,
                      unsigned char *scratch) {
    const size_t classes = (size_t)st->tables.rows.count * st->tables.cols.count,
                 padded = group * (size_t)st->group_padded;
    const size_t first = (size_t)group * st->sum.group_outputs;
    r.weights = st->packed + group * st->packed_bytes;
    r.cells = (const unsigned char *)r.cells + group * (st->gemm->cells_fill ? st->group_cells : st->group_rows);
    r.out.level = st->level + classes * padded;
    r.out.flip = st->flip + padded / BNN_WORD_BITS;
    r.out.scale = st->scale + padded;
    r.out.bias = st->bias + padded;
    r.out.data = out + (st->sum.to_bits ? first / 8 : first * sizeof(float));
    if (!st->merged) {
        st->gemm->run(&r);
        return;
    }
    r.out.data = scratch + st->bits_at;
    r.out.stride = st->group_padded / BNN_WORD_BITS;
    r.out.row_stride = r.out.stride * r.cols;
    st->gemm->run(&r);
    bnn_bits_merge((uint64_t *)(void *)out, out_elements(st), first, r.out.data, st->sum.group_outputs,
                   (size_t)r.rows * r.cols);
}

/* The job's links from a pixel and a group on. */
static void place_links(const bnn_direct *st, const strip *s, const bnn_job *job, size_t pixel, uint32_t group,
                        bnn_link *links) {
    const size_t first = (size_t)group * st->sum.group_outputs;
    for (uint32_t i = 0; i < job->link_count; i++) {
        bnn_link *link = links + i;
        *link = job->links[i];
        link->a += first + (link->image ? pixel * st->sum.outputs : s->sample * link->sample_step);
        if (link->b) link->b += first;
        if (link->c) link->c += first;
    }
}

/* Runs the kernel over the strip, in pieces where followers take them while they are in the first-level cache. */
static void run_pieces(const bnn_direct *st, const strip *s, bnn_bgemm_run r, const bnn_job *job) {
    const bnn_bgemm_run whole = r;
    size_t pixel_bytes = out_elements(st) * (st->sum.to_bits ? BNN_WORD_BYTES : sizeof(float));
    size_t rows = job->follower_count ? st->piece_rows : s->rows, cols = job->follower_count ? st->piece_cols : s->cols;
    bnn_link links[BNN_MOST_LINKS];
    r.out.links = links;
    r.out.link_count = job->link_count;
    for (size_t y = 0; y < s->rows; y += rows)
        for (size_t x = 0; x < s->cols; x += cols) {
            const size_t skip = y * s->cols + x; /* pixels */
            r.rows = (uint32_t)(s->rows - y < rows ? s->rows - y : rows);
            r.cols = (uint32_t)(s->cols - x < cols ? s->cols - x : cols);
            r.cells = (const unsigned char *)whole.cells + y / tile_rows(st, s) * r.row_bytes +
                      x / tile_cols(st, s) * r.tile_bytes;
            r.out.row_class = whole.out.row_class + y;
            unsigned char *out = (unsigned char *)s->out + (s->local ? 0 : skip * pixel_bytes);
            bnn_part part = {s->pixel + skip, (size_t)r.rows * r.cols, s->n_begin, s->n_end - s->n_begin};
            if (st->merged) memset(out, 0, part.pixels * pixel_bytes);
            for (uint32_t group = 0; group < st->sum.groups; group++) {
                place_links(st, s, job, part.pixel, group, links);
                run_group(st, group, r, out, job->scratch);
            }
            bnn_follow(job, &part);
        }
}

/* The rows that a group's windows read, where they lie or made in scratch. */
static const uint64_t *rows_of(const bnn_direct *st, const strip *s, uint32_t group, unsigned char *scratch) {
    uint64_t *made = (uint64_t *)(void *)(scratch + st->rows_at + group * st->group_rows);
    const uint32_t channel = group * st->sum.group_channels;
    if (!st->copied)
        return (const uint64_t *)(const void *)s->from + (size_t)s->first * st->sum.window.in_w * st->words;
    if (st->flat)
        bnn_padded_pixels(&st->padded, s->from, channel, s->pitch, 1, s->pitch * st->words, made);
    else
        bnn_padded_rows(&st->padded, s->from, channel, s->first, s->in_rows, made);
    return made;
}

/* Cells of all rows that some tile begins with. */
static void fill_cells(const bnn_direct *st, const strip *s, const uint64_t *rows, uint32_t step,
                       unsigned char *cells) {
    const bnn_window *w = &st->sum.window;
    const size_t per_row = bnn_direct_row_cells(st, s->pitch, s->cols);
    const uint32_t cell_rows = s->down ? s->in_rows - w->stride_h : s->in_rows;
    const size_t mate = s->down ? (size_t)w->stride_h * s->pitch : w->stride_w;
    for (uint32_t y = 0; y < cell_rows; y++)
        st->gemm->cells_fill(&st->shape, rows + (size_t)y * s->pitch * st->words,
                             s->down ? (size_t)(s->in_rows - y) * s->pitch : s->pitch, mate, step,
                             cells + y * per_row * st->cell, per_row);
}

/* Counts of every plane, which add up before the output. */
static void run_planes(const bnn_direct *st, const strip *s, bnn_bgemm_run r, uint32_t step, const bnn_job *job) {
    const size_t pixels = (size_t)s->rows * s->cols, plane_words = (size_t)s->in_rows * s->pitch * st->words;
    int32_t *counts = (int32_t *)(void *)(job->scratch + st->counts_at);
    const uint64_t *rows = rows_of(st, s, 0, job->scratch);
    memset(counts, 0, pixels * st->tables.padded * sizeof *counts);
    r.weights = st->packed;
    r.out = (bnn_out){.kind = BNN_OUT_COUNTS,
                      .data = counts,
                      .row_stride = (size_t)st->tables.padded * s->cols,
                      .stride = st->tables.padded};
    for (uint32_t plane = 0; plane < st->planes; plane++, rows += plane_words) {
        r.cells = rows;
        if (st->gemm->cells_fill) {
            fill_cells(st, s, rows, step, job->scratch + st->cells_at);
            r.cells = job->scratch + st->cells_at;
        }
        r.out.shift = plane;
        st->gemm->run(&r);
    }
    settle_strip(st, s, counts);
    bnn_follow(job, &(bnn_part){s->pixel, pixels, s->n_begin, s->n_end - s->n_begin});
}

static void run_strip(const bnn_direct *st, const strip *s, const bnn_job *job) {
    const bnn_window *w = &st->sum.window;
    const bnn_bgemm_kernel *k = st->gemm;
    size_t per_row = bnn_direct_row_cells(st, s->pitch, s->cols);
    uint32_t step = st->shared || !k->cells_fill ? 1 : w->stride_w * k->pixels_per_cell;
    bnn_bgemm_run r = {.shape = &st->shape,
                       .rows = s->rows,
                       .cols = s->cols,
                       .down = s->down,
                       .row_bytes = (size_t)w->stride_h * tile_rows(st, s) * per_row * st->cell,
                       .tile_bytes = (size_t)w->stride_w * tile_cols(st, s) / step * st->cell,
                       .segment = st->segment,
                       .segments = st->segments,
                       .segment_taps = st->segment_taps,
                       .n_begin = s->n_begin,
                       .n_end = s->n_end < st->shape.outputs ? s->n_end : st->shape.outputs,
                       .scratch = job->scratch + st->kernel_at,
                       .out = {.kind = st->sum.to_bits ? BNN_OUT_BITS : BNN_OUT_FLOAT,
                               .row_class = s->row_class,
                               .col_class = s->col_class,
                               .row_stride = out_elements(st) * s->cols,
                               .stride = out_elements(st)}};
    if (st->planes > 1) {
        run_planes(st, s, r, step, job);
        return;
    }
    for (uint32_t group = 0; group < st->sum.groups; group++) {
        const uint64_t *rows = rows_of(st, s, group, job->scratch);
        if (group == 0) r.cells = k->cells_fill ? (const void *)(job->scratch + st->cells_at) : rows;
        if (k->cells_fill) fill_cells(st, s, rows, step, job->scratch + st->cells_at + group * st->group_cells);
    }
    run_pieces(st, s, r, job);
}

/* Rows y0 .. y1-1 and outputs n0 .. n1-1 of the batch's image number `at`. */
static void run_image(const bnn_direct *st, const unsigned char *image, size_t at, uint32_t y0, uint32_t y1,
                      uint32_t n0, uint32_t n1, unsigned char *out, int local, const bnn_job *job) {
    const bnn_window *w = &st->sum.window;
    size_t row_bytes = out_elements(st) * (st->sum.to_bits ? 8 : 4) * w->out_w;
    for (uint32_t y = y0, rows; y < y1; y += rows) {
        rows = y1 - y < st->band ? y1 - y : st->band;
        uint32_t left_over = rows % st->gemm->pixels_per_cell;
        int down = st->down && rows > left_over;
        if (down) rows -= left_over;
        strip s = {.from = image,
                   .first = (int64_t)y * w->stride_h - w->pad_top,
                   .in_rows = bnn_padded_in_rows(w, rows),
                   .pitch = st->pitch,
                   .rows = rows,
                   .cols = w->out_w,
                   .down = down,
                   .row_class = st->tables.rows.of + y,
                   .col_class = st->tables.cols.of,
                   .n_begin = n0,
                   .n_end = n1,
                   .out = local ? out : out + y * row_bytes,
                   .pixel = (at * w->out_h + y) * w->out_w,
                   .sample = at,
                   .local = local};
        run_strip(st, &s, job);
    }
}

static void run_flat(const bnn_direct *st, const unsigned char *in, size_t begin, size_t end, uint32_t n0, uint32_t n1,
                     unsigned char *out, int local, const bnn_job *job) {
    size_t out_bytes = out_elements(st) * (st->sum.to_bits ? 8 : 4);
    size_t in_bytes = st->planes > 1 ? st->sum.in_channels : bnn_words(st->sum.in_channels) * BNN_WORD_BYTES;
    for (size_t at = begin; at < end; at += st->band) {
        uint32_t pixels = (uint32_t)(end - at < st->band ? end - at : st->band);
        strip s = {.from = in + at * in_bytes,
                   .in_rows = 1,
                   .pitch = pixels,
                   .rows = 1,
                   .cols = pixels,
                   .row_class = st->no_class,
                   .col_class = st->no_class,
                   .n_begin = n0,
                   .n_end = n1,
                   .out = local ? out : out + at * out_bytes,
                   .pixel = at,
                   .local = local};
        run_strip(st, &s, job);
    }
}

/* Blocks of outputs of each sample by itself. */
static void run_vector(const bnn_direct *st, int local, const bnn_job *job) {
    size_t begin, end;
    bnn_share(job, st->sum.outputs, BNN_BLOCK, &begin, &end);
    if (begin == end) return;
    const uint64_t *weights = (const uint64_t *)st->sum.weight->data + begin * st->words;
    int32_t *counts = (int32_t *)(void *)(job->scratch + st->counts_at);
    size_t out_bytes = out_elements(st) * (st->sum.to_bits ? BNN_WORD_BYTES : sizeof(float));
    for (size_t at = 0; at < job->batch; at++) {
        const uint64_t *x = (const uint64_t *)job->in[0] + at * st->words;
        unsigned char *out = (unsigned char *)job->out[0] + (local ? 0 : at * out_bytes);
        st->gemv->run(x, weights, st->words, end - begin, (uint32_t *)counts);
        settle(st, 0, (uint32_t)begin, (uint32_t)end, counts, out);
        bnn_follow(job, &(bnn_part){at, 1, (uint32_t)begin, (uint32_t)(end - begin)});
    }
}

/* Whether threads share blocks of outputs rather than rows: where there are enough, and so few pixels for each that the
 * weights, which every share of rows reads, are more than the cells, which every share of outputs makes. */
static int shares_outputs(const bnn_direct *st, size_t units, const bnn_job *job) {
    const size_t pixels = st->flat ? units : units * st->sum.window.out_w;
    if (st->sum.groups > 1 || bnn_round_up(st->sum.outputs, BNN_BLOCK) / BNN_BLOCK < job->threads) return 0;
    return units < 3 * (size_t)job->threads || pixels < FEW_PIXELS * (size_t)job->threads;
}

/* Threads share rows of all images, or blocks of outputs. */
void bnn_direct_run(const bnn_step *step, const bnn_job *job) {
    const bnn_direct *st = step->state;
    const bnn_window *w = &st->sum.window;
    if (st->gemv && job->batch <= st->few_samples) {
        run_vector(st, step->local_out, job);
        return;
    }
    if (st->gathered) {
        bnn_gathered_run(st->gathered, &st->sum, &st->tables, job);
        return;
    }
    size_t units = st->flat ? (size_t)w->out_h * w->out_w * job->batch : (size_t)w->out_h * job->batch;
    size_t begin = 0, end = units, n0 = 0, n1 = st->sum.outputs;
    if (shares_outputs(st, units, job))
        bnn_share(job, st->sum.outputs, BNN_BLOCK, &n0, &n1);
    else
        bnn_share(job, units, st->flat || st->down ? st->gemm->pixels_per_cell : 1, &begin, &end);
    if (begin == end || n0 == n1) return;
    if (st->flat) {
        run_flat(st, job->in[0], begin, end, (uint32_t)n0, (uint32_t)n1, job->out[0], step->local_out, job);
        return;
    }
    size_t in_bytes = (size_t)bnn_spec_bytes(step->in[0]), out_bytes = (size_t)bnn_spec_bytes(step->out[0]);
    for (size_t image = begin / w->out_h; image * w->out_h < end; image++) {
        size_t first = image * w->out_h, y0 = begin > first ? begin - first : 0,
               y1 = end - first < w->out_h ? end - first : w->out_h;
        run_image(st, (const unsigned char *)job->in[0] + image * in_bytes, image, (uint32_t)y0, (uint32_t)y1,
                  (uint32_t)n0, (uint32_t)n1, (unsigned char *)job->out[0] + (step->local_out ? 0 : image * out_bytes),
                  step->local_out, job);
    }
}
