/* Exact integer sums: binary weights on bits, or on uint8 taken apart into eight planes of bits.
 *
 * The direct road hands the image to the bgemm kernel as cells, so that nothing is gathered, and for bits the outputs
 * are formed in the kernel's own pass. It works in bands of output rows whose cells stay in cache. A dense layer on one
 * sample goes through bgemv instead, which reads the file's packed weights once. Grouped layers and very long sums take
 * the gathered road (gathered.c).
 */
#include "binary_sum.h"
#include "../error.h"
#include "../memory.h"

#include <string.h>

enum { BAND_BYTES = 192 << 10, COUNT_BYTES = 64 << 10, FLAT_PIXELS = 1024, PLANES = 8 };

typedef struct state {
    bnn_sum sum;
    bnn_tables tables;
    bnn_gathered *gathered; /* NULL on the direct road, and then what follows is used */
    const bnn_bgemm_kernel *gemm;
    const bnn_bgemv_kernel *gemv; /* for a dense layer of bits */
    const bnn_pack_kernel *pack;
    const bnn_settle_kernel *finish; /* of counts */
    bnn_bgemm_shape shape;
    void *packed;
    int16_t *level;     /* [classes][padded], for bits */
    uint16_t *no_class; /* zeros, for flat images */
    size_t *segment;
    uint32_t segments, segment_taps;
    int flat;                                         /* 1x1 windows: the batch is one row of pixels */
    int shared;                                       /* a cell serves several taps, so there is one for every column */
    uint32_t planes;                                  /* 1 for bits, 8 for uint8 */
    uint32_t pitch;                                   /* pixels in a row that windows are read from */
    int copied;                                       /* such rows are made in scratch: padded, or planes */
    uint32_t band;                                    /* output rows (pixels of a flat image) in one go */
    size_t words, cell;                               /* of a pixel, of a cell in bytes */
    uint64_t rows_at, cells_at, kernel_at, counts_at; /* in scratch */
} state;

