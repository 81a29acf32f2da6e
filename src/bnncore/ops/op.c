#include "op.h"
#include "../error.h"
#include "../memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BNN_OP(number, name) extern const bnn_op bnn_op_##name;
#include "ops.def"
#undef BNN_OP

const bnn_op *bnn_op_find(uint32_t number) {
    switch (number) {
#define BNN_OP(number, name)                                                                                           \
    case number:                                                                                                       \
        return &bnn_op_##name;
#include "ops.def"
#undef BNN_OP
    default:
        return NULL;
    }
}

bnn_status bnn_bad_node(const bnn_check *check, const char *format, ...) {
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return bnn_fail(check->error, BNN_E_MODEL, "layer \"%.48s\" (%s): %s", check->node->name, check->node->op->name,
                    text);
}

bnn_status bnn_op_check(const bnn_model *model, const bnn_node *node, bnn_error *error) {
    bnn_check check = {.node = node, .error = error};
    for (uint32_t i = 0; i < node->input_count; i++) check.in[i] = &model->values[node->inputs[i]];
    for (uint32_t i = 0; i < node->op->outputs; i++) check.out[i] = &model->values[node->outputs[i]];
    for (uint32_t i = 0; i < BNN_NODE_TENSORS; i++)
        if (node->tensors[i] && !(node->op->tensor_slots >> i & 1))
            return bnn_bad_node(&check, "tensor slot %u: holds a tensor, but is not used", (unsigned)i);
    for (uint32_t i = node->op->attribute_count; i < BNN_NODE_ATTRIBUTES; i++)
        if (node->attributes[i])
            return bnn_bad_node(&check, "attribute %u: got %u, wanted 0: it is not used", (unsigned)i,
                                (unsigned)node->attributes[i]);
    return node->op->check(&check);
}

enum { PART_BYTES = 16 << 10 }; /* of a step's first input: what it and its followers touch stays in the first cache */

void bnn_run_parts(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    uint32_t channels = in->rank ? in->dims[in->rank - 1] : 1;
    size_t pixels = (size_t)bnn_spec_elements(in) / channels * job->batch, begin, end;
    size_t most = PART_BYTES / sizeof(float) / channels + 1;
    bnn_share(job, pixels, 1, &begin, &end);
    for (size_t at = begin; at < end; at += most) {
        bnn_part part = {at, end - at < most ? end - at : most, 0, channels};
        step->part(step, job, &part);
        bnn_follow(job, &part);
    }
}

const void *bnn_feed_rows(bnn_feed *feed, size_t first, size_t last, size_t most, size_t row_bytes) {
    if (last > feed->last) {
        size_t kept = first < feed->last ? feed->last - first : 0;
        if (kept) memmove(feed->window, feed->window + (first - feed->first) * row_bytes, kept * row_bytes);
        feed->first = first;
        feed->last = most;
        *feed->out = (void *)((uintptr_t)feed->window - first * row_bytes);
        feed->job.first = first + kept, feed->job.last = most;
        feed->step->run(feed->step, &feed->job);
    }
    return feed->window + (first - feed->first) * row_bytes;
}

void bnn_repeat_fill(float *to, const float *table, size_t channels) {
    for (size_t i = 0; i < bnn_repeat(channels); i++, to += channels) memcpy(to, table, channels * sizeof *to);
}

bnn_status bnn_check_tensor(const bnn_check *check, uint32_t slot, const char *what, int required, bnn_dtype dtype,
                            uint32_t rank, const uint32_t *dims) {
    const bnn_tensor *t = check->node->tensors[slot];
    if (!t) return required ? bnn_bad_node(check, "%s: tensor is missing", what) : BNN_OK;
    bnn_spec wanted = {.dtype = dtype, .rank = rank};
    memcpy(wanted.dims, dims, rank * sizeof *dims);
    if (t->spec.dtype != dtype || t->spec.rank != rank || memcmp(t->spec.dims, wanted.dims, sizeof wanted.dims) != 0) {
        char got[BNN_SPEC_TEXT], want[BNN_SPEC_TEXT];
        return bnn_bad_node(check, "%s: got %s, wanted %s", what, bnn_spec_text(&t->spec, got),
                            bnn_spec_text(&wanted, want));
    }
    if (dtype == BNN_FLOAT32 && strcmp(what, "threshold") != 0) /* thresholds may be infinite; no tensor holds a NaN */
        for (size_t i = 0; i < t->bytes / sizeof(float); i++)
            if (isinf(((const float *)t->data)[i])) return bnn_bad_node(check, "%s: element %zu is infinite", what, i);
    return BNN_OK;
}

bnn_status bnn_check_input(const bnn_check *check, uint32_t dtypes, int rank) {
    const bnn_spec *in = check->in[0];
    char got[BNN_SPEC_TEXT];
    if (!(dtypes >> in->dtype & 1))
        return bnn_bad_node(check, "input: got %s, a dtype that it does not take", bnn_spec_text(in, got));
    if (rank >= 0 ? in->rank != (uint32_t)rank : in->rank == 0)
        return bnn_bad_node(check, "input: got %s, wanted rank %s%d", bnn_spec_text(in, got),
                            rank < 0 ? "at least " : "", rank < 0 ? 1 : rank);
    return BNN_OK;
}

bnn_status bnn_check_output(const bnn_check *check, bnn_dtype dtype, uint32_t rank, const uint32_t *dims) {
    bnn_spec wanted = {.dtype = dtype, .rank = rank};
    memcpy(wanted.dims, dims, rank * sizeof *dims);
    const bnn_spec *out = check->out[0];
    if (out->dtype == dtype && out->rank == rank && memcmp(out->dims, wanted.dims, sizeof wanted.dims) == 0)
        return BNN_OK;
    char got[BNN_SPEC_TEXT], want[BNN_SPEC_TEXT];
    return bnn_bad_node(check, "output: the file says %s, but the layer makes %s", bnn_spec_text(out, got),
                        bnn_spec_text(&wanted, want));
}

bnn_status bnn_prepare_fits(bnn_prepare *p, uint64_t bytes) {
    if (bytes <= p->max_bytes) return BNN_OK;
    return bnn_fail(p->error, BNN_E_LIMIT, "layer \"%.48s\" (%s): needs %llu bytes of tables, the limit leaves %llu",
                    p->step->node->name, p->step->node->op->name, (unsigned long long)bytes,
                    (unsigned long long)p->max_bytes);
}

bnn_status bnn_prepare_no_memory(const bnn_prepare *p) {
    return bnn_fail(p->error, BNN_E_MEMORY, "layer \"%.48s\": no memory to prepare it", p->step->node->name);
}

bnn_status bnn_prepare_state(bnn_prepare *p, uint64_t bytes) {
    bytes = bnn_size_align(bytes);
    BNN_TRY(bnn_prepare_fits(p, bytes));
    p->step->state = bnn_memory_new(bytes);
    if (!p->step->state)
        return bnn_fail(p->error, BNN_E_MEMORY, "layer \"%.48s\" (%s): no memory for %llu bytes", p->step->node->name,
                        p->step->node->op->name, (unsigned long long)bytes);
    p->max_bytes -= bytes;
    p->step->weight_bytes = bytes;
    return BNN_OK;
}
