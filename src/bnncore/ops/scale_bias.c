/* x * scale + bias for each channel, rounded after each step. */
#include "op.h"

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_BITS | 1u << BNN_UINT8 | 1u << BNN_FLOAT32, -1));
    const bnn_spec *in = c->in[0];
    BNN_TRY(bnn_check_tensor(c, 0, "scale", 1, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    BNN_TRY(bnn_check_tensor(c, 1, "bias", 1, BNN_FLOAT32, 1, &in->dims[in->rank - 1]));
    return bnn_check_output(c, BNN_FLOAT32, in->rank, in->dims);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    const float *scale = step->node->tensors[0]->data, *bias = step->node->tensors[1]->data;
    size_t channels = in->dims[in->rank - 1], words = bnn_words(channels), begin, end;
    bnn_share(job, (size_t)bnn_spec_elements(in) / channels * job->batch, 1, &begin, &end);
    for (size_t p = begin; p < end; p++) {
        float *out = (float *)job->out[0] + p * channels;
        for (size_t c = 0; c < channels; c++) {
            float x = in->dtype == BNN_FLOAT32 ? ((const float *)job->in[0])[p * channels + c]
                      : in->dtype == BNN_UINT8 ? (float)((const uint8_t *)job->in[0])[p * channels + c]
                      : bnn_bit_get((const uint64_t *)job->in[0] + p * words, c) ? 1.0f
                                                                                 : -1.0f;
            float product = x * scale[c];
            out[c] = product + bias[c];
        }
    }
}

static bnn_status prepare(bnn_prepare *p) {
    p->step->run = run;
    return BNN_OK;
}

const bnn_op bnn_op_scale_bias = {"scale_bias", 1, 1, 3, 0, check, prepare};