static uint32_t window_rows(const bnn_window *w, uint32_t out_rows) {
    return (out_rows - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1;
}

static uint32_t cells_in_row(const state *st, uint32_t pitch, uint32_t out_cols) {
    if (!st->gemm->cells_fill || st->shared) return pitch;
    return (out_cols + st->gemm->pixels_per_cell - 1) / st->gemm->pixels_per_cell;
}

/* ---- prepare ---- */

static void lay_geometry(state *st) {
    const bnn_window *w = &st->sum.window;
    int padded = w->pad_top | w->pad_left | w->pad_bottom | w->pad_right;
    st->planes = st->sum.in == BNN_UINT8 ? PLANES : 1;
    st->words = bnn_words(st->sum.in_channels);
    st->cell = st->gemm->cell_bytes(&st->shape);
    st->flat = w->kernel_h * w->kernel_w * w->stride_h * w->stride_w == 1 && !padded;
    st->shared = w->kernel_w > 1;
    st->copied = padded || st->planes > 1;
    /* a copied row holds just the columns that some window reads */
    st->pitch = st->copied ? (w->out_w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1 : w->in_w;
}

static void lay_band(state *st) {
    const bnn_window *w = &st->sum.window;
    uint64_t row_bytes = bnn_size_mul(cells_in_row(st, st->pitch, w->out_w), st->cell), limit = BAND_BYTES,
             rows = w->out_h;
    uint64_t per_out = bnn_size_mul(row_bytes, w->stride_h);
    if (st->flat) {
        row_bytes = per_out = (st->cell + st->gemm->pixels_per_cell - 1) / st->gemm->pixels_per_cell;
        rows = FLAT_PIXELS, limit = 4 * BAND_BYTES;
    }
    uint64_t fit = per_out ? limit / per_out : rows;
    if (st->planes > 1) {
        uint64_t counts = bnn_size_mul(st->flat ? 1 : w->out_w, (uint64_t)st->tables.padded * 4);
        if (fit > COUNT_BYTES / counts) fit = COUNT_BYTES / counts;
    }
    st->band = (uint32_t)(fit < 4 ? 4 : fit);
    if (st->band > rows) st->band = (uint32_t)rows;
}

static uint64_t lay_scratch(state *st) {
    const bnn_window *w = &st->sum.window;
    bnn_carver scratch = {0};
    uint64_t rows = st->flat ? 1 : window_rows(w, st->band), pitch = st->flat ? st->band : st->pitch;
    uint32_t cols = st->flat ? st->band : w->out_w;
    uint64_t pixels = bnn_size_mul(rows, pitch);
    st->rows_at = scratch.used;
    if (st->copied) bnn_carve(&scratch, bnn_size_mul(pixels, st->words * BNN_WORD_BYTES * st->planes));
    st->cells_at = scratch.used;
    if (st->gemm->cells_fill)
        bnn_carve(&scratch, bnn_size_mul(rows * cells_in_row(st, (uint32_t)pitch, cols), st->cell));
    st->kernel_at = scratch.used;
    if (st->gemm->scratch_bytes)
        bnn_carve(&scratch, st->gemm->scratch_bytes(&st->shape, st->flat ? 1 : st->band, cols));
    st->counts_at = scratch.used;
    uint64_t counted = st->planes > 1 ? (st->flat ? st->band : (uint64_t)st->band * w->out_w) : st->gemv ? 1 : 0;
    bnn_carve(&scratch, bnn_size_mul(counted, (uint64_t)st->tables.padded * 4));
    return scratch.used;
}

static void fill_segments(state *st) {
    const bnn_window *w = &st->sum.window;
    uint32_t runs = w->dilation_w == 1 ? 1 : w->kernel_w;
    size_t row = cells_in_row(st, st->pitch, w->out_w) * st->cell;
    for (uint32_t i = 0; i < st->segments; i++)
        st->segment[i] = i / runs * w->dilation_h * row + i % runs * w->dilation_w * st->cell;
}

/* bgemm's levels: bits compare acc = base - 2 * pop with a threshold, so pop <= (base - threshold) / 2; floats need
 * base. */
static void fill_levels(state *st) {
    const bnn_tables *t = &st->tables;
    size_t rows = (size_t)t->rows.count * t->cols.count;
    for (size_t i = 0; i < rows * t->padded; i++) {
        size_t n = i % t->padded;
        int64_t level = t->base[i];
        if (st->sum.to_bits) {
            int64_t twice = (int64_t)t->base[i] - t->threshold[n];
            level = (twice - (twice & 1)) / 2;
            if (level > BNN_BGEMM_MAX_K) level = BNN_BGEMM_MAX_K;
            if (level < -1 || n >= st->sum.outputs) level = -1;
        }
        st->level[i] = (int16_t)level;
    }
}

static void lay(state *st, bnn_carver *carver) {
    bnn_tables_lay(&st->tables, &st->sum, carver);
    if (st->gathered || !st->gemm) return;
    uint64_t classes = (uint64_t)st->tables.rows.count * st->tables.cols.count;
    uint32_t cols = st->sum.window.out_w > FLAT_PIXELS ? st->sum.window.out_w : FLAT_PIXELS;
    st->packed = bnn_carve(carver, st->gemm->weights_bytes(&st->shape));
    st->level = bnn_carve(carver, bnn_size_mul(classes, (uint64_t)st->tables.padded * sizeof *st->level));
    st->no_class = bnn_carve(carver, (uint64_t)cols * sizeof *st->no_class);
    st->segment = bnn_carve(carver, (uint64_t)st->segments * sizeof *st->segment);
}

static void run(const bnn_step *step, const bnn_job *job);

bnn_status bnn_binary_sum_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {.sum = bnn_sum_of(step->node, step->in[0])}, *kept;
    const bnn_window *w = &st.sum.window;
    uint64_t depth = (uint64_t)w->kernel_h * w->kernel_w * st.sum.group_channels;
    int gather = st.sum.groups > 1 || depth > BNN_BGEMM_MAX_K;
    const bnn_bgemm_kernel *gemm = bnn_bgemm_find(p->isa);
    st.gemm = gemm;
    st.pack = bnn_pack_find(p->isa);
    st.finish = bnn_settle_find(p->isa);
    if (step->node->tensors[0]->spec.rank == 2 && st.sum.in == BNN_BITS) st.gemv = bnn_bgemv_find(p->isa);
    st.shape = (bnn_bgemm_shape){st.sum.group_channels, w->kernel_h * w->kernel_w, st.sum.outputs};
    st.segments = w->dilation_w == 1 ? w->kernel_h : w->kernel_h * w->kernel_w;
    st.segment_taps = w->dilation_w == 1 ? w->kernel_w : 1;

    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    uint64_t gathered = gather ? bnn_gathered_bytes(&st.sum, gemm) : 0;
    bnn_carve(&measure, gathered);
    if (gather) st.gemm = NULL;
    lay(&st, &measure);
    if ((uint64_t)st.tables.rows.count * st.tables.cols.count > UINT16_MAX)
        return bnn_fail(p->error, BNN_E_LIMIT, "layer \"%.48s\" (%s): padding makes more than 65535 kinds of border",
                        step->node->name, step->node->op->name);
    BNN_TRY(bnn_prepare_state(p, measure.used));

    bnn_carver carver = {.memory = step->state};
    kept = bnn_carve(&carver, sizeof st);
    void *gathered_memory = bnn_carve(&carver, gathered);
    lay(&st, &carver);
    if (bnn_tables_fill(&st.tables, &st.sum))
        return bnn_fail(p->error, BNN_E_MEMORY, "layer \"%.48s\": no memory to prepare it", step->node->name);
    if (gather) {
        st.gathered = bnn_gathered_new(&st.sum, gemm, st.pack, gathered_memory);
        step->scratch_bytes = bnn_gathered_scratch(st.gathered);
    } else {
        gemm->weights_pack(&st.shape, st.sum.weight->data, st.packed);
        lay_geometry(&st);
        lay_band(&st);
        step->scratch_bytes = lay_scratch(&st);
        fill_segments(&st);
        fill_levels(&st);
    }
    memcpy(kept, &st, sizeof st);
    step->family = "bgemm";
    step->isa = gemm->isa;
    step->run = run;
    return BNN_OK;
}

/* ---- run ---- */

/* What one call of the kernel works on: rows of pixels that lie in memory, and the output rows that they make. */
typedef struct strip {
    const uint64_t *pixels; /* plane 0 */
    size_t plane_words;
    uint32_t in_rows, pitch, rows, cols;
    const uint16_t *row_class, *col_class;
    uint32_t n_begin, n_end;
    void *out; /* the first pixel's outputs */
} strip;

static size_t out_elements(const state *st) { return st->sum.to_bits ? st->tables.padded / 64 : st->sum.outputs; }

/* Outputs n0 .. n1-1 of one pixel whose counts, at n0, become sums in place; n0 starts a block. */
static void settle(const state *st, uint32_t class_, uint32_t n0, uint32_t n1, int32_t *counts, void *out) {
    const bnn_tables *t = &st->tables;
    const int32_t *base = t->base + (size_t)class_ * t->padded + n0;
    uint32_t n = n1 - n0;
    for (uint32_t i = 0; i < n; i++) counts[i] = base[i] - t->factor * counts[i];
    if (st->sum.to_bits)
        st->finish->bits(counts, 1, n, t->threshold + n0, t->flip + n0 / 64, (uint64_t *)out + n0 / 64);
    else
        st->finish->floats(counts, 1, n, t->scale + n0, t->bias + n0, (float *)out + n0);
}

static void settle_strip(const state *st, const strip *s, int32_t *counts) {
    size_t stride = out_elements(st) * (st->sum.to_bits ? 8 : 4);
    unsigned char *out = s->out;
    for (uint32_t y = 0; y < s->rows; y++)
        for (uint32_t x = 0; x < s->cols; x++, out += stride, counts += st->tables.padded)
            settle(st, (uint32_t)s->row_class[y] + s->col_class[x], s->n_begin, s->n_end, counts + s->n_begin, out);
}

static void run_strip(const state *st, const strip *s, unsigned char *scratch) {
    const bnn_window *w = &st->sum.window;
    const bnn_bgemm_kernel *k = st->gemm;
    unsigned char *cells = scratch + st->cells_at;
    int32_t *counts = (int32_t *)(void *)(scratch + st->counts_at);
    size_t per_row = cells_in_row(st, s->pitch, s->cols), pixels = (size_t)s->rows * s->cols;
    uint32_t step = st->shared || !k->cells_fill ? 1 : w->stride_w * k->pixels_per_cell;
    bnn_bgemm_run r = {.shape = &st->shape,
                       .weights = st->packed,
                       .rows = s->rows,
                       .cols = s->cols,
                       .row_bytes = w->stride_h * per_row * st->cell,
                       .tile_bytes = (size_t)w->stride_w * k->pixels_per_cell / step * st->cell,
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
                               .scale = st->tables.scale,
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
            for (uint32_t y = 0; y < s->in_rows; y++)
                k->cells_fill(&st->shape, from + (size_t)y * s->pitch * st->words, s->pitch, w->stride_w, step,
                              cells + y * per_row * st->cell, per_row);
            r.cells = cells;
        }
        r.out.shift = plane;
        k->run(&r);
    }
    if (st->planes > 1) settle_strip(st, s, counts);
}

