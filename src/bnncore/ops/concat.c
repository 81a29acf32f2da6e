/* Values one after the other along an axis, and a part of one: rows of numbers, or of bits that need not fill words. */
#include "op.h"
#include "bits_copy.h"
#include "../error.h"

#include <string.h>

enum { AXIS, START, COUNT };
enum { BAND_BYTES = 16 << 10 }; /* of output in one go, which stay in the first cache for the followers */

/* The output of a concatenation as `wholes` of `bytes` bytes and `pixels` pixels each, `most` of them at a time. */
typedef struct state {
    void (*join)(const bnn_step *step, const bnn_job *job, size_t at, size_t n, void *y);
    size_t wholes, bytes, pixels, most;
} state;

static const uint32_t moved = 1u << BNN_BITS | 1u << BNN_FLOAT32;

/* What lies behind one index of the axis: bytes, or, along the last axis of bits, single bits. */
static size_t unit_of(const bnn_spec *v, uint32_t axis) {
    bnn_spec inner = {.dtype = v->dtype, .rank = v->rank - axis - 1};
    memcpy(inner.dims, v->dims + axis + 1, inner.rank * sizeof *inner.dims);
    if (v->dtype == BNN_BITS && inner.rank == 0) return 1;
    return inner.rank ? (size_t)bnn_spec_bytes(&inner) : sizeof(float);
}

static size_t outer_of(const bnn_spec *v, uint32_t axis) {
    size_t outer = 1;
    for (uint32_t i = 0; i < axis; i++) outer *= v->dims[i];
    return outer;
}

static int single_bits(const bnn_spec *v, uint32_t axis) { return v->dtype == BNN_BITS && axis + 1 == v->rank; }

static bnn_status check_axis(const bnn_check *c) {
    uint32_t axis = c->node->attributes[AXIS];
    BNN_TRY(bnn_check_input(c, moved, -1));
    if (axis >= c->in[0]->rank)
        return bnn_bad_node(c, "axis: got %u, wanted 0 to %u", (unsigned)axis, (unsigned)c->in[0]->rank - 1);
    return BNN_OK;
}

static bnn_status check_concat(const bnn_check *c) {
    BNN_TRY(check_axis(c));
    const bnn_spec *first = c->in[0];
    uint32_t axis = c->node->attributes[AXIS], dims[BNN_MAX_RANK];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->node->input_count; i++) {
        const bnn_spec *in = c->in[i];
        bnn_spec alike = *in;
        char got[BNN_SPEC_TEXT], want[BNN_SPEC_TEXT];
        if (in->rank == first->rank) alike.dims[axis] = first->dims[axis], sum += in->dims[axis];
        if (in->dtype != first->dtype || in->rank != first->rank ||
            memcmp(alike.dims, first->dims, sizeof alike.dims) != 0)
            return bnn_bad_node(c, "input %u: got %s, wanted it like the first, %s, but for axis %u", (unsigned)i,
                                bnn_spec_text(in, got), bnn_spec_text(first, want), (unsigned)axis);
    }
    if (sum >> 31) return bnn_bad_node(c, "axis %u: the inputs together have 2^31 or more", (unsigned)axis);
    memcpy(dims, first->dims, sizeof dims);
    dims[axis] = (uint32_t)sum;
    return bnn_check_output(c, first->dtype, first->rank, dims);
}

static bnn_status check_slice(const bnn_check *c) {
    BNN_TRY(check_axis(c));
    const bnn_spec *in = c->in[0];
    const uint32_t *a = c->node->attributes;
    uint32_t size = in->dims[a[AXIS]], dims[BNN_MAX_RANK];
    if (a[COUNT] == 0 || a[START] >= size || a[COUNT] > size - a[START])
        return bnn_bad_node(c, "start and count: got %u and %u, wanted a part of 0 .. %u, not empty",
                            (unsigned)a[START], (unsigned)a[COUNT], (unsigned)size - 1);
    memcpy(dims, in->dims, sizeof dims);
    dims[a[AXIS]] = a[COUNT];
    return bnn_check_output(c, in->dtype, in->rank, dims);
}

