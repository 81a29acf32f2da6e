/* Values one after the other along an axis, and a part of one: rows of numbers, or of bits that need not fill words. */
#include "op.h"
#include "bits_copy.h"
#include "../error.h"

#include <string.h>

enum { AXIS, START, COUNT };
enum { BAND_BYTES = 16 << 10 };

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

/* A row is what lies behind the axes before this one. Input k's rows go to bit or byte `at` of the output's. */
static void concat_rows(const bnn_step *step, const bnn_job *job, size_t row, size_t rows, void *y) {
    uint32_t axis = step->node->attributes[AXIS];
    size_t unit = unit_of(step->out[0], axis), out_count = step->out[0]->dims[axis], out_words = bnn_words(out_count);
    int bits = single_bits(step->out[0], axis);
    if (bits) memset(y, 0, rows * out_words * BNN_WORD_BYTES);
    for (size_t k = 0, at = 0; k < step->node->input_count; at += step->in[k++]->dims[axis]) {
        size_t count = step->in[k]->dims[axis], words = bnn_words(count), bytes = count * unit;
        for (size_t i = 0; i < rows; i++)
            if (bits)
                bnn_bits_copy((uint64_t *)y + i * out_words, at, (const uint64_t *)job->in[k] + (row + i) * words, 0,
                              count);
            else
                memcpy((unsigned char *)y + (i * out_count + at) * unit,
                       (const unsigned char *)job->in[k] + (row + i) * bytes, bytes);
    }
}

static size_t row_bytes(const bnn_spec *v, uint32_t axis) {
    return single_bits(v, axis) ? bnn_words(v->dims[axis]) * BNN_WORD_BYTES : v->dims[axis] * unit_of(v, axis);
}

/* Rows in one go, which stay in the first cache for the followers. */
static size_t band_rows(const bnn_spec *out, uint32_t axis) { return BAND_BYTES / row_bytes(out, axis) + 1; }

static void run_concat(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *out = step->out[0];
    uint32_t axis = step->node->attributes[AXIS], channels = out->dims[out->rank - 1];
    size_t bytes = row_bytes(out, axis), most = band_rows(out, axis), begin, end;
    size_t pixels = outer_of(out, out->rank - 1) / outer_of(out, axis); /* of a row; of single pixels, 1 */
    bnn_share(job, outer_of(out, axis) * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row += most) {
        size_t rows = end - row < most ? end - row : most;
        concat_rows(step, job, row, rows, (unsigned char *)job->out[0] + (step->local_out ? 0 : row * bytes));
        bnn_follow(job, &(bnn_part){row * pixels, rows * pixels, 0, channels});
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
    uint32_t axis = p->step->node->attributes[AXIS];
    p->step->run = run_concat;
    p->step->bands = 1;
    if (axis + 1 == p->step->out[0]->rank) p->step->band_pixels = band_rows(p->step->out[0], axis);
    return BNN_OK;
}

static bnn_status prepare_slice(bnn_prepare *p) {
    p->step->run = run_slice;
    return BNN_OK;
}

const bnn_op bnn_op_concat = {"concat", 2, 1, 0, 1, check_concat, prepare_concat, BNN_NODE_INPUTS};
const bnn_op bnn_op_slice = {"slice", 1, 1, 0, 3, check_slice, prepare_slice};
