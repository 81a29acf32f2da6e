/* Two values to one, number by number: the second may have one number a channel, or one a pixel, for all. */
#include "op.h"
#include "../error.h"

#include <string.h>

typedef enum fit { SAME, CHANNEL, PIXEL, UNFIT } fit;

typedef struct state {
    const bnn_vector_kernel *vector;
    bnn_merge kind;
    fit fit;
    size_t pixels; /* of one sample */
} state;

static fit fit_of(const bnn_spec *first, const bnn_spec *second) {
    uint32_t rank = first->rank, channels = first->dims[rank - 1];
    if (second->rank == rank && memcmp(first->dims, second->dims, sizeof first->dims) == 0) return SAME;
    if (bnn_spec_elements(second) == channels && second->dims[second->rank - 1] == channels &&
        (second->rank == 1 || second->rank == rank))
        return CHANNEL;
    if (second->rank == rank && second->dims[rank - 1] == 1 &&
        memcmp(first->dims, second->dims, (rank - 1) * sizeof *first->dims) == 0)
        return PIXEL;
    return UNFIT;
}

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    const bnn_spec *first = c->in[0], *second = c->in[1];
    char got[BNN_SPEC_TEXT], want[BNN_SPEC_TEXT];
    if (second->dtype != BNN_FLOAT32 || second->rank == 0 || fit_of(first, second) == UNFIT)
        return bnn_bad_node(c,
                            "second input: got %s, wanted the shape of the first, %s, one number a channel, or one "
                            "a pixel",
                            bnn_spec_text(second, got), bnn_spec_text(first, want));
    return bnn_check_output(c, BNN_FLOAT32, first->rank, first->dims);
}

/* One number a channel may change from one sample of the batch to the next. */
static void part_channel(const state *st, const bnn_part *p, bnn_rows r, const float *x, const float *with, float *y) {
    for (size_t pixel = p->pixel, end = p->pixel + p->pixels; pixel < end; pixel += r.rows) {
        size_t sample = pixel / st->pixels, left = (sample + 1) * st->pixels - pixel;
        r.rows = left < end - pixel ? left : end - pixel;
        st->vector->merge[st->kind](&r, x, with + sample * r.stride + p->channel, 0, y);
        x += r.rows * r.stride, y += r.rows * r.stride;
    }
}

static void part(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    const float *x = (const float *)job->in[0] + bnn_part_in(step, 0, p), *with = job->in[1];
    float *y = (float *)job->out[0] + bnn_part_out(step, p);
    bnn_rows r = bnn_part_rows(step, p);
    if (st->fit == SAME && r.n == r.stride) r.n *= r.rows, r.rows = 1; /* no gaps */
    if (st->fit == SAME)
        st->vector->merge[st->kind](&r, x, with + bnn_part_in(step, 1, p), r.stride, y);
    else if (st->fit == PIXEL)
        st->vector->merge_pixel[st->kind](&r, x, with + p->pixel, y);
    else
        part_channel(st, p, r, x, with, y);
}

static void link(const bnn_step *step, const bnn_job *job, uint32_t k, bnn_link *link) {
    static const bnn_link_kind kinds[BNN_MERGES] = {
        [BNN_ADD] = BNN_LINK_ADD, [BNN_SUBTRACT] = BNN_LINK_SUBTRACT, [BNN_MULTIPLY] = BNN_LINK_MULTIPLY};
    const state *st = step->state;
    const bnn_spec *out = step->out[0];
    *link = (bnn_link){.kind = kinds[st->kind], .image = st->fit == SAME, .a = job->in[1 - k]};
    if (!link->image) link->sample_step = out->dims[out->rank - 1];
}

static bnn_status prepare(bnn_prepare *p, bnn_merge kind) {
    bnn_step *step = p->step;
    const bnn_spec *first = step->in[0];
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = step->state;
    *st = (state){bnn_vector_find(p->isa), kind, fit_of(first, step->in[1]),
                  (size_t)bnn_spec_elements(first) / first->dims[first->rank - 1]};
    step->family = "vector";
    step->isa = st->vector->isa;
    step->run = bnn_run_parts;
    step->part = part;
    step->bands = 1;
    if (st->fit == PIXEL) return BNN_OK;
    step->link = link;
    step->link_inputs = st->fit == SAME && kind != BNN_SUBTRACT ? 3 : 1;
    step->link_by_sample = st->fit == CHANNEL;
    return BNN_OK;
}

static bnn_status prepare_add(bnn_prepare *p) { return prepare(p, BNN_ADD); }
static bnn_status prepare_subtract(bnn_prepare *p) { return prepare(p, BNN_SUBTRACT); }
static bnn_status prepare_multiply(bnn_prepare *p) { return prepare(p, BNN_MULTIPLY); }

const bnn_op bnn_op_add = {"add", 2, 1, 0, 0, check, prepare_add};
const bnn_op bnn_op_subtract = {"subtract", 2, 1, 0, 0, check, prepare_subtract};
const bnn_op bnn_op_multiply = {"multiply", 2, 1, 0, 0, check, prepare_multiply};
