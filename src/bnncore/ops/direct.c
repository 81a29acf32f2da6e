/* Runs the direct road of exact integer sums: rows of the image to cells, cells through the kernel, counts to outputs.
 */
#include "direct.h"

#include <string.h>

/* What one call of the kernel works on: rows of pixels that lie in memory, and the output rows that they make. */
typedef struct strip {
    const uint64_t *pixels; /* plane 0 */
    size_t plane_words;
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
            r.out.data = s->local ? s->out : (unsigned char *)s->out + skip * pixel_bytes;
            for (uint32_t i = 0; i < job->link_count; i++) {
                links[i] = job->links[i];
                links[i].a += links[i].image ? (s->pixel + skip) * st->sum.outputs : s->sample * links[i].sample_step;
            }
            st->gemm->run(&r);
            bnn_follow(job, &(bnn_part){s->pixel + skip, (size_t)r.rows * r.cols, s->n_begin, s->n_end - s->n_begin});
        }
}

static void run_strip(const bnn_direct *st, const strip *s, const bnn_job *job) {
    unsigned char *scratch = job->scratch;
    const bnn_window *w = &st->sum.window;
    const bnn_bgemm_kernel *k = st->gemm;
    unsigned char *cells = scratch + st->cells_at;
    int32_t *counts = (int32_t *)(void *)(scratch + st->counts_at);
    size_t per_row = bnn_direct_row_cells(st, s->pitch, s->cols), pixels = (size_t)s->rows * s->cols;
    uint32_t step = st->shared || !k->cells_fill ? 1 : w->stride_w * k->pixels_per_cell;
    uint32_t cell_rows = s->down ? s->in_rows - w->stride_h : s->in_rows;
    size_t mate = s->down ? (size_t)w->stride_h * s->pitch : w->stride_w;
    bnn_bgemm_run r = {.shape = &st->shape,
                       .weights = st->packed,
                       .rows = s->rows,
                       .cols = s->cols,
                       .down = s->down,
                       .row_bytes = (size_t)w->stride_h * tile_rows(st, s) * per_row * st->cell,
                       .tile_bytes = (size_t)w->stride_w * tile_cols(st, s) / step * st->cell,
                       .segment = st->segment,
                       .segments = st->segments,
                       .segment_taps = st->segment_taps,
                       .n_begin = s->n_begin,
                       .n_end = s->n_end,
                       .scratch = scratch + st->kernel_at,
                       .out = {.kind = st->sum.to_bits ? BNN_OUT_BITS : BNN_OUT_FLOAT,
                               .level = st->level,
                               .row_class = s->row_class,
                               .col_class = s->col_class,
                               .flip = st->tables.flip,
                               .scale = st->scale,
                               .bias = st->tables.bias,
                               .data = s->out,
                               .row_stride = out_elements(st) * s->cols,
                               .stride = out_elements(st)}};
    if (st->planes > 1) {
        memset(counts, 0, pixels * st->tables.padded * sizeof *counts);
        r.out = (bnn_out){.kind = BNN_OUT_COUNTS,
                          .data = counts,
                          .row_stride = (size_t)st->tables.padded * s->cols,
                          .stride = st->tables.padded};
    }
    for (uint32_t plane = 0; plane < st->planes; plane++) {
        const uint64_t *from = s->pixels + plane * s->plane_words;
        r.cells = from;
        if (k->cells_fill) {
            for (uint32_t y = 0; y < cell_rows; y++)
                k->cells_fill(&st->shape, from + (size_t)y * s->pitch * st->words,
                              s->down ? (size_t)(s->in_rows - y) * s->pitch : s->pitch, mate, step,
                              cells + y * per_row * st->cell, per_row);
            r.cells = cells;
        }
        r.out.shift = plane;
        if (st->planes > 1) k->run(&r);
    }
    if (st->planes == 1) {
        run_pieces(st, s, r, job);
        return;
    }
    settle_strip(st, s, counts);
    bnn_follow(job, &(bnn_part){s->pixel, pixels, s->n_begin, s->n_end - s->n_begin});
}

/* So many pixels of border, in every plane. */
static void fill_border(const bnn_direct *st, uint64_t *to, size_t plane_words, size_t pixels) {
    uint64_t pad = st->sum.pad_value == BNN_PAD_PLUS ? ~UINT64_C(0) : 0,
             last = pad & bnn_tail_mask(st->sum.in_channels);
    for (uint32_t plane = 0; plane < st->planes; plane++) {
        uint64_t *at = to + plane * plane_words;
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            for (size_t i = 1; i < st->words; i++) *at++ = pad;
            *at++ = last;
        }
    }
}

