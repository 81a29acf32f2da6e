/* The same numbers in another shape, row-major; flatten makes a vector. Only bits whose channels do not fill whole
 * words, before or after, have to move. */
#include "op.h"
#include "bits_copy.h"
#include "../error.h"

#include <string.h>

static bnn_status check_flatten(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, ~0u, -1));
    uint32_t elements = (uint32_t)bnn_spec_elements(c->in[0]);
    return bnn_check_output(c, c->in[0]->dtype, 1, &elements);
}

static bnn_status check_reshape(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, ~0u, -1));
    const bnn_spec *in = c->in[0], *out = c->out[0];
    char got[BNN_SPEC_TEXT], want[BNN_SPEC_TEXT];
    if (out->dtype != in->dtype || out->rank == 0 || bnn_spec_elements(out) != bnn_spec_elements(in))
        return bnn_bad_node(c, "output: the file says %s, wanted as many numbers, and the dtype, of %s",
                            bnn_spec_text(out, got), bnn_spec_text(in, want));
    return BNN_OK;
}

static void run_copy(const bnn_step *step, const bnn_job *job) {
    size_t begin, end;
    bnn_share(job, (size_t)bnn_spec_bytes(step->in[0]) * job->batch, BNN_ALIGN, &begin, &end);
    memcpy((unsigned char *)job->out[0] + begin, (const unsigned char *)job->in[0] + begin, end - begin);
}

/* Rows of bits become longer or shorter ones: each output row takes its bits from the input rows that hold them. */
static void run_bits(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0], *out = step->out[0];
    size_t from = in->dims[in->rank - 1], to = out->dims[out->rank - 1], begin, end;
    size_t rows = (size_t)bnn_spec_elements(out) / to, in_words = bnn_words(from), out_words = bnn_words(to);
    size_t sample_words = (size_t)bnn_spec_elements(in) / from * in_words;
    bnn_share(job, rows * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const uint64_t *x = (const uint64_t *)job->in[0] + row / rows * sample_words;
        uint64_t *y = (uint64_t *)job->out[0] + row * out_words;
        memset(y, 0, out_words * BNN_WORD_BYTES);
        for (size_t done = 0, at = row % rows * to, take; done < to; done += take, at += take) {
            take = from - at % from < to - done ? from - at % from : to - done;
            bnn_bits_copy(y, done, x + at / from * in_words, at % from, take);
        }
    }
}

static bnn_status prepare(bnn_prepare *p) {
    const bnn_spec *in = p->step->in[0], *out = p->step->out[0];
    uint32_t from = in->dims[in->rank - 1], to = out->dims[out->rank - 1];
    int moves = in->dtype == BNN_BITS && from != to && (from % BNN_WORD_BITS || to % BNN_WORD_BITS);
    p->step->alias = !moves;
    p->step->run = moves ? run_bits : run_copy; /* the copy is for where input and output cannot share memory */
    return BNN_OK;
}

const bnn_op bnn_op_flatten = {"flatten", 1, 1, 0, 0, check_flatten, prepare};
const bnn_op bnn_op_reshape = {"reshape", 1, 1, 0, 0, check_reshape, prepare};
