/* exp(x - max) over its sum, along the last dimension. */
#include "op.h"

#include <math.h>

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    return bnn_check_output(c, BNN_FLOAT32, c->in[0]->rank, c->in[0]->dims);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    size_t n = in->dims[in->rank - 1], begin, end;
    bnn_share(job, (size_t)bnn_spec_elements(in) / n * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const float *x = (const float *)job->in[0] + row * n;
        float *y = (float *)job->out[0] + row * n, most = x[0], sum = 0.0f;
        for (size_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
        for (size_t i = 0; i < n; i++) sum += y[i] = expf(x[i] - most);
        for (size_t i = 0; i < n; i++) y[i] /= sum;
    }
}

static bnn_status prepare(bnn_prepare *p) {
    p->step->run = run;
    return BNN_OK;
}

const bnn_op bnn_op_softmax = {"softmax", 1, 1, 0, 0, check, prepare};