/* Along the last axis: whole pixels of the output, from number `pixel` on. */
static void join_channels(const bnn_step *step, const bnn_job *job, size_t pixel, size_t pixels, void *y) {
    size_t channels = step->out[0]->dims[step->out[0]->rank - 1], words = bnn_words(channels);
    int bits = step->out[0]->dtype == BNN_BITS;
    if (bits) memset(y, 0, pixels * words * BNN_WORD_BYTES);
    for (size_t k = 0, at = 0; k < step->node->input_count; k++) {
        size_t count = step->in[k]->dims[step->in[k]->rank - 1], in_words = bnn_words(count);
        const float *x = (const float *)job->in[k] + (bits ? 0 : pixel * count);
        const uint64_t *from = (const uint64_t *)job->in[k] + (bits ? pixel * in_words : 0);
        for (size_t i = 0; i < pixels; i++)
            if (bits && at % BNN_WORD_BITS == 0) /* a part's bits past its last are zeros, as the next one's place is */
                for (size_t w = 0; w < in_words; w++)
                    ((uint64_t *)y)[i * words + at / BNN_WORD_BITS + w] = from[i * in_words + w];
            else if (bits)
                bnn_bits_copy((uint64_t *)y + i * words, at, from + i * in_words, 0, count);
            else
                memcpy((float *)y + i * channels + at, x + i * count, count * sizeof *x);
        at += count;
    }
}

/* Along another axis: units, each what lies behind one index of it, from number `unit` on. */
static void join_units(const bnn_step *step, const bnn_job *job, size_t unit, size_t units, void *y) {
    uint32_t axis = step->node->attributes[AXIS];
    size_t bytes = unit_of(step->out[0], axis), size = step->out[0]->dims[axis];
    for (size_t done = 0, take; done < units; done += take) {
        size_t row = (unit + done) / size, at = (unit + done) % size, k = 0;
        while (at >= step->in[k]->dims[axis]) at -= step->in[k++]->dims[axis];
        size_t count = step->in[k]->dims[axis];
        take = count - at < units - done ? count - at : units - done;
        memcpy((unsigned char *)y + done * bytes, (const unsigned char *)job->in[k] + (row * count + at) * bytes,
               take * bytes);
    }
}

static void run_concat(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *out = step->out[0];
    const state *st = step->state;
    size_t begin, end;
    bnn_share(job, st->wholes * job->batch, 1, &begin, &end);
    for (size_t at = begin; at < end; at += st->most) {
        size_t n = end - at < st->most ? end - at : st->most;
        st->join(step, job, at, n, (unsigned char *)job->out[0] + (step->local_out ? 0 : at * st->bytes));
        bnn_follow(job, &(bnn_part){at * st->pixels, n * st->pixels, 0, out->dims[out->rank - 1]});
    }
}

static void run_slice(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    const uint32_t *a = step->node->attributes;
    size_t unit = unit_of(in, a[AXIS]), size = in->dims[a[AXIS]], begin, end;
    bnn_share(job, outer_of(in, a[AXIS]) * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        if (single_bits(in, a[AXIS])) {
            uint64_t *y = (uint64_t *)job->out[0] + row * bnn_words(a[COUNT]);
            memset(y, 0, bnn_words(a[COUNT]) * BNN_WORD_BYTES);
            bnn_bits_copy(y, 0, (const uint64_t *)job->in[0] + row * bnn_words(size), a[START], a[COUNT]);
        } else {
            memcpy((unsigned char *)job->out[0] + row * a[COUNT] * unit,
                   (const unsigned char *)job->in[0] + (row * size + a[START]) * unit, a[COUNT] * unit);
        }
    }
}

static bnn_status prepare_concat(bnn_prepare *p) {
    const bnn_spec *out = p->step->out[0];
    uint32_t axis = p->step->node->attributes[AXIS], channels = out->dims[out->rank - 1];
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = p->step->state;
    size_t pixels = (size_t)bnn_spec_elements(out) / channels;
    int last = axis + 1 == out->rank;
    st->join = last ? join_channels : join_units;
    st->wholes = last ? pixels : outer_of(out, axis + 1);
    st->pixels = pixels / st->wholes;
    st->bytes = (size_t)bnn_spec_bytes(out) / st->wholes;
    st->most = BAND_BYTES / st->bytes + 1;
    p->step->run = run_concat;
    p->step->bands = 1;
    p->step->band_pixels = st->most * st->pixels;
    return BNN_OK;
}

static bnn_status prepare_slice(bnn_prepare *p) {
    p->step->run = run_slice;
    return BNN_OK;
}

const bnn_op bnn_op_concat = {"concat", 2, 1, 0, 1, check_concat, prepare_concat, BNN_NODE_INPUTS};
const bnn_op bnn_op_slice = {"slice", 1, 1, 0, 3, check_slice, prepare_slice};
