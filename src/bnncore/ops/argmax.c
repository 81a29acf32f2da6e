/* The index of the largest along the last dimension: the first of equals; a NaN only where all are NaN, and then 0. */
#include "op.h"

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    return bnn_check_output(c, BNN_INT64, c->in[0]->rank - 1, c->in[0]->dims);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    size_t n = in->dims[in->rank - 1], begin, end;
    bnn_share(job, (size_t)bnn_spec_elements(in) / n * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const float *x = (const float *)job->in[0] + row * n;
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (x[i] > x[best] || (x[best] != x[best] && x[i] == x[i])) best = i;
        ((int64_t *)job->out[0])[row] = (int64_t)best;
    }
}

static bnn_status prepare(bnn_prepare *p) {
    p->step->run = run;
    return BNN_OK;
}

const bnn_op bnn_op_argmax = {"argmax", 1, 1, 0, 0, check, prepare};
