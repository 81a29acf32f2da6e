/* exp(x - max) over its sum, along the last dimension. */
#include "op.h"

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    return bnn_check_output(c, BNN_FLOAT32, c->in[0]->rank, c->in[0]->dims);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const bnn_vector_kernel *const *vector = step->state;
    const bnn_spec *in = step->in[0];
    size_t n = in->dims[in->rank - 1], begin, end;
    bnn_share(job, (size_t)bnn_spec_elements(in) / n * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const size_t at = row * n;
        (*vector)->softmax((const float *)job->in[0] + at, n, (float *)job->out[0] + at);
    }
}

static bnn_status prepare(bnn_prepare *p) {
    BNN_TRY(bnn_prepare_state(p, sizeof(const bnn_vector_kernel *)));
    const bnn_vector_kernel **vector = p->step->state;
    *vector = bnn_vector_find(p->isa);
    p->step->family = "vector";
    p->step->isa = (*vector)->isa;
    p->step->run = run;
    return BNN_OK;
}

const bnn_op bnn_op_softmax = {"softmax", 1, 1, 0, 0, check, prepare};
