/* Float32 sums: a float input, or float weights. Windows are gathered into rows of floats, a block of pixels at a time,
 * bits as +1 and -1; the rows go through fgemm, and the sums, still in cache, are scaled or packed. */
#include "sum.h"
#include "binary_sum.h"
#include "binarize.h"
#include "../error.h"
#include "../memory.h"

#include <math.h>
#include <string.h>

enum { PIXELS = 24 };

typedef struct state {
    bnn_sum sum;
    const bnn_fgemm_kernel *gemm;
    const bnn_pack_kernel *pack;
    size_t depth;  /* of one group's row */
    float *packed; /* [groups], each packed_floats apart */
    size_t packed_floats;
    float *scale, *bias; /* NULL where absent */
    float *low, *high;   /* the range that becomes +1, for bits */
    int direct;          /* rows lie in the input as they are */
    uint64_t sums_at;    /* in scratch, behind the rows */
} state;

static void expand_bits(const uint64_t *words, size_t first, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) x[i] = bnn_bit_get(words, first + i) ? 1.0f : -1.0f;
}

static void pack_group(state *st, uint32_t group, float *rows) {
    const bnn_sum *s = &st->sum;
    uint32_t taps = s->window.kernel_h * s->window.kernel_w;
    const float *from = (const float *)s->weight->data + (size_t)group * s->group_outputs * st->depth;
    if (s->weight->spec.dtype == BNN_BITS) {
        size_t words = bnn_words(s->group_channels), first = (size_t)group * s->group_outputs * taps;
        for (size_t i = 0; i < (size_t)s->group_outputs * taps; i++)
            expand_bits((const uint64_t *)s->weight->data + (first + i) * words, 0, s->group_channels,
                        rows + i * s->group_channels);
        from = rows;
    }
    st->gemm->weights_pack(from, st->depth, s->group_outputs, st->packed + group * st->packed_floats);
}

static void run(const bnn_step *step, const bnn_job *job);

static void lay(state *st, bnn_carver *carver) {
    const bnn_sum *s = &st->sum;
    st->packed = bnn_carve(carver, bnn_size_mul(s->groups, st->packed_floats * sizeof(float)));
    st->low = bnn_carve(carver, s->to_bits ? (uint64_t)s->outputs * sizeof(float) : 0);
    st->high = bnn_carve(carver, s->to_bits ? (uint64_t)s->outputs * sizeof(float) : 0);
}

bnn_status bnn_float_sum_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {
        .sum = bnn_sum_of(step->node, step->in[0]), .gemm = bnn_fgemm_find(p->isa), .pack = bnn_pack_find(p->isa)};
    const bnn_sum *s = &st.sum;
    const bnn_window *w = &s->window;
    st.depth = (size_t)w->kernel_h * w->kernel_w * s->group_channels;
    st.packed_floats = bnn_size_align(st.gemm->weights_bytes(st.depth, s->group_outputs)) / sizeof(float);
    st.direct = s->in == BNN_FLOAT32 && s->groups == 1 && bnn_window_is_point(w);
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    lay(&st, &measure);
    BNN_TRY(bnn_prepare_state(p, measure.used));
    bnn_carver carver = {.memory = step->state};
    state *kept = bnn_carve(&carver, sizeof st);
    lay(&st, &carver);

    int expand = s->weight->spec.dtype == BNN_BITS;
    float *rows = expand ? bnn_memory_new((uint64_t)st.depth * s->group_outputs * sizeof *rows) : NULL;
    if (expand && !rows)
        return bnn_fail(p->error, BNN_E_MEMORY, "layer \"%.48s\": no memory to prepare it", step->node->name);
    for (uint32_t group = 0; group < s->groups; group++) pack_group(&st, group, rows);
    bnn_memory_free(rows);
    if (s->scale) st.scale = (float *)(uintptr_t)s->scale->data;
    if (s->bias) st.bias = (float *)(uintptr_t)s->bias->data;
    if (s->to_bits) bnn_ranges(s->threshold, s->flip, st.low, st.high);

    bnn_carver scratch = {0};
    if (!st.direct) bnn_carve(&scratch, bnn_size_mul(st.depth, PIXELS * sizeof(float)));
    st.sums_at = scratch.used;
    if (s->to_bits) bnn_carve(&scratch, (uint64_t)s->outputs * PIXELS * sizeof(float));
    step->scratch_bytes = scratch.used;
    memcpy(kept, &st, sizeof st);
    step->family = "fgemm";
    step->isa = st.gemm->isa;
    step->run = run;
    step->bands = 1;
    return BNN_OK;
}

