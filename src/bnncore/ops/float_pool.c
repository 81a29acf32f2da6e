/* Maximum and mean of float32 over windows: padding never counts, so a window is just its part of the image. The
 * outputs of a row whose windows lie within the width are one call of the kernel. Where the pass before it feeds it,
 * the image is there a few rows at a time. */
#include "float_pool.h"

enum { WINDOW_BYTES = 256 << 10 }; /* of input rows that are fed at once */

typedef struct state {
    bnn_window window;
    bnn_pool_kind kind;
    const bnn_window_kernel *kernel;
    uint32_t begin, end; /* the outputs of a row whose windows lie within the image's width */
    uint32_t channels;
} state;

/* The part of the image that the windows of an output row see. */
typedef struct rows {
    uint32_t begin, end;
    const float *x;
} rows;

static rows rows_of(const bnn_window *w, uint32_t oy) {
    uint32_t i0, i1;
    bnn_window_taps(oy, w->stride_h, 1, w->pad_top, w->kernel_h, w->in_h, &i0, &i1);
    uint32_t y = oy * w->stride_h - w->pad_top; /* may wrap, and back again */
    return (rows){y + i0, y + i1, NULL};
}

/* Outputs ox .. ox+pixels-1 of a row; more than one only where their windows lie within the width. */
static void run_pixels(const state *st, const rows *in, uint32_t ox, uint32_t pixels, float *y) {
    const bnn_window *w = &st->window;
    uint32_t j0, j1;
    if (!pixels) return;
    bnn_window_taps(ox, w->stride_w, 1, w->pad_left, w->kernel_w, w->in_w, &j0, &j1);
    size_t in_x = (size_t)ox * w->stride_w + j0 - w->pad_left;
    bnn_window_run r = {.x = in->x + in_x * st->channels,
                        .rows = in->end - in->begin,
                        .cols = j1 - j0,
                        .row = (size_t)w->in_w * st->channels,
                        .col = st->channels,
                        .pixels = pixels,
                        .step = (size_t)w->stride_w * st->channels,
                        .n = st->channels,
                        .y = y + (size_t)ox * st->channels};
    uint64_t whole = (uint64_t)w->kernel_h * w->kernel_w, there = (uint64_t)r.rows * r.cols;
    r.divisor = (float)(st->kind == BNN_POOL_MEAN ? whole : there);
    (st->kind == BNN_POOL_MAX ? st->kernel->max : st->kernel->mean)(&r);
}

/* The input of output row `unit` of the batch, before row `end` of which this share ends. */
static rows find_rows(const bnn_step *step, const bnn_job *job, size_t unit, size_t end) {
    const state *st = step->state;
    const bnn_window *w = &st->window;
    size_t image = unit / w->out_h, row_floats = (size_t)w->in_w * st->channels;
    rows in = rows_of(w, (uint32_t)(unit - image * w->out_h));
    size_t first = image * w->in_h + in.begin, last = image * w->in_h + in.end;
    if (!job->feed) {
        in.x = (const float *)job->in[0] + first * row_floats;
        return in;
    }
    size_t most = end < (image + 1) * w->out_h ? end - image * w->out_h : w->out_h;
    most = image * w->in_h + rows_of(w, (uint32_t)most - 1).end;
    if (most > first + step->window_rows) most = first + step->window_rows;
    in.x = bnn_feed_rows(job->feed, first, last, most, row_floats * sizeof(float));
    return in;
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->window;
    size_t begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        const rows in = find_rows(step, job, unit, end);
        size_t pixel = unit * w->out_w;
        float *y = (float *)job->out[0] + (step->local_out ? 0 : pixel * st->channels);
        for (uint32_t ox = 0; ox < st->begin; ox++) run_pixels(st, &in, ox, 1, y);
        run_pixels(st, &in, st->begin, st->end - st->begin, y);
        for (uint32_t ox = st->end; ox < w->out_w; ox++) run_pixels(st, &in, ox, 1, y);
        bnn_follow(job, &(bnn_part){pixel, w->out_w, 0, st->channels});
    }
}

bnn_status bnn_float_pool_prepare(bnn_prepare *p, bnn_pool_kind kind) {
    bnn_step *step = p->step;
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = step->state;
    *st = (state){.window = bnn_window_of(step->node, step->in[0]),
                  .kind = kind,
                  .kernel = bnn_window_find(p->isa),
                  .channels = step->in[0]->dims[2]};
    bnn_window_inside(&st->window, &st->begin, &st->end);
    step->comparisons = bnn_window_comparisons(&st->window, bnn_spec_elements(step->out[0]));
    step->family = "window";
    step->isa = st->kernel->isa;
    step->run = run;
    step->bands = 1;
    step->band_pixels = st->window.out_w;
    /* a window moves on by at least half its rows */
    size_t row_bytes = (size_t)st->window.in_w * st->channels * sizeof(float), fit = WINDOW_BYTES / row_bytes;
    if (fit >= 2 * (size_t)st->window.kernel_h && st->window.in_h >= fit) step->window_rows = fit;
    return BNN_OK;
}
