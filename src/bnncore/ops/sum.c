#include "sum.h"
#include "../memory.h"

#include <string.h>

enum { WEIGHT, THRESHOLD, FLIP, SCALE, BIAS };
enum { GROUPS = 10, PAD_VALUE = 11, CONV_ZERO_ONE = 12, DENSE_ZERO_ONE = 0 };

bnn_sum bnn_sum_of(const bnn_node *node, const bnn_spec *in) {
    const bnn_tensor *const *t = node->tensors;
    int conv = t[WEIGHT]->spec.rank == 4;
    bnn_sum s = {.in = in->dtype,
                 .weight = t[WEIGHT],
                 .threshold = t[THRESHOLD],
                 .flip = t[FLIP],
                 .scale = t[SCALE],
                 .bias = t[BIAS],
                 .to_bits = t[THRESHOLD] != NULL,
                 .zero_one = node->attributes[conv ? CONV_ZERO_ONE : DENSE_ZERO_ONE] != 0,
                 .groups = 1,
                 .in_channels = in->dims[in->rank - 1],
                 .outputs = t[WEIGHT]->spec.dims[0],
                 .window = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}};
    if (conv) {
        s.window = bnn_window_of(node, in);
        s.groups = node->attributes[GROUPS];
        s.pad_value = (bnn_pad_value)node->attributes[PAD_VALUE];
    }
    s.group_channels = s.in_channels / s.groups;
    s.group_outputs = s.outputs / s.groups;
    return s;
}

static uint64_t depth(const bnn_sum *s) {
    return bnn_size_mul((uint64_t)s->window.kernel_h * s->window.kernel_w, s->group_channels);
}

int bnn_sum_exact(const bnn_sum *s) { return s->weight->spec.dtype == BNN_BITS && s->in != BNN_FLOAT32; }

uint64_t bnn_sum_macs(const bnn_sum *s) {
    return bnn_size_mul(bnn_size_mul(depth(s), s->outputs), (uint64_t)s->window.out_h * s->window.out_w);
}

void bnn_sum_weights(const bnn_sum *s, size_t tap, size_t taps, float *to) {
    size_t n = s->group_channels, words = bnn_words(n);
    const uint64_t *bits = (const uint64_t *)s->weight->data + tap * words;
    const int8_t *whole = (const int8_t *)s->weight->data + tap * n;
    if (s->weight->spec.dtype == BNN_BITS)
        for (; taps > 0; taps--, bits += words, to += n)
            for (size_t i = 0; i < n; i++) to[i] = bnn_bit_sign(bits, i);
    else if (s->weight->spec.dtype == BNN_INT8)
        for (size_t i = 0; i < taps * n; i++) to[i] = whole[i];
    else
        memcpy(to, (const float *)s->weight->data + tap * n, taps * n * sizeof *to);
}

static bnn_status check_output_tensors(const bnn_check *check, const bnn_sum *s) {
    bnn_dtype acc = bnn_sum_exact(s) ? BNN_INT32 : BNN_FLOAT32;
    BNN_TRY(bnn_check_tensor(check, THRESHOLD, "threshold", 0, acc, 1, &s->outputs));
    BNN_TRY(bnn_check_tensor(check, FLIP, "flip", 0, BNN_BITS, 1, &s->outputs));
    BNN_TRY(bnn_check_tensor(check, SCALE, "scale", 0, BNN_FLOAT32, 1, &s->outputs));
    BNN_TRY(bnn_check_tensor(check, BIAS, "bias", 0, BNN_FLOAT32, 1, &s->outputs));
    if (!s->threshold != !s->flip) return bnn_bad_node(check, "threshold and flip: one is there without the other");
    if (s->threshold && (s->scale || s->bias)) return bnn_bad_node(check, "threshold: excludes scale and bias");
    uint64_t k = depth(s);
    if (k > INT32_MAX / 2 || (bnn_sum_exact(s) && s->in == BNN_UINT8 && k * 255 >= INT32_MAX))
        return bnn_bad_node(check, "weight: sums of %llu products do not fit in 32 bits", (unsigned long long)k);
    return BNN_OK;
}

bnn_status bnn_sum_check(const bnn_check *check, bnn_dtype weights) {
    const bnn_node *node = check->node;
    int conv = node->op->attribute_count > BNN_WINDOW_ATTRIBUTES;
    BNN_TRY(bnn_check_input(check, 1u << BNN_BITS | 1u << BNN_UINT8 | 1u << BNN_FLOAT32, conv ? 3 : 1));
    const bnn_tensor *weight = node->tensors[WEIGHT];
    if (!weight) return bnn_bad_node(check, "weight: tensor is missing");
    if (weights == BNN_FLOAT32 && weight->spec.dtype == BNN_INT8) weights = BNN_INT8;
    uint32_t channels = check->in[0]->dims[conv ? 2 : 0], outputs = weight->spec.dims[0];
    uint32_t zero_one = node->attributes[conv ? CONV_ZERO_ONE : DENSE_ZERO_ONE];
    if (zero_one > 1) return bnn_bad_node(check, "zero_one: got %u, wanted 0 or 1", (unsigned)zero_one);
    if (zero_one && check->in[0]->dtype != BNN_BITS) return bnn_bad_node(check, "zero_one: only for bits");
    if (!conv) {
        BNN_TRY(bnn_check_tensor(check, WEIGHT, "weight", 1, weights, 2, (const uint32_t[]){outputs, channels}));
        bnn_sum s = bnn_sum_of(node, check->in[0]);
        BNN_TRY(check_output_tensors(check, &s));
        return bnn_check_output(check, s.to_bits ? BNN_BITS : BNN_FLOAT32, 1, &outputs);
    }
    bnn_window w;
    BNN_TRY(bnn_window_check(check, &w));
    uint32_t groups = node->attributes[GROUPS], pad = node->attributes[PAD_VALUE];
    if (groups == 0 || channels % groups || outputs % groups)
        return bnn_bad_node(check, "groups: got %u, must divide the %u input channels and the %u output channels",
                            (unsigned)groups, (unsigned)channels, (unsigned)outputs);
    if (pad > BNN_PAD_MINUS) return bnn_bad_node(check, "pad value: got %u, wanted 0, 1 or 2", (unsigned)pad);
    if (pad != BNN_PAD_ZERO && check->in[0]->dtype == BNN_UINT8)
        return bnn_bad_node(check, "pad value: uint8 input is padded with zero only");
    if (pad == BNN_PAD_MINUS && zero_one)
        return bnn_bad_node(check, "pad value: got 2, wanted 0 or 1 where zero_one is set");
    BNN_TRY(bnn_check_tensor(check, WEIGHT, "weight", 1, weights, 4,
                             (const uint32_t[]){outputs, w.kernel_h, w.kernel_w, channels / groups}));
    bnn_sum s = bnn_sum_of(node, check->in[0]);
    BNN_TRY(check_output_tensors(check, &s));
    return bnn_check_output(check, s.to_bits ? BNN_BITS : BNN_FLOAT32, 3,
                            (const uint32_t[]){w.out_h, w.out_w, outputs});
}
