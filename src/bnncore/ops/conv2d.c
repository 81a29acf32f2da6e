/* Dense layers and convolutions: four operators, one check, and a road for exact integers and one for floats. */
#include "sum.h"

static bnn_status check_binary(const bnn_check *check) { return bnn_sum_check(check, BNN_BITS); }

static bnn_status check_real(const bnn_check *check) { return bnn_sum_check(check, BNN_FLOAT32); }

static bnn_status prepare(bnn_prepare *p) {
    bnn_sum sum = bnn_sum_of(p->step->node, p->step->in[0]);
    p->step->macs = bnn_sum_macs(&sum);
    if (!bnn_sum_exact(&sum)) {
        if (bnn_depthwise_fits(&sum)) return bnn_depthwise_prepare(p);
        return p->fast_math && bnn_winograd_fits(&sum, p->choices) ? bnn_winograd_prepare(p) : bnn_float_sum_prepare(p);
    }
    if (bnn_uint8_sum_fits(&sum, p->choices)) return bnn_uint8_sum_prepare(p);
    if (sum.in == BNN_BITS) p->step->binary_macs = p->step->macs;
    if (bnn_binary_depthwise_fits(&sum, p->choices)) return bnn_binary_depthwise_prepare(p);
    return bnn_binary_sum_prepare(p);
}

enum { SLOTS = 0x1f };

const bnn_op bnn_op_binary_conv2d = {"binary_conv2d", 1, 1, SLOTS, 13, check_binary, prepare};
const bnn_op bnn_op_binary_dense = {"binary_dense", 1, 1, SLOTS, 1, check_binary, prepare};
const bnn_op bnn_op_conv2d = {"conv2d", 1, 1, SLOTS, 12, check_real, prepare};
const bnn_op bnn_op_dense = {"dense", 1, 1, SLOTS, 0, check_real, prepare};
