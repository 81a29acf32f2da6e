/* Maximum over windows: of floats in float_pool.c, of bits by OR. Padding never wins, so a window is just its part of
 * the image. */
#include "float_pool.h"
#include "../memory.h"

typedef struct state {
    bnn_window window;
    const bnn_pool_kernel *pool;
    uint32_t channels;
} state;

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_BITS | 1u << BNN_FLOAT32, 3));
    bnn_window w;
    BNN_TRY(bnn_window_check_plain(c, &w));
    const bnn_spec *in = c->in[0];
    if (c->node->tensors[0] && in->dtype != BNN_BITS) return bnn_bad_node(c, "flip: only for bits");
    BNN_TRY(bnn_check_tensor(c, 0, "flip", 0, BNN_BITS, 1, &in->dims[2]));
    return bnn_check_output(c, in->dtype, 3, (const uint32_t[]){w.out_h, w.out_w, in->dims[2]});
}

/* The part of the image that a window covers: rows y0..y1, columns x0..x1; never empty, as pads are below the kernel.
 */
typedef struct part {
    uint32_t y0, y1, x0, x1;
} part;

static part part_of(const bnn_window *w, uint32_t oy, uint32_t ox) {
    uint32_t i0, i1, j0, j1;
    bnn_window_taps(oy, w->stride_h, 1, w->pad_top, w->kernel_h, w->in_h, &i0, &i1);
    bnn_window_taps(ox, w->stride_w, 1, w->pad_left, w->kernel_w, w->in_w, &j0, &j1);
    uint32_t y = oy * w->stride_h - w->pad_top, x = ox * w->stride_w - w->pad_left; /* may wrap, and back again */
    return (part){y + i0, y + i1, x + j0, x + j1};
}

static void pool_bits(const state *st, const uint64_t *image, part at, const uint64_t **src, const uint64_t *flip,
                      uint64_t *out) {
    size_t words = bnn_words(st->channels), count = 0;
    for (uint32_t y = at.y0; y < at.y1; y++)
        for (uint32_t x = at.x0; x < at.x1; x++) src[count++] = image + ((size_t)y * st->window.in_w + x) * words;
    st->pool->or_rows(src, count, words, flip, out);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->window;
    const bnn_tensor *flip = step->node->tensors[0];
    size_t words = bnn_words(st->channels), image_words = words * w->in_h * w->in_w, begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const uint64_t *image = (const uint64_t *)job->in[0] + row / w->out_h * image_words;
        uint64_t *out = (uint64_t *)job->out[0] + (step->local_out ? 0 : row * w->out_w * words);
        for (uint32_t ox = 0; ox < w->out_w; ox++, out += words)
            pool_bits(st, image, part_of(w, (uint32_t)(row % w->out_h), ox), (const uint64_t **)(void *)job->scratch,
                      flip ? flip->data : NULL, out);
        bnn_follow(job, &(bnn_part){row * w->out_w, w->out_w, 0, st->channels});
    }
}

static bnn_status prepare(bnn_prepare *p) {
    if (p->step->in[0]->dtype != BNN_BITS) return bnn_float_pool_prepare(p, BNN_POOL_MAX);
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = p->step->state;
    st->window = bnn_window_of(p->step->node, p->step->in[0]);
    st->channels = p->step->in[0]->dims[2];
    st->pool = bnn_pool_find(p->isa);
    p->step->run = run;
    p->step->bands = 1;
    p->step->band_pixels = st->window.out_w;
    uint64_t h = st->window.kernel_h < st->window.in_h ? st->window.kernel_h : st->window.in_h;
    uint64_t w = st->window.kernel_w < st->window.in_w ? st->window.kernel_w : st->window.in_w;
    p->step->comparisons = bnn_window_comparisons(&st->window, bnn_spec_elements(p->step->out[0]));
    p->step->scratch_bytes = h * w * sizeof(const uint64_t *);
    p->step->family = "pool";
    p->step->isa = st->pool->isa;
    return BNN_OK;
}

const bnn_op bnn_op_max_pool2d = {"max_pool2d", 1, 1, 1, BNN_WINDOW_ATTRIBUTES, check, prepare};
