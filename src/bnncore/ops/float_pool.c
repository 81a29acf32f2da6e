/* Maximum and mean of float32 over windows: padding never counts, so a window is just its part of the image. The
 * outputs of a row whose windows lie within the width are one call of the kernel. */
#include "float_pool.h"

typedef struct state {
    bnn_window window;
    bnn_pool_kind kind;
    const bnn_window_kernel *kernel;
    uint32_t begin, end; /* the outputs of a row whose windows lie within the image's width */
    uint32_t channels;
} state;

/* Outputs ox .. ox+pixels-1 of a row; more than one only where their windows lie within the width. */
static void run_pixels(const state *st, const float *image, uint32_t oy, uint32_t ox, uint32_t pixels, float *y) {
    const bnn_window *w = &st->window;
    uint32_t i0, i1, j0, j1;
    if (!pixels) return;
    bnn_window_taps(oy, w->stride_h, 1, w->pad_top, w->kernel_h, w->in_h, &i0, &i1);
    bnn_window_taps(ox, w->stride_w, 1, w->pad_left, w->kernel_w, w->in_w, &j0, &j1);
    size_t in_y = (size_t)oy * w->stride_h + i0 - w->pad_top, in_x = (size_t)ox * w->stride_w + j0 - w->pad_left;
    bnn_window_run r = {.x = image + (in_y * w->in_w + in_x) * st->channels,
                        .rows = i1 - i0,
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

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->window;
    size_t image_floats = (size_t)bnn_spec_elements(step->in[0]), begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        const float *image = (const float *)job->in[0] + unit / w->out_h * image_floats;
        uint32_t oy = (uint32_t)(unit % w->out_h);
        size_t pixel = unit * w->out_w;
        float *y = (float *)job->out[0] + (step->local_out ? 0 : pixel * st->channels);
        for (uint32_t ox = 0; ox < st->begin; ox++) run_pixels(st, image, oy, ox, 1, y);
        run_pixels(st, image, oy, st->begin, st->end - st->begin, y);
        for (uint32_t ox = st->end; ox < w->out_w; ox++) run_pixels(st, image, oy, ox, 1, y);
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
    return BNN_OK;
}
