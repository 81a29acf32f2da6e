/* Float32 convolution of each channel by itself. A row of outputs whose taps all lie within the image's width is one
 * call of the kernel, which reads the image where it lies; the first and last outputs of a row, whose windows stand
 * over its sides, are made one by one. Rows of zeros above and below the image are left out. */
#include "binarize.h"
#include "binary_sum.h"
#include "../memory.h"

#include <string.h>

typedef struct state {
    bnn_sum sum;
    const bnn_fdepth_kernel *kernel;
    const bnn_pack_kernel *pack;
    float *weights;      /* [taps][channels] */
    float *scale, *bias; /* NULL where both are absent */
    float *low, *high;   /* the range that becomes +1, for bits */
    float *pads;         /* a pixel of the pad value */
    uint32_t begin, end; /* the outputs of a row whose taps lie within the image's width */
    uint64_t sums_at;    /* in scratch, behind the taps */
} state;

int bnn_depthwise_fits(const bnn_sum *s) {
    return s->in == BNN_FLOAT32 && s->groups > 1 && s->group_channels == 1 && s->group_outputs == 1;
}

static size_t taps_of(const bnn_sum *s) { return (size_t)s->window.kernel_h * s->window.kernel_w; }

/* Outputs ox .. ox+pixels-1 of a row; more than one only where all taps lie within the image, or those that do not are
 * rows of zeros, which are left out. */
static void run_pixels(const state *st, const float *image, uint32_t oy, uint32_t ox, uint32_t pixels,
                       const float **taps, float *y) {
    const bnn_sum *s = &st->sum;
    const bnn_window *w = &s->window;
    uint32_t i0, i1;
    size_t count = 0;
    bnn_window_taps(oy, w->stride_h, w->dilation_h, w->pad_top, w->kernel_h, w->in_h, &i0, &i1);
    uint32_t first = s->pad_value == BNN_PAD_ZERO ? i0 : 0, last = s->pad_value == BNN_PAD_ZERO ? i1 : w->kernel_h;
    for (uint32_t i = first; i < last; i++) {
        size_t row = ((size_t)oy * w->stride_h + (size_t)i * w->dilation_h - w->pad_top) * w->in_w;
        for (uint32_t j = 0; j < w->kernel_w; j++) {
            int64_t x = (int64_t)ox * w->stride_w + (int64_t)j * w->dilation_w - w->pad_left;
            int inside = i >= i0 && i < i1 && x >= 0 && x < w->in_w;
            taps[count++] = inside ? image + (row + (size_t)x) * s->outputs : st->pads;
        }
    }
    st->kernel->run(&(bnn_fdepth_run){taps, count, s->outputs, pixels, (size_t)w->stride_w * s->outputs,
                                      st->weights + (size_t)first * w->kernel_w * s->outputs, st->scale, st->bias,
                                      y + (size_t)ox * s->outputs});
}

/* How many outputs one call may make at the place: those of the row whose taps lie within the width, or one. */
static uint32_t neighbours(const state *st, uint32_t oy, uint32_t ox) {
    const bnn_window *w = &st->sum.window;
    uint32_t i0, i1;
    bnn_window_taps(oy, w->stride_h, w->dilation_h, w->pad_top, w->kernel_h, w->in_h, &i0, &i1);
    if (st->sum.pad_value != BNN_PAD_ZERO && i1 - i0 < w->kernel_h) return 1;
    return ox >= st->begin && ox < st->end ? st->end - ox : 1;
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_sum *s = &st->sum;
    const bnn_window *w = &s->window;
    const float **taps = (const float **)(void *)job->scratch;
    size_t image_floats = (size_t)bnn_spec_elements(step->in[0]), begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        const float *image = (const float *)job->in[0] + unit / w->out_h * image_floats;
        uint32_t oy = (uint32_t)(unit % w->out_h);
        size_t pixel = unit * w->out_w, at = step->local_out ? 0 : pixel;
        float *y = s->to_bits ? (float *)(void *)(job->scratch + st->sums_at) : (float *)job->out[0] + at * s->outputs;
        for (uint32_t ox = 0, pixels; ox < w->out_w; ox += pixels) {
            pixels = neighbours(st, oy, ox);
            run_pixels(st, image, oy, ox, pixels, taps, y);
        }
        if (s->to_bits)
            st->pack->f32(y, w->out_w, s->outputs, st->low, st->high,
                          (uint64_t *)job->out[0] + at * bnn_words(s->outputs));
        bnn_follow(job, &(bnn_part){pixel, w->out_w, 0, s->outputs});
    }
}

static void lay(state *st, bnn_carver *carver) {
    const bnn_sum *s = &st->sum;
    uint64_t vector = (uint64_t)s->outputs * sizeof(float);
    int affine = s->scale || s->bias;
    st->weights = bnn_carve(carver, bnn_size_mul(vector, taps_of(s)));
    st->scale = bnn_carve(carver, affine ? vector : 0);
    st->bias = bnn_carve(carver, affine ? vector : 0);
    st->low = bnn_carve(carver, s->to_bits ? vector : 0);
    st->high = bnn_carve(carver, s->to_bits ? vector : 0);
    st->pads = bnn_carve(carver, vector);
    if (!affine) st->scale = st->bias = NULL;
}

/* rows: the weights of one channel */
static void fill(state *st, float *rows) {
    const bnn_sum *s = &st->sum;
    size_t taps = taps_of(s);
    for (size_t c = 0; c < s->outputs; c++) {
        bnn_sum_weights(s, c * taps, taps, rows);
        for (size_t t = 0; t < taps; t++) st->weights[t * s->outputs + c] = rows[t];
        if (!st->scale) continue;
        st->scale[c] = s->scale ? ((const float *)s->scale->data)[c] : 1.0f;
        st->bias[c] = s->bias ? ((const float *)s->bias->data)[c] : 0.0f;
    }
    if (s->to_bits) bnn_ranges(s->threshold, s->flip, st->low, st->high);
    const float pad = bnn_sum_pad(s);
    for (size_t c = 0; c < s->outputs; c++) st->pads[c] = pad;
}

bnn_status bnn_depthwise_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {
        .sum = bnn_sum_of(step->node, step->in[0]), .kernel = bnn_fdepth_find(p->isa), .pack = bnn_pack_find(p->isa)};
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    lay(&st, &measure);
    BNN_TRY(bnn_prepare_state(p, measure.used));
    bnn_carver carver = {.memory = step->state};
    state *kept = bnn_carve(&carver, sizeof st);
    lay(&st, &carver);
    float *rows = bnn_memory_new(taps_of(&st.sum) * sizeof *rows);
    if (!rows) return bnn_prepare_no_memory(p);
    fill(&st, rows);
    bnn_memory_free(rows);
    bnn_window_inside(&st.sum.window, &st.begin, &st.end);
    bnn_carver scratch = {0};
    bnn_carve(&scratch, bnn_size_mul(taps_of(&st.sum), sizeof(const float *)));
    st.sums_at = scratch.used;
    if (st.sum.to_bits)
        bnn_carve(&scratch, bnn_size_mul((uint64_t)st.sum.outputs * sizeof(float), st.sum.window.out_w));
    step->scratch_bytes = scratch.used;
    memcpy(kept, &st, sizeof st);
    step->family = "fdepth";
    step->isa = st.kernel->isa;
    step->run = run;
    step->bands = 1;
    step->band_pixels = st.sum.window.out_w;
    return BNN_OK;
}