/* Rows first .. first+count-1 of the padded image, made in scratch: bits with their border, or eight planes with zeros.
 */
static void copy_rows(const state *st, const unsigned char *image, int64_t first, uint32_t count, uint64_t *to) {
    const bnn_window *w = &st->sum.window;
    size_t words = st->words, row_words = st->pitch * words, plane_words = row_words * count;
    uint32_t inside = st->pitch - w->pad_left < w->in_w ? st->pitch - w->pad_left : w->in_w;
    uint64_t pad = st->sum.pad_value == BNN_PAD_PLUS ? ~UINT64_C(0) : 0,
             last = pad & bnn_tail_mask(st->sum.in_channels);
    if (w->pad_left >= st->pitch) inside = 0;
    for (uint32_t y = 0; y < count; y++, to += row_words) {
        int64_t from = first + y;
        int blank = from < 0 || from >= w->in_h;
        if (blank || inside < st->pitch)
            for (uint32_t plane = 0; plane < st->planes; plane++)
                for (size_t i = 0; i < row_words; i++)
                    to[plane * plane_words + i] = i % words == words - 1 ? last : pad;
        if (blank) continue;
        uint64_t *at = to + (size_t)w->pad_left * words;
        size_t pixel = (size_t)from * w->in_w;
        if (st->planes > 1)
            st->pack->planes(image + pixel * st->sum.in_channels, inside, st->sum.in_channels, at, plane_words);
        else
            memcpy(at, (const uint64_t *)(const void *)image + pixel * words, inside * words * BNN_WORD_BYTES);
    }
}

