/* Functions of one number: PReLU with shifts, limits, and those that have a number in the file. */
#include "op.h"
#include "../memory.h"

#include <math.h>

typedef struct state {
    const bnn_vector_kernel *vector;
    const float *tables[3]; /* prelu: slope, shift in, shift out; clip: low, high */
} state;

static bnn_status check_vectors(const bnn_check *c, const char *const *names, uint32_t count, uint32_t required) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    const bnn_spec *in = c->in[0];
    for (uint32_t slot = 0; slot < count; slot++)
        BNN_TRY(bnn_check_tensor(c, slot, names[slot], slot < required, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    return bnn_check_output(c, BNN_FLOAT32, in->rank, in->dims);
}

static bnn_status check_prelu(const bnn_check *c) {
    return check_vectors(c, (const char *const[]){"slope", "shift in", "shift out"}, 3, 1);
}

static bnn_status check_clip(const bnn_check *c) {
    if (!c->node->tensors[0] && !c->node->tensors[1])
        return bnn_bad_node(c, "low and high: both tensors are missing, wanted at least one");
    return check_vectors(c, (const char *const[]){"low", "high"}, 2, 0);
}

static bnn_status check_unary(const bnn_check *c) {
    uint32_t kind = c->node->attributes[0];
    if (kind >= BNN_UNARIES)
        return bnn_bad_node(c, "function: got %u, wanted 0 to %d", (unsigned)kind, BNN_UNARIES - 1);
    return check_vectors(c, NULL, 0, 0);
}

static void part_prelu(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    const float *const *t = st->tables, *in = job->in[0];
    bnn_rows r = bnn_part_repeated(step, p);
    size_t c = p->channel;
    st->vector->prelu(&r, in + bnn_part_in(step, 0, p), t[0] + c, t[1] ? t[1] + c : NULL, t[2] ? t[2] + c : NULL,
                      (float *)job->out[0] + bnn_part_out(step, p));
}

static void part_clip(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    bnn_rows r = bnn_part_repeated(step, p);
    st->vector->clip(&r, (const float *)job->in[0] + bnn_part_in(step, 0, p), st->tables[0] + p->channel,
                     st->tables[1] + p->channel, (float *)job->out[0] + bnn_part_out(step, p));
}

static void link_prelu(const bnn_step *step, const bnn_job *job, uint32_t k, bnn_link *link) {
    const float *const *t = ((const state *)step->state)->tables;
    (void)job, (void)k;
    *link = (bnn_link){.kind = BNN_LINK_PRELU, .a = t[0], .b = t[1], .c = t[2]};
}

static void link_clip(const bnn_step *step, const bnn_job *job, uint32_t k, bnn_link *link) {
    const float *const *t = ((const state *)step->state)->tables;
    (void)job, (void)k;
    *link = (bnn_link){.kind = BNN_LINK_CLIP, .a = t[0], .b = t[1]};
}

static void part_unary(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    bnn_rows r = bnn_part_rows(step, p);
    const float *x = (const float *)job->in[0] + bnn_part_in(step, 0, p);
    float *y = (float *)job->out[0] + bnn_part_out(step, p);
    if (r.n == r.stride) r.n *= r.rows, r.rows = 1; /* no gaps */
    for (size_t row = 0; row < r.rows; row++, x += r.stride, y += r.stride)
        st->vector->unary[step->node->attributes[0]](x, r.n, y);
}

/* With room for `count` tables, which are the node's tensors; a slot that is empty gives NULL. */
static bnn_status prepare(bnn_prepare *p, size_t count) {
    bnn_step *step = p->step;
    size_t channels = step->in[0]->dims[step->in[0]->rank - 1], length = channels * bnn_repeat(channels);
    BNN_TRY(bnn_prepare_state(p, bnn_size_align(sizeof(state)) + count * (uint64_t)length * sizeof(float)));
    state *st = step->state;
    float *room = (float *)(void *)((unsigned char *)step->state + bnn_size_align(sizeof(state)));
    st->vector = bnn_vector_find(p->isa);
    for (size_t i = 0; i < count; i++, room += length) {
        if (!step->node->tensors[i]) continue;
        bnn_repeat_fill(room, step->node->tensors[i]->data, channels);
        st->tables[i] = room;
    }
    step->family = "vector";
    step->isa = st->vector->isa;
    step->run = bnn_run_parts;
    step->bands = 1;
    return BNN_OK;
}

static bnn_status prepare_prelu(bnn_prepare *p) {
    BNN_TRY(prepare(p, 3));
    p->step->part = part_prelu;
    p->step->link = link_prelu;
    p->step->link_inputs = 1;
    return BNN_OK;
}

/* A limit that is absent is infinite. */
static bnn_status prepare_clip(bnn_prepare *p) {
    BNN_TRY(prepare(p, 2));
    state *st = p->step->state;
    size_t channels = p->step->in[0]->dims[p->step->in[0]->rank - 1], length = channels * bnn_repeat(channels);
    float *room = (float *)(void *)((unsigned char *)p->step->state + bnn_size_align(sizeof *st));
    for (int i = 0; i < 2; i++, room += length) {
        if (st->tables[i]) continue;
        for (size_t c = 0; c < length; c++) room[c] = i ? INFINITY : -INFINITY;
        st->tables[i] = room;
    }
    p->step->part = part_clip;
    p->step->link = link_clip;
    p->step->link_inputs = 1;
    return BNN_OK;
}

static bnn_status prepare_unary(bnn_prepare *p) {
    BNN_TRY(prepare(p, 0));
    p->step->part = part_unary;
    return BNN_OK;
}

const bnn_op bnn_op_prelu = {"prelu", 1, 1, 7, 0, check_prelu, prepare_prelu};
const bnn_op bnn_op_clip = {"clip", 1, 1, 3, 0, check_clip, prepare_clip};
const bnn_op bnn_op_unary = {"unary", 1, 1, 0, 1, check_unary, prepare_unary};
