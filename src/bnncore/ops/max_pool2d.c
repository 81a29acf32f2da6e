/* Maximum over windows: of floats in float_pool.c, of bits by OR, down the rows first. Padding never wins, so
 * a window is just its part of the image. */
#include "float_pool.h"
#include "../memory.h"

typedef struct state {
    bnn_window window;
    const bnn_pool_kernel *pool;
    size_t words;     /* of a pixel */
    uint64_t rows_at; /* in scratch: the rows of windows as one; before it, where they are */
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

/* The rows of the image that the windows of output row oy cover, as one: itself where it is alone, else in `to`. */
static const uint64_t *rows_of(const state *st, const uint64_t *image, uint32_t oy, const uint64_t **src,
                               uint64_t *to) {
    const bnn_window *w = &st->window;
    const size_t row_words = (size_t)w->in_w * st->words;
    uint32_t begin, end;
    bnn_window_taps(oy, w->stride_h, 1, w->pad_top, w->kernel_h, w->in_h, &begin, &end);
    const size_t y = (size_t)oy * w->stride_h - w->pad_top; /* may wrap, and back again */
    for (uint32_t i = begin; i < end; i++) src[i - begin] = image + (y + i) * row_words;
    if (end - begin == 1) return src[0];
    st->pool->or_rows(src, end - begin, row_words, NULL, to);
    return to;
}

/* An output row; windows are never empty, as pads are below the kernel. */
static void pool_row(const state *st, const uint64_t *row, const uint64_t **src, const uint64_t *flip, uint64_t *out) {
    const bnn_window *w = &st->window;
    const size_t words = st->words;
    for (uint32_t ox = 0; ox < w->out_w; ox++, out += words) {
        uint32_t begin, end;
        bnn_window_taps(ox, w->stride_w, 1, w->pad_left, w->kernel_w, w->in_w, &begin, &end);
        const size_t x = (size_t)ox * w->stride_w - w->pad_left;
        if (words == 1) {
            uint64_t any = row[x + begin];
            for (uint32_t i = begin + 1; i < end; i++) any |= row[x + i];
            *out = flip ? any ^ *flip : any;
            continue;
        }
        for (uint32_t i = begin; i < end; i++) src[i - begin] = row + (x + i) * words;
        st->pool->or_rows(src, end - begin, words, flip, out);
    }
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->window;
    const bnn_tensor *flip = step->node->tensors[0];
    const size_t image_words = st->words * w->in_w * w->in_h, row_words = st->words * w->out_w;
    const uint64_t **src = (const uint64_t **)(void *)job->scratch;
    uint64_t *rows = (uint64_t *)(void *)(job->scratch + st->rows_at);
    size_t begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const uint64_t *image = (const uint64_t *)job->in[0] + row / w->out_h * image_words;
        uint64_t *out = (uint64_t *)job->out[0] + (step->local_out ? 0 : row * row_words);
        pool_row(st, rows_of(st, image, (uint32_t)(row % w->out_h), src, rows), src, flip ? flip->data : NULL, out);
        bnn_follow(job, &(bnn_part){row * w->out_w, w->out_w, 0, step->in[0]->dims[2]});
    }
}

static bnn_status prepare(bnn_prepare *p) {
    if (p->step->in[0]->dtype != BNN_BITS) return bnn_float_pool_prepare(p, BNN_POOL_MAX);
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = p->step->state;
    st->window = bnn_window_of(p->step->node, p->step->in[0]);
    st->words = bnn_words(p->step->in[0]->dims[2]);
    st->pool = bnn_pool_find(p->isa);
    p->step->run = run;
    p->step->bands = 1;
    p->step->band_pixels = st->window.out_w;
    const uint32_t h = st->window.kernel_h < st->window.in_h ? st->window.kernel_h : st->window.in_h;
    const uint32_t w = st->window.kernel_w < st->window.in_w ? st->window.kernel_w : st->window.in_w;
    st->rows_at = bnn_size_align(bnn_size_mul(h > w ? h : w, sizeof(const uint64_t *)));
    p->step->comparisons = bnn_window_comparisons(&st->window, bnn_spec_elements(p->step->out[0]));
    p->step->scratch_bytes = bnn_size_add(st->rows_at, bnn_size_mul(st->window.in_w, st->words * BNN_WORD_BYTES));
    p->step->family = "pool";
    p->step->isa = st->pool->isa;
    return BNN_OK;
}

const bnn_op bnn_op_max_pool2d = {"max_pool2d", 1, 1, 1, BNN_WINDOW_ATTRIBUTES, check, prepare};