/* Rows first .. first+count-1 of the padded image, made in scratch: bits with their border, or eight planes with zeros.
 */
static void copy_rows(const bnn_direct *st, const unsigned char *image, int64_t first, uint32_t count, uint64_t *to) {
    const bnn_window *w = &st->sum.window;
    size_t words = st->words, row_words = st->pitch * words, plane_words = row_words * count;
    uint32_t left = w->pad_left < st->pitch ? w->pad_left : st->pitch;
    uint32_t inside = st->pitch - left < w->in_w ? st->pitch - left : w->in_w;
    for (uint32_t y = 0; y < count; y++, to += row_words) {
        int64_t from = first + y;
        if (from < 0 || from >= w->in_h || inside == 0) {
            fill_border(st, to, plane_words, st->pitch);
            continue;
        }
        uint64_t *at = to + left * words;
        fill_border(st, to, plane_words, left);
        fill_border(st, at + inside * words, plane_words, st->pitch - left - inside);
        size_t pixel = (size_t)from * w->in_w;
        if (st->planes > 1)
            st->pack->planes(image + pixel * st->sum.in_channels, inside, st->sum.in_channels, at, plane_words);
        else
            memcpy(at, (const uint64_t *)(const void *)image + pixel * words, inside * words * BNN_WORD_BYTES);
    }
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
        int64_t first = (int64_t)y * w->stride_h - w->pad_top;
        strip s = {.in_rows = bnn_direct_in_rows(w, rows),
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
        s.plane_words = (size_t)s.in_rows * st->pitch * st->words;
        if (st->copied) {
            uint64_t *padded = (uint64_t *)(void *)(job->scratch + st->rows_at);
            copy_rows(st, image, first, s.in_rows, padded);
            s.pixels = padded;
        } else {
            s.pixels = (const uint64_t *)(const void *)image + (size_t)first * w->in_w * st->words;
        }
        run_strip(st, &s, job);
    }
}

static void run_flat(const bnn_direct *st, const unsigned char *in, size_t begin, size_t end, uint32_t n0, uint32_t n1,
                     unsigned char *out, int local, const bnn_job *job) {
    size_t out_bytes = out_elements(st) * (st->sum.to_bits ? 8 : 4), channels = st->sum.in_channels;
    for (size_t at = begin; at < end; at += st->band) {
        uint32_t pixels = (uint32_t)(end - at < st->band ? end - at : st->band);
        strip s = {.in_rows = 1,
                   .pitch = pixels,
                   .rows = 1,
                   .cols = pixels,
                   .row_class = st->no_class,
                   .col_class = st->no_class,
                   .n_begin = n0,
                   .n_end = n1,
                   .out = local ? out : out + at * out_bytes,
                   .plane_words = pixels * st->words,
                   .pixel = at,
                   .local = local};
        if (st->planes > 1) {
            uint64_t *planes = (uint64_t *)(void *)(job->scratch + st->rows_at);
            st->pack->planes(in + at * channels, pixels, channels, planes, s.plane_words);
            s.pixels = planes;
        } else {
            s.pixels = (const uint64_t *)(const void *)in + at * st->words;
        }
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

/* Threads share rows of all images, or blocks of outputs where there are few rows and many outputs. */
void bnn_direct_run(const bnn_step *step, const bnn_job *job) {
    const bnn_direct *st = step->state;
    const bnn_window *w = &st->sum.window;
    if (st->gathered) {
        bnn_gathered_run(st->gathered, &st->sum, &st->tables, job);
        return;
    }
    if (st->gemv && job->batch <= st->few_samples) {
        run_vector(st, step->local_out, job);
        return;
    }
    size_t units = st->flat ? (size_t)w->out_h * w->out_w * job->batch : (size_t)w->out_h * job->batch;
    size_t begin = 0, end = units, n0 = 0, n1 = st->sum.outputs;
    if (units < 3 * (size_t)job->threads && bnn_round_up(n1, BNN_BLOCK) / BNN_BLOCK >= job->threads)
        bnn_share(job, st->sum.outputs, BNN_BLOCK, &n0, &n1);
    else
        bnn_share(job, units, st->gemm->pixels_per_cell, &begin, &end);
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
