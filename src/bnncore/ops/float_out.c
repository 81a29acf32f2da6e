#include "float_out.h"
#include "binarize.h"

void bnn_float_out_lay(bnn_float_out *out, const bnn_sum *s, bnn_isa isa, bnn_carver *carver) {
    uint64_t range = s->to_bits ? (uint64_t)s->outputs * sizeof(float) : 0;
    *out = (bnn_float_out){.pack = bnn_pack_find(isa),
                           .vector = bnn_vector_find(isa),
                           .outputs = s->outputs,
                           .to_bits = s->to_bits,
                           .scale = s->scale ? s->scale->data : NULL,
                           .bias = s->bias ? s->bias->data : NULL};
    out->low = bnn_carve(carver, range);
    out->high = bnn_carve(carver, range);
    if (carver->memory && s->to_bits) bnn_ranges(s->threshold, s->flip, out->low, out->high);
}

const float *bnn_float_out_begin(const bnn_sum *s, size_t first) {
    return s->bias && !s->scale ? (const float *)s->bias->data + first : NULL;
}

void bnn_float_out_finish(const bnn_float_out *out, size_t n0, size_t n1, float *sums, size_t stride, size_t pixels,
                          void *to) {
    size_t count = n1 - n0, words = bnn_words(out->outputs);
    if (out->to_bits) {
        uint64_t *bits = (uint64_t *)to + n0 / BNN_WORD_BITS;
        size_t at_once = count == out->outputs ? pixels : 1;
        for (size_t p = 0; p < pixels; p += at_once)
            out->pack->f32(sums + p * stride, at_once, count, out->low + n0, out->high + n0, bits + p * words);
        return;
    }
    const bnn_rows r = {pixels, count, stride, 1};
    if (!out->scale) return;
    out->vector->merge[BNN_MULTIPLY](&r, sums, out->scale + n0, 0, sums);
    if (out->bias) out->vector->merge[BNN_ADD](&r, sums, out->bias + n0, 0, sums);
}
