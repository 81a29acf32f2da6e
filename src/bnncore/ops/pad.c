/* Images made larger: a border of one value, and each pixel repeated. */
#include "op.h"

#include <math.h>
#include <string.h>

enum { TOP, LEFT, BOTTOM, RIGHT, VALUE };

static const uint32_t moved = 1u << BNN_BITS | 1u << BNN_FLOAT32;

static float pad_value(const bnn_node *node) {
    float value;
    memcpy(&value, &node->attributes[VALUE], sizeof value);
    return value;
}

static size_t pixel_bytes(const bnn_spec *v) {
    return v->dtype == BNN_BITS ? bnn_words(v->dims[2]) * BNN_WORD_BYTES : v->dims[2] * sizeof(float);
}

static bnn_status check_pad(const bnn_check *c) {
    static const char *const name[] = {"top", "left", "bottom", "right"};
    BNN_TRY(bnn_check_input(c, moved, 3));
    const bnn_spec *in = c->in[0];
    const uint32_t *a = c->node->attributes;
    for (int i = 0; i < 4; i++)
        if (a[i] >> 16) return bnn_bad_node(c, "%s: got %u, wanted 0 to 65535", name[i], (unsigned)a[i]);
    float value = pad_value(c->node);
    if (!isfinite(value)) return bnn_bad_node(c, "value: wanted a finite float32");
    if (in->dtype == BNN_BITS && value != 1.0f && value != -1.0f)
        return bnn_bad_node(c, "value: got %g, wanted +1 or -1 for bits", (double)value);
    return bnn_check_output(
        c, in->dtype, 3,
        (const uint32_t[]){in->dims[0] + a[TOP] + a[BOTTOM], in->dims[1] + a[LEFT] + a[RIGHT], in->dims[2]});
}

static bnn_status check_upsample(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, moved, 3));
    const bnn_spec *in = c->in[0];
    const uint32_t *a = c->node->attributes;
    uint32_t dims[3] = {0, 0, in->dims[2]};
    for (int i = 0; i < 2; i++) {
        uint64_t size = (uint64_t)in->dims[i] * a[i];
        if (a[i] == 0 || a[i] >> 16 || size >> 31)
            return bnn_bad_node(c, "scale %s: got %u, wanted 1 to 65535, and fewer than 2^31 pixels",
                                i ? "width" : "height", (unsigned)a[i]);
        dims[i] = (uint32_t)size;
    }
    return bnn_check_output(c, in->dtype, 3, dims);
}

/* `count` pixels of the border. */
static unsigned char *put_border(const bnn_step *step, size_t count, unsigned char *to) {
    const bnn_spec *out = step->out[0];
    float value = pad_value(step->node);
    size_t bytes = pixel_bytes(out), channels = out->dims[2], words = bnn_words(channels);
    for (size_t p = 0; p < count; p++, to += bytes) {
        if (out->dtype == BNN_FLOAT32)
            for (size_t i = 0; i < channels; i++) memcpy(to + i * sizeof value, &value, sizeof value);
        else
            for (size_t i = 0; i < words; i++) {
                uint64_t word = value < 0 ? 0 : i + 1 < words ? ~UINT64_C(0) : bnn_tail_mask(channels);
                memcpy(to + i * sizeof word, &word, sizeof word);
            }
    }
    return to;
}

static void run_pad(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0], *out = step->out[0];
    const uint32_t *a = step->node->attributes;
    size_t bytes = pixel_bytes(in), row_bytes = in->dims[1] * bytes, begin, end;
    bnn_share(job, (size_t)out->dims[0] * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        size_t y = row % out->dims[0], image = row / out->dims[0];
        unsigned char *to = (unsigned char *)job->out[0] + row * out->dims[1] * bytes;
        if (y < a[TOP] || y >= a[TOP] + (size_t)in->dims[0]) {
            put_border(step, out->dims[1], to);
            continue;
        }
        to = put_border(step, a[LEFT], to);
        memcpy(to, (const unsigned char *)job->in[0] + (image * in->dims[0] + y - a[TOP]) * row_bytes, row_bytes);
        put_border(step, a[RIGHT], to + row_bytes);
    }
}

static void run_upsample(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0], *out = step->out[0];
    const uint32_t *scale = step->node->attributes;
    size_t bytes = pixel_bytes(in), begin, end;
    bnn_share(job, (size_t)out->dims[0] * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end;
         row++) { /* an image has a whole number of them, so the batch is one tall image */
        const unsigned char *from = (const unsigned char *)job->in[0] + row / scale[0] * in->dims[1] * bytes;
        unsigned char *to = (unsigned char *)job->out[0] + row * out->dims[1] * bytes;
        for (size_t x = 0; x < in->dims[1]; x++, from += bytes)
            for (uint32_t i = 0; i < scale[1]; i++, to += bytes) memcpy(to, from, bytes);
    }
}

static bnn_status prepare_pad(bnn_prepare *p) {
    p->step->run = run_pad;
    return BNN_OK;
}

static bnn_status prepare_upsample(bnn_prepare *p) {
    p->step->run = run_upsample;
    return BNN_OK;
}

const bnn_op bnn_op_pad = {"pad", 1, 1, 0, 5, check_pad, prepare_pad};
const bnn_op bnn_op_upsample2d = {"upsample2d", 1, 1, 0, 2, check_upsample, prepare_upsample};