/* `count` neighbouring taps from `pixel` on, of one group's channels. */
static void gather_taps(const bnn_sum *s, const void *image, size_t pixel, uint32_t count, uint32_t group, float *to) {
    size_t first = (size_t)group * s->group_channels, n = s->group_channels;
    if (s->groups == 1 && s->in != BNN_BITS) n *= count, count = 1; /* they lie next to each other */
    for (uint32_t tap = 0; tap < count; tap++, pixel++, to += n) {
        if (s->in == BNN_BITS) {
            expand_bits((const uint64_t *)image + pixel * bnn_words(s->in_channels), first, n, to);
        } else if (s->in == BNN_UINT8) {
            const uint8_t *x = (const uint8_t *)image + pixel * s->in_channels + first;
            for (size_t c = 0; c < n; c++) to[c] = x[c];
        } else {
            memcpy(to, (const float *)image + pixel * s->in_channels + first, n * sizeof *to);
        }
    }
}

static float *put_pads(const bnn_sum *s, uint32_t taps, float *to) {
    static const float pads[] = {[BNN_PAD_ZERO] = 0.0f, [BNN_PAD_PLUS] = 1.0f, [BNN_PAD_MINUS] = -1.0f};
    for (size_t c = 0; c < (size_t)taps * s->group_channels; c++) *to++ = pads[s->pad_value];
    return to;
}

static void gather_row(const bnn_sum *s, const void *image, uint32_t oy, uint32_t ox, uint32_t group, float *to) {
    const bnn_window *w = &s->window;
    uint32_t i0, i1, j0, j1, step = w->dilation_w == 1 ? w->kernel_w : 1;
    bnn_window_taps(oy, w->stride_h, w->dilation_h, w->pad_top, w->kernel_h, w->in_h, &i0, &i1);
    bnn_window_taps(ox, w->stride_w, w->dilation_w, w->pad_left, w->kernel_w, w->in_w, &j0, &j1);
    to = put_pads(s, i0 * w->kernel_w, to);
    for (uint32_t i = i0; i < i1; i++) {
        size_t row = ((size_t)oy * w->stride_h + (size_t)i * w->dilation_h - w->pad_top) * w->in_w;
        to = put_pads(s, j0, to);
        for (uint32_t j = j0; j < j1; j += step) {
            uint32_t count = step < j1 - j ? step : j1 - j;
            size_t column = (size_t)ox * w->stride_w + (size_t)j * w->dilation_w - w->pad_left;
            gather_taps(s, image, row + column, count, group, to);
            to += (size_t)count * s->group_channels;
        }
        to = put_pads(s, w->kernel_w - j1, to);
    }
    put_pads(s, (w->kernel_h - i1) * w->kernel_w, to);
}

static void finish(const state *st, float *sums, size_t pixels, void *out) {
    size_t n = st->sum.outputs;
    if (st->sum.to_bits) {
        st->pack->f32(sums, pixels, n, st->low, st->high, out);
        return;
    }
    for (size_t p = 0; p < pixels; p++, sums += n) {
        if (st->scale)
            for (size_t i = 0; i < n; i++) sums[i] *= st->scale[i];
        if (st->bias)
            for (size_t i = 0; i < n; i++) sums[i] += st->bias[i];
    }
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_sum *s = &st->sum;
    size_t image_pixels = (size_t)s->window.out_h * s->window.out_w, begin, end;
    size_t in_bytes = (size_t)bnn_spec_bytes(step->in[0]),
           out_pixel = s->to_bits ? bnn_words(s->outputs) * BNN_WORD_BYTES : s->outputs * sizeof(float);
    float *rows = (float *)(void *)job->scratch;
    bnn_share(job, image_pixels * job->batch, 1, &begin, &end);
    for (size_t at = begin; at < end; at += PIXELS) {
        size_t pixels = end - at < PIXELS ? end - at : PIXELS;
        unsigned char *out = (unsigned char *)job->out[0] + at * out_pixel;
        float *sums = s->to_bits ? (float *)(void *)(job->scratch + st->sums_at) : (float *)(void *)out;
        for (uint32_t group = 0; group < s->groups; group++) {
            const float *x = st->direct ? (const float *)job->in[0] + at * st->depth : rows;
            if (!st->direct)
                for (size_t p = 0; p < pixels; p++) {
                    size_t pixel = (at + p) % image_pixels;
                    const unsigned char *image = (const unsigned char *)job->in[0] + (at + p) / image_pixels * in_bytes;
                    gather_row(s, image, (uint32_t)(pixel / s->window.out_w), (uint32_t)(pixel % s->window.out_w),
                               group, rows + p * st->depth);
                }
            st->gemm->run(x, st->depth, pixels, st->packed + group * st->packed_floats, st->depth, s->group_outputs,
                          sums + (size_t)group * s->group_outputs, s->outputs);
        }
        finish(st, sums, pixels, out);
        bnn_follow(job, &(bnn_part){at, pixels, 0, s->outputs});
    }
}
