/* An image to a vector, in (height, width, channel) order. Only bits whose channels do not fill whole words have to
 * move. */
#include "op.h"

#include <string.h>

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, ~0u, -1));
    uint32_t elements = (uint32_t)bnn_spec_elements(c->in[0]);
    return bnn_check_output(c, c->in[0]->dtype, 1, &elements);
}

static void run_copy(const bnn_step *step, const bnn_job *job) {
    size_t begin, end;
    bnn_share(job, (size_t)bnn_spec_bytes(step->in[0]) * job->batch, BNN_ALIGN, &begin, &end);
    memcpy((unsigned char *)job->out[0] + begin, (const unsigned char *)job->in[0] + begin, end - begin);
}

static void run_bits(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    size_t channels = in->dims[in->rank - 1], words = bnn_words(channels), begin, end;
    size_t pixels = (size_t)bnn_spec_elements(in) / channels, out_words = bnn_words(pixels * channels);
    bnn_share(job, job->batch, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const uint64_t *from = (const uint64_t *)job->in[0] + i * pixels * words;
        uint64_t *out = (uint64_t *)job->out[0] + i * out_words;
        memset(out, 0, out_words * BNN_WORD_BYTES);
        for (size_t p = 0, to = 0; p < pixels; p++)
            for (size_t w = 0; w < words; w++, from++) {
                size_t n = w + 1 < words ? 64 : channels - w * 64;
                out[to / 64] |= *from << to % 64;
                if (to % 64 + n > 64) out[to / 64 + 1] |= *from >> (64 - to % 64);
                to += n;
            }
    }
}

static bnn_status prepare(bnn_prepare *p) {
    const bnn_spec *in = p->step->in[0];
    int moves = in->dtype == BNN_BITS && in->dims[in->rank - 1] % BNN_WORD_BITS && in->rank > 1;
    p->step->alias = !moves;
    p->step->run = moves ? run_bits : run_copy; /* the copy is for where input and output cannot share memory */
    return BNN_OK;
}

const bnn_op bnn_op_flatten = {"flatten", 1, 1, 0, 0, check, prepare};