static void run_image(const state *st, const unsigned char *image, uint32_t y0, uint32_t y1, uint32_t n0, uint32_t n1,
                      unsigned char *out, unsigned char *scratch) {
    const bnn_window *w = &st->sum.window;
    size_t row_bytes = out_elements(st) * (st->sum.to_bits ? 8 : 4) * w->out_w;
    for (uint32_t y = y0; y < y1; y += st->band) {
        uint32_t rows = y1 - y < st->band ? y1 - y : st->band;
        int64_t first = (int64_t)y * w->stride_h - w->pad_top;
        strip s = {.in_rows = window_rows(w, rows),
                   .pitch = st->pitch,
                   .rows = rows,
                   .cols = w->out_w,
                   .row_class = st->tables.rows.of + y,
                   .col_class = st->tables.cols.of,
                   .n_begin = n0,
                   .n_end = n1,
                   .out = out + y * row_bytes};
        s.plane_words = (size_t)s.in_rows * st->pitch * st->words;
        if (st->copied) {
            uint64_t *padded = (uint64_t *)(void *)(scratch + st->rows_at);
            copy_rows(st, image, first, s.in_rows, padded);
            s.pixels = padded;
        } else {
            s.pixels = (const uint64_t *)(const void *)image + (size_t)first * w->in_w * st->words;
        }
        run_strip(st, &s, scratch);
    }
}

