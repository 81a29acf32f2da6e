/* Axes in another order, and channels in another order; the second is (groups, C / groups) to (C / groups, groups). */
#include "op.h"

#include <string.h>

/* What few bits become, each `groups` bits from the last. */
typedef struct spread {
    uint32_t bits;
    uint64_t apart[256];
} spread;

static const uint32_t moved = 1u << BNN_BITS | 1u << BNN_FLOAT32;

static bnn_status check_transpose(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, moved, -1));
    const bnn_spec *in = c->in[0];
    uint32_t dims[BNN_MAX_RANK] = {0}, seen = 0;
    for (uint32_t i = 0; i < BNN_MAX_RANK; i++) {
        uint32_t axis = c->node->attributes[i];
        if (i >= in->rank ? axis != 0 : axis >= in->rank || (seen >> axis & 1))
            return bnn_bad_node(c, "axis %u: got %u, wanted each of 0 to %u once, and zeros behind them", (unsigned)i,
                                (unsigned)axis, (unsigned)in->rank - 1);
        if (i < in->rank) seen |= 1u << axis, dims[i] = in->dims[axis];
    }
    return bnn_check_output(c, in->dtype, in->rank, dims);
}

static bnn_status check_shuffle(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, moved, -1));
    const bnn_spec *in = c->in[0];
    uint32_t groups = c->node->attributes[0], channels = in->dims[in->rank - 1];
    if (groups == 0 || channels % groups)
        return bnn_bad_node(c, "groups: got %u, must divide the %u channels", (unsigned)groups, (unsigned)channels);
    return bnn_check_output(c, in->dtype, in->rank, in->dims);
}

/* One bit of each of `count` rows, which are `stride` words apart. */
static void put_column(const uint64_t *rows, size_t bit, size_t stride, size_t count, uint64_t *y) {
    rows += bit / BNN_WORD_BITS, bit %= BNN_WORD_BITS;
    for (size_t i = 0; i < count; i += BNN_WORD_BITS) {
        size_t n = count - i < BNN_WORD_BITS ? count - i : BNN_WORD_BITS;
        uint64_t word = 0;
        for (size_t k = 0; k < n; k++) word |= (rows[(i + k) * stride] >> bit & 1) << k;
        *y++ = word;
    }
}

/* An output row is what the last axis holds; where its numbers lie in the input follows from the strides. */
static void run_transpose(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0], *out = step->out[0];
    const uint32_t *axes = step->node->attributes;
    uint32_t rank = in->rank, last = rank - 1;
    size_t stride[BNN_MAX_RANK], elements = (size_t)bnn_spec_elements(in), count = out->dims[last], begin, end;
    size_t in_words = bnn_words(in->dims[last]), out_words = bnn_words(count), rows = elements / count;
    size_t in_bytes = (size_t)bnn_spec_bytes(in);
    stride[last] = 1;
    for (uint32_t i = last; i-- > 0;) stride[i] = stride[i + 1] * in->dims[i + 1];
    bnn_share(job, rows * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const unsigned char *x = (const unsigned char *)job->in[0] + row / rows * in_bytes;
        size_t from = 0, left = row % rows, step_size = stride[axes[last]];
        for (uint32_t i = last; i-- > 0; left /= out->dims[i]) from += left % out->dims[i] * stride[axes[i]];
        if (in->dtype == BNN_FLOAT32) {
            float *y = (float *)job->out[0] + row * count;
            if (step_size == 1)
                memcpy(y, (const float *)(const void *)x + from, count * sizeof *y);
            else
                for (size_t i = 0; i < count; i++) y[i] = ((const float *)(const void *)x)[from + i * step_size];
            continue;
        }
        const uint64_t *words = (const uint64_t *)(const void *)x;
        uint64_t *y = (uint64_t *)job->out[0] + row * out_words;
        if (axes[last] == last) {
            memcpy(y, words + from / count * in_words, in_words * BNN_WORD_BYTES);
            continue;
        }
        put_column(words + from / in->dims[last] * in_words, from % in->dims[last],
                   step_size / in->dims[last] * in_words, count, y);
    }
}

static void shuffle_floats(const float *x, size_t groups, size_t each, float *y) {
    for (size_t g = 0; g < groups; g++)
        for (size_t j = 0; j < each; j++) y[j * groups + g] = x[g * each + j];
}

/* Up to 8 neighbouring bits of a group at once: a table puts them `groups` apart, within 64 bits. */
static void shuffle_bits(const spread *s, const uint64_t *x, size_t groups, size_t each, uint64_t *y) {
    for (size_t g = 0; g < groups; g++)
        for (size_t j = 0; j < each; j += s->bits) {
            size_t n = each - j < s->bits ? each - j : s->bits, from = g * each + j, to = j * groups + g;
            uint64_t few = x[from / 64] >> from % 64;
            if (from % 64 + n > 64) few |= x[from / 64 + 1] << (64 - from % 64);
            uint64_t apart = s->apart[few & ((1u << n) - 1)];
            y[to / 64] |= apart << to % 64;
            if (to % 64 + (n - 1) * groups >= 64) y[to / 64 + 1] |= apart >> (64 - to % 64);
        }
}

static void run_shuffle(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    size_t groups = step->node->attributes[0], channels = in->dims[in->rank - 1], each = channels / groups, begin, end;
    size_t words = bnn_words(channels);
    bnn_share(job, (size_t)bnn_spec_elements(in) / channels * job->batch, 1, &begin, &end);
    if (in->dtype == BNN_BITS)
        memset((uint64_t *)job->out[0] + begin * words, 0, (end - begin) * words * BNN_WORD_BYTES);
    for (size_t row = begin; row < end; row++)
        if (in->dtype == BNN_BITS)
            shuffle_bits(step->state, (const uint64_t *)job->in[0] + row * words, groups, each,
                         (uint64_t *)job->out[0] + row * words);
        else
            shuffle_floats((const float *)job->in[0] + row * channels, groups, each,
                           (float *)job->out[0] + row * channels);
}

static bnn_status prepare_transpose(bnn_prepare *p) {
    p->step->run = run_transpose;
    return BNN_OK;
}

static bnn_status prepare_shuffle(bnn_prepare *p) {
    p->step->run = run_shuffle;
    if (p->step->in[0]->dtype != BNN_BITS) return BNN_OK;
    BNN_TRY(bnn_prepare_state(p, sizeof(spread)));
    spread *s = p->step->state;
    uint32_t groups = p->step->node->attributes[0];
    s->bits = groups <= 8 ? 8 : groups <= 32 ? 64 / groups : 1;
    for (uint32_t few = 0; few < 1u << s->bits; few++)
        for (uint32_t i = 0; i < s->bits; i++) s->apart[few] |= (uint64_t)(few >> i & 1) << i * groups;
    return BNN_OK;
}

const bnn_op bnn_op_transpose = {"transpose", 1, 1, 0, BNN_MAX_RANK, check_transpose, prepare_transpose};
const bnn_op bnn_op_channel_shuffle = {"channel_shuffle", 1, 1, 0, 1, check_shuffle, prepare_shuffle};
