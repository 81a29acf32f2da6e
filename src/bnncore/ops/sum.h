/* A layer that sums products, dense or convolution: what its node says, and what its sums become.
 *
 * A dense layer is a 1x1 convolution of a 1x1 image. An acc is an exact integer where weights are bits and the input is
 * bits or uint8, and a float32 otherwise (binary_sum.c, float_sum.c).
 */
#ifndef BNN_SUM_H
#define BNN_SUM_H

#include "window.h"

typedef enum bnn_pad_value { BNN_PAD_ZERO, BNN_PAD_PLUS, BNN_PAD_MINUS } bnn_pad_value;

typedef struct bnn_sum {
    bnn_window window;
    uint32_t groups, in_channels, outputs;  /* of the whole layer */
    uint32_t group_channels, group_outputs; /* of one group */
    bnn_pad_value pad_value;
    bnn_dtype in;
    int to_bits;  /* the output is bits */
    int zero_one; /* the input's bits count as 0 and 1 */
    const bnn_tensor *weight, *threshold, *flip, *scale, *bias;
} bnn_sum;

bnn_sum bnn_sum_of(const bnn_node *node, const bnn_spec *in);
/* Everything about the node; `weights` is the dtype of its weights. */
bnn_status bnn_sum_check(const bnn_check *check, bnn_dtype weights);

/* Whether sums of K = taps * group_channels products of this input are exact integers in int32. */
int bnn_sum_exact(const bnn_sum *sum);
uint64_t bnn_sum_macs(const bnn_sum *sum);
/* The weights of `taps` taps as floats, from tap number `tap` on, counted through all outputs. */
void bnn_sum_weights(const bnn_sum *sum, size_t tap, size_t taps, float *to);
static inline float bnn_sum_pad(const bnn_sum *sum) {
    return sum->pad_value == BNN_PAD_PLUS ? 1.0f : sum->pad_value == BNN_PAD_MINUS ? -1.0f : 0.0f;
}

bnn_status bnn_binary_sum_prepare(bnn_prepare *prepare);
/* Whether uint8_sum.c takes it: a convolution of uint8 with short sums. */
int bnn_uint8_sum_fits(const bnn_sum *sum, const bnn_choices *choices);
bnn_status bnn_uint8_sum_prepare(bnn_prepare *prepare);
bnn_status bnn_float_sum_prepare(bnn_prepare *prepare);
/* Whether winograd.c takes it: a convolution of float32 with wide rows and long kernel rows. */
int bnn_winograd_fits(const bnn_sum *sum, const bnn_choices *choices);
bnn_status bnn_winograd_prepare(bnn_prepare *prepare);
/* Whether depthwise.c takes it: float32 input, and each channel by itself. */
int bnn_depthwise_fits(const bnn_sum *sum);
bnn_status bnn_depthwise_prepare(bnn_prepare *prepare);
/* Whether binary_depthwise.c takes it: bits, and each channel by itself or thin groups. */
int bnn_binary_depthwise_fits(const bnn_sum *sum, const bnn_choices *choices);
bnn_status bnn_binary_depthwise_prepare(bnn_prepare *prepare);

#endif
