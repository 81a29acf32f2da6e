/* The mean over windows. */
#include "float_pool.h"

enum { COUNT_INCLUDE_PAD = BNN_WINDOW_ATTRIBUTES };

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, 3));
    bnn_window w;
    BNN_TRY(bnn_window_check_plain(c, &w));
    if (c->node->attributes[COUNT_INCLUDE_PAD] > 1)
        return bnn_bad_node(c, "count_include_pad: got %u, wanted 0 or 1",
                            (unsigned)c->node->attributes[COUNT_INCLUDE_PAD]);
    return bnn_check_output(c, BNN_FLOAT32, 3, (const uint32_t[]){w.out_h, w.out_w, c->in[0]->dims[2]});
}

static bnn_status prepare(bnn_prepare *p) {
    return bnn_float_pool_prepare(p,
                                  p->step->node->attributes[COUNT_INCLUDE_PAD] ? BNN_POOL_MEAN : BNN_POOL_MEAN_INSIDE);
}

const bnn_op bnn_op_average_pool2d = {"average_pool2d", 1, 1, 0, BNN_WINDOW_ATTRIBUTES + 1, check, prepare};