static void run_flat(const state *st, const unsigned char *in, size_t begin, size_t end, uint32_t n0, uint32_t n1,
                     unsigned char *out, unsigned char *scratch) {
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
                   .out = out + at * out_bytes,
                   .plane_words = pixels * st->words};
        if (st->planes > 1) {
            uint64_t *planes = (uint64_t *)(void *)(scratch + st->rows_at);
            st->pack->planes(in + at * channels, pixels, channels, planes, s.plane_words);
            s.pixels = planes;
        } else {
            s.pixels = (const uint64_t *)(const void *)in + at * st->words;
        }
        run_strip(st, &s, scratch);
    }
}

static void run_vector(const state *st, const bnn_job *job) {
    size_t begin, end;
    bnn_share(job, st->sum.outputs, BNN_BLOCK, &begin, &end);
    if (begin == end) return;
    int32_t *counts = (int32_t *)(void *)(job->scratch + st->counts_at);
    st->gemv->run(job->in[0], (const uint64_t *)st->sum.weight->data + begin * st->words, st->words, end - begin,
                  (uint32_t *)counts);
    settle(st, 0, (uint32_t)begin, (uint32_t)end, counts, job->out[0]);
}

/* Threads share rows of all images, or blocks of outputs where there are few rows and many outputs. */
static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->sum.window;
    if (st->gathered) {
        bnn_gathered_run(st->gathered, &st->sum, &st->tables, job);
        return;
    }
    if (st->gemv && job->batch == 1) {
        run_vector(st, job);
        return;
    }
    size_t units = st->flat ? (size_t)w->out_h * w->out_w * job->batch : (size_t)w->out_h * job->batch;
    size_t begin = 0, end = units, n0 = 0, n1 = st->sum.outputs;
    if (units < 16 * (size_t)job->threads && n1 >= 2 * BNN_BLOCK)
        bnn_share(job, st->sum.outputs, BNN_BLOCK, &n0, &n1);
    else
        bnn_share(job, units, st->gemm->pixels_per_cell, &begin, &end);
    if (begin == end || n0 == n1) return;
    if (st->flat) {
        run_flat(st, job->in[0], begin, end, (uint32_t)n0, (uint32_t)n1, job->out[0], job->scratch);
        return;
    }
    size_t in_bytes = (size_t)bnn_spec_bytes(step->in[0]), out_bytes = (size_t)bnn_spec_bytes(step->out[0]);
    for (size_t image = begin / w->out_h; image * w->out_h < end; image++) {
        size_t first = image * w->out_h, y0 = begin > first ? begin - first : 0,
               y1 = end - first < w->out_h ? end - first : w->out_h;
        run_image(st, (const unsigned char *)job->in[0] + image * in_bytes, (uint32_t)y0, (uint32_t)y1, (uint32_t)n0,
                  (uint32_t)n1, (unsigned char *)job->out[0] + image * out_bytes, job->scratch);
    }
}
