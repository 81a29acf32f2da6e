/* Exact integer sums of a uint8 image with binary weights where a sum is short, as in first layers: the weights are
 * spread to int8, the image is copied once with its border of zeros, and a kernel row of it is read in place (igemm).
 * Long sums go through bit planes instead (binary_sum.c), whose weights stay one bit each. */
#include "binary_sum.h"
#include "../memory.h"

#include <string.h>

typedef struct state {
    bnn_sum sum;
    bnn_tables tables;
    const bnn_igemm_kernel *gemm;
    const bnn_settle_kernel *settle;
    bnn_igemm_shape shape;
    void *packed;
    size_t *segment;
    size_t pitch;     /* bytes of a padded row */
    uint64_t sums_at; /* in scratch, behind the padded rows */
} state;

int bnn_uint8_sum_fits(const bnn_sum *s, const bnn_choices *choices) {
    const bnn_window *w = &s->window;
    return s->in == BNN_UINT8 && s->weight->spec.rank == 4 && s->groups == 1 &&
           (uint64_t)w->kernel_h * w->kernel_w * s->in_channels <= choices->byte_depth;
}

static void lay(state *st, bnn_carver *carver) {
    bnn_tables_lay(&st->tables, &st->sum, carver);
    st->packed = bnn_carve(carver, st->gemm->weights_bytes(&st->shape));
    st->segment = bnn_carve(carver, st->shape.segments * sizeof *st->segment);
}

static void spread(const bnn_sum *s, int8_t *rows) {
    size_t words = bnn_words(s->in_channels), taps = (size_t)s->outputs * s->window.kernel_h * s->window.kernel_w;
    const uint64_t *from = s->weight->data;
    for (size_t tap = 0; tap < taps; tap++, from += words)
        for (size_t c = 0; c < s->in_channels; c++) *rows++ = bnn_bit_get(from, c) ? 1 : -1;
}

/* Rows first .. first+count-1 of the image with its border, `pitch` bytes each, with room for what igemm reads past the
 * end. */
static void copy_rows(const state *st, const uint8_t *image, int64_t first, uint32_t count, uint8_t *to) {
    const bnn_window *w = &st->sum.window;
    size_t channels = st->sum.in_channels, left = (size_t)w->pad_left * channels, row = (size_t)w->in_w * channels;
    if (left > st->pitch) left = st->pitch;
    size_t inside = st->pitch - left < row ? st->pitch - left : row;
    for (uint32_t y = 0; y < count; y++, to += st->pitch) {
        int64_t from = first + y;
        if (from < 0 || from >= w->in_h) {
            memset(to, 0, st->pitch);
            continue;
        }
        memset(to, 0, left);
        memcpy(to + left, image + (size_t)from * row, inside);
        memset(to + left + inside, 0, st->pitch - left - inside);
    }
}

/* One output row at a time: its sums stay in the first-level cache. */
static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_window *w = &st->sum.window;
    size_t in_bytes = (size_t)bnn_spec_bytes(step->in[0]), row_bytes = (size_t)bnn_spec_bytes(step->out[0]) / w->out_h;
    uint32_t rows = (w->kernel_h - 1) * w->dilation_h + 1;
    int32_t *sums = (int32_t *)(void *)(job->scratch + st->sums_at);
    size_t begin, end;
    bnn_share(job, (size_t)w->out_h * job->batch, 1, &begin, &end);
    for (size_t unit = begin; unit < end; unit++) {
        const uint8_t *image = (const uint8_t *)job->in[0] + unit / w->out_h * in_bytes;
        copy_rows(st, image, (int64_t)(unit % w->out_h) * w->stride_h - w->pad_top, rows, job->scratch);
        st->gemm->run(&st->shape, job->scratch, (size_t)w->stride_w * st->sum.in_channels, w->out_w, st->segment,
                      st->packed, sums, st->tables.padded);
        unsigned char *out = (unsigned char *)job->out[0] + unit * row_bytes;
        if (st->sum.to_bits)
            st->settle->bits(sums, w->out_w, st->sum.outputs, st->tables.threshold, st->tables.flip,
                             (uint64_t *)(void *)out);
        else
            st->settle->floats(sums, w->out_w, st->sum.outputs, st->tables.scale, st->tables.bias,
                               (float *)(void *)out);
        bnn_follow(job, &(bnn_part){unit * w->out_w, w->out_w, 0, st->sum.outputs});
    }
}

bnn_status bnn_uint8_sum_prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    state st = {
        .sum = bnn_sum_of(step->node, step->in[0]), .gemm = bnn_igemm_find(p->isa), .settle = bnn_settle_find(p->isa)};
    const bnn_window *w = &st.sum.window;
    uint32_t channels = st.sum.in_channels;
    int whole = w->dilation_w == 1; /* a kernel row is one segment, else each tap is */
    st.shape = (bnn_igemm_shape){whole ? w->kernel_h : w->kernel_h * w->kernel_w,
                                 whole ? w->kernel_w * channels : channels, st.sum.outputs};
    st.pitch = ((size_t)(w->out_w - 1) * w->stride_w + (size_t)(w->kernel_w - 1) * w->dilation_w + 1) * channels;
    BNN_TRY(bnn_prepare_fits(p, bnn_tables_least(&st.sum)));
    bnn_carver measure = {0};
    bnn_carve(&measure, sizeof st);
    lay(&st, &measure);
    BNN_TRY(bnn_prepare_state(p, measure.used));
    bnn_carver carver = {.memory = step->state};
    state *kept = bnn_carve(&carver, sizeof st);
    lay(&st, &carver);
    int8_t *rows = bnn_memory_new((uint64_t)st.sum.outputs * st.shape.segments * st.shape.segment_bytes);
    if (!rows || bnn_tables_fill(&st.tables, &st.sum)) {
        bnn_memory_free(rows);
        return bnn_prepare_no_memory(p);
    }
    spread(&st.sum, rows);
    st.gemm->weights_pack(&st.shape, rows, st.packed);
    bnn_memory_free(rows);
    uint32_t runs = whole ? 1 : w->kernel_w;
    for (uint32_t i = 0; i < st.shape.segments; i++)
        st.segment[i] = i / runs * w->dilation_h * st.pitch + (size_t)(i % runs) * w->dilation_w * channels;
    bnn_carver scratch = {0};
    bnn_carve(&scratch, bnn_size_add(bnn_size_mul((uint64_t)(w->kernel_h - 1) * w->dilation_h + 1, st.pitch), 4));
    st.sums_at = scratch.used;
    bnn_carve(&scratch, bnn_size_mul(w->out_w, (uint64_t)st.tables.padded * sizeof(int32_t)));
    step->scratch_bytes = scratch.used;
    memcpy(kept, &st, sizeof st);
    step->family = "igemm";
    step->isa = st.gemm->isa;
    step->run = run;
    step->bands = 1;
    return BNN_OK;
}
