/* Numbers to bits by a threshold for each channel. */
#include "binarize.h"
#include "../memory.h"

#include <math.h>

typedef struct state {
    const bnn_pack_kernel *pack;
    size_t channels;
    float *low, *high;
    uint8_t *low8, *high8; /* the same, for uint8 */
} state;

void bnn_ranges(const bnn_tensor *threshold, const bnn_tensor *flip, float *low, float *high) {
    const float *t = threshold->data;
    for (size_t c = 0; c < threshold->spec.dims[0]; c++) {
        int falls = bnn_bit_get(flip->data, c);
        low[c] = falls ? -INFINITY : t[c];
        high[c] = falls ? t[c] : INFINITY;
    }
}

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_UINT8 | 1u << BNN_FLOAT32, -1));
    const bnn_spec *in = c->in[0];
    const uint32_t *channels = &in->dims[in->rank - 1];
    BNN_TRY(bnn_check_tensor(c, 0, "threshold", 1, BNN_FLOAT32, 1, channels));
    BNN_TRY(bnn_check_tensor(c, 1, "flip", 1, BNN_BITS, 1, channels));
    return bnn_check_output(c, BNN_BITS, in->rank, in->dims);
}

/* The whole numbers 0 .. 255 in [low, high], as a range that may be empty (1 .. 0). */
static void range8(float low, float high, uint8_t *low8, uint8_t *high8) {
    *low8 = 1, *high8 = 0;
    if (low > 255.0f || high < 0.0f) return;
    *low8 = low <= 0.0f ? 0 : (uint8_t)ceilf(low);
    *high8 = high >= 255.0f ? 255 : (uint8_t)floorf(high);
}

/* Some channels of each pixel are packed pixel by pixel, all of them in one go. */
static void part(const bnn_step *step, const bnn_job *job, const bnn_part *p) {
    const state *st = step->state;
    size_t words = bnn_words(st->channels), at = bnn_part_in(step, 0, p), c = p->channel;
    uint64_t *out = (uint64_t *)job->out[0] + (step->local_out ? 0 : p->pixel) * words + c / BNN_WORD_BITS;
    int whole = p->channels == st->channels;
    size_t count = whole ? p->pixels : 1;
    for (size_t i = 0; i < p->pixels; i += count, at += st->channels, out += words) {
        if (step->in[0]->dtype == BNN_UINT8)
            st->pack->u8((const uint8_t *)job->in[0] + at, count, p->channels, st->low8 + c, st->high8 + c, out);
        else
            st->pack->f32((const float *)job->in[0] + at, count, p->channels, st->low + c, st->high + c, out);
    }
}

static bnn_status prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    const bnn_spec *in = step->in[0];
    uint64_t channels = in->dims[in->rank - 1];
    BNN_TRY(bnn_prepare_state(p, bnn_size_align(sizeof(state)) + 10 * channels));
    state *st = step->state;
    st->pack = bnn_pack_find(p->isa);
    st->channels = (size_t)channels;
    st->low = (float *)(void *)((unsigned char *)step->state + bnn_size_align(sizeof(state)));
    st->high = st->low + channels;
    st->low8 = (uint8_t *)(st->high + channels);
    st->high8 = st->low8 + channels;
    bnn_ranges(step->node->tensors[0], step->node->tensors[1], st->low, st->high);
    for (size_t c = 0; c < st->channels; c++) range8(st->low[c], st->high[c], &st->low8[c], &st->high8[c]);
    step->family = "pack";
    step->isa = st->pack->isa;
    step->run = bnn_run_parts;
    step->part = part;
    step->bands = 1;
    return BNN_OK;
}

const bnn_op bnn_op_binarize = {"binarize", 1, 1, 3, 0, check, prepare};
