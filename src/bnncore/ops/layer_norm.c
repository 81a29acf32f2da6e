/* Each pixel less its mean, over its standard deviation, times gamma plus beta. */
#include "op.h"

#include <math.h>
#include <string.h>

enum { GAMMA, BETA };
enum { EPSILON };
enum { ROWS_BYTES = 16 << 10 }; /* of numbers in one go, so that they stay in the first cache for the followers */

typedef struct state {
    const bnn_norm_kernel *norm;
    float epsilon;
} state;

static float epsilon_of(const bnn_node *node) {
    float epsilon;
    memcpy(&epsilon, &node->attributes[EPSILON], sizeof epsilon);
    return epsilon;
}

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    const bnn_spec *in = c->in[0];
    BNN_TRY(bnn_check_tensor(c, GAMMA, "gamma", 1, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    BNN_TRY(bnn_check_tensor(c, BETA, "beta", 1, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    float epsilon = epsilon_of(c->node);
    if (!(epsilon >= 0.0f) || isinf(epsilon))
        return bnn_bad_node(c, "epsilon: got %g, wanted a finite number from 0", (double)epsilon);
    return bnn_check_output(c, BNN_FLOAT32, in->rank, in->dims);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    const bnn_spec *in = step->in[0];
    uint32_t channels = in->dims[in->rank - 1];
    size_t pixels = (size_t)bnn_spec_elements(in) / channels * job->batch, begin, end;
    size_t most = step->band_pixels;
    bnn_share(job, pixels, 1, &begin, &end);
    for (size_t at = begin; at < end; at += most) {
        size_t rows = end - at < most ? end - at : most;
        st->norm->run((const float *)job->in[0] + at * channels, rows, channels, st->epsilon,
                      step->node->tensors[GAMMA]->data, step->node->tensors[BETA]->data,
                      (float *)job->out[0] + (step->local_out ? 0 : at * channels));
        bnn_follow(job, &(bnn_part){at, rows, 0, channels});
    }
}

static bnn_status prepare(bnn_prepare *p) {
    const bnn_spec *in = p->step->in[0];
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = p->step->state;
    *st = (state){bnn_norm_find(p->isa), epsilon_of(p->step->node)};
    p->step->family = "norm";
    p->step->isa = st->norm->isa;
    p->step->run = run;
    p->step->bands = 1;
    p->step->band_pixels = ROWS_BYTES / sizeof(float) / in->dims[in->rank - 1] + 1;
    return BNN_OK;
}

const bnn_op bnn_op_layer_norm = {"layer_norm", 1, 1, 1u << GAMMA | 1u << BETA, 1, check, prepare};
