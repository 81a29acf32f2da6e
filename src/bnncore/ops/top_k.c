/* The k largest numbers of each row, falling, with their indices: of equals the first; NaNs come last. */
#include "op.h"
#include "../memory.h"

#include <math.h>
#include <string.h>

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, -1));
    const bnn_spec *in = c->in[0], *indices = c->out[1];
    uint32_t k = c->node->attributes[0], channels = in->dims[in->rank - 1], dims[BNN_MAX_RANK];
    if (k == 0 || k > channels) return bnn_bad_node(c, "k: got %u, wanted 1 to %u", (unsigned)k, (unsigned)channels);
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank - 1] = k;
    BNN_TRY(bnn_check_output(c, BNN_FLOAT32, in->rank, dims));
    if (indices->dtype != BNN_INT64 || indices->rank != in->rank || memcmp(indices->dims, dims, sizeof dims) != 0)
        return bnn_bad_node(c, "second output: wanted int64 of the first one's shape");
    return BNN_OK;
}

static int better(float a, float b) { return isnan(b) ? !isnan(a) : a > b; }

static void run(const bnn_step *step, const bnn_job *job) {
    size_t k = step->node->attributes[0], n = step->in[0]->dims[step->in[0]->rank - 1], begin, end;
    bnn_share(job, (size_t)bnn_spec_elements(step->in[0]) / n * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const float *x = (const float *)job->in[0] + row * n;
        float *values = (float *)job->out[0] + row * k;
        int64_t *indices = (int64_t *)job->out[1] + row * k;
        for (size_t i = 0, held = 0; i < n; i++) {
            if (held == k && !better(x[i], values[k - 1])) continue;
            size_t at = held < k ? held++ : k - 1;
            for (; at && better(x[i], values[at - 1]); at--) values[at] = values[at - 1], indices[at] = indices[at - 1];
            values[at] = x[i], indices[at] = (int64_t)i;
        }
    }
}

static bnn_status prepare(bnn_prepare *p) {
    p->step->run = run;
    p->step->comparisons = bnn_size_mul(bnn_spec_elements(p->step->in[0]), p->step->node->attributes[0]);
    return BNN_OK;
}

const bnn_op bnn_op_top_k = {"top_k", 1, 2, 0, 1, check, prepare};
