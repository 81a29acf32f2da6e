/* x * scale + bias for each channel, rounded after each step; bits and bytes count as numbers. */
#include "op.h"
#include "../memory.h"

typedef struct state {
    const bnn_vector_kernel *vector;
    const float *scale, *bias;
} state;

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_BITS | 1u << BNN_UINT8 | 1u << BNN_FLOAT32, -1));
    const bnn_spec *in = c->in[0];
    BNN_TRY(bnn_check_tensor(c, 0, "scale", 1, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    BNN_TRY(bnn_check_tensor(c, 1, "bias", 1, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    return bnn_check_output(c, BNN_FLOAT32, in->rank, in->dims);
}

static void part_float(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    bnn_rows r = bnn_part_repeated(step, p);
    st->vector->affine(&r, (const float *)job->in[0] + bnn_part_in(step, 0, p), st->scale + p->channel,
                       st->bias + p->channel, (float *)job->out[0] + bnn_part_out(step, p));
}

static void part_bytes(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    bnn_rows r = bnn_part_repeated(step, p);
    st->vector->affine_bytes(&r, (const uint8_t *)job->in[0] + bnn_part_in(step, 0, p), st->scale + p->channel,
                             st->bias + p->channel, (float *)job->out[0] + bnn_part_out(step, p));
}

static void part_bits(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    const bnn_rows r = bnn_part_rows(step, p);
    const size_t words = bnn_words(r.stride), from = (step->local_in & 1 ? 0 : p->pixel) * words;
    st->vector->affine_bits(&r, (const uint64_t *)job->in[0] + from + p->channel / BNN_WORD_BITS, words,
                            st->scale + p->channel, st->bias + p->channel,
                            (float *)job->out[0] + bnn_part_out(step, p));
}

static void link(const bnn_step *step, const bnn_job *job, uint32_t k, bnn_link *link) {
    const state *st = step->state;
    (void)job, (void)k;
    *link = (bnn_link){.kind = BNN_LINK_AFFINE, .a = st->scale, .b = st->bias};
}

static bnn_status prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    size_t channels = step->in[0]->dims[step->in[0]->rank - 1], length = channels * bnn_repeat(channels);
    BNN_TRY(bnn_prepare_state(p, bnn_size_align(sizeof(state)) + 2 * (uint64_t)length * sizeof(float)));
    state *st = step->state;
    float *tables = (float *)(void *)((unsigned char *)step->state + bnn_size_align(sizeof *st));
    bnn_repeat_fill(tables, step->node->tensors[0]->data, channels);
    bnn_repeat_fill(tables + length, step->node->tensors[1]->data, channels);
    *st = (state){bnn_vector_find(p->isa), tables, tables + length};
    step->run = bnn_run_parts;
    step->bands = 1;
    step->family = "vector";
    step->isa = st->vector->isa;
    step->part = step->in[0]->dtype == BNN_BITS ? part_bits : step->in[0]->dtype == BNN_UINT8 ? part_bytes : part_float;
    if (step->part != part_float) return BNN_OK;
    step->link = link;
    step->link_inputs = 1;
    return BNN_OK;
}

const bnn_op bnn_op_scale_bias = {"scale_bias", 1, 1, 3, 0, check, prepare};
