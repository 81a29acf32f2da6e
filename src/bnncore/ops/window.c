#include "window.h"

bnn_window bnn_window_of(const bnn_node *node, const bnn_spec *in) {
    const uint32_t *a = node->attributes;
    bnn_window w = {a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], in->dims[0], in->dims[1], 0, 0};
    /* attributes are below 2^16, so a dilated kernel is below 2^32 and these sums fit in 64 bits */
    w.out_h = (uint32_t)(((uint64_t)w.in_h + w.pad_top + w.pad_bottom - (uint64_t)w.dilation_h * (w.kernel_h - 1) - 1) /
                         w.stride_h) +
              1;
    w.out_w = (uint32_t)(((uint64_t)w.in_w + w.pad_left + w.pad_right - (uint64_t)w.dilation_w * (w.kernel_w - 1) - 1) /
                         w.stride_w) +
              1;
    return w;
}

bnn_status bnn_window_check(const bnn_check *check, bnn_window *window) {
    static const char *const name[] = {"kernel height",   "kernel width",   "stride height", "stride width",
                                       "dilation height", "dilation width", "padding top",   "padding left",
                                       "padding bottom",  "padding right"};
    const uint32_t *a = check->node->attributes;
    for (int i = 0; i < BNN_WINDOW_ATTRIBUTES; i++)
        if (a[i] >> 16 || (i < 6 && a[i] == 0))
            return bnn_bad_node(check, "%s: got %u, wanted %d to 65535", name[i], (unsigned)a[i], i < 6);
    for (int i = 6; i < 10; i++) {
        uint64_t extent = (uint64_t)a[4 + i % 2] * (a[i % 2] - 1) + 1;
        if (a[i] >= extent)
            return bnn_bad_node(check,
                                "%s: got %u, but the dilated kernel is %llu: a window would lie on padding alone",
                                name[i], (unsigned)a[i], (unsigned long long)extent);
    }
    for (int axis = 0; axis < 2; axis++) {
        uint64_t extent = (uint64_t)a[4 + axis] * (a[axis] - 1) + 1,
                 size = (uint64_t)check->in[0]->dims[axis] + a[6 + axis] + a[8 + axis];
        if (extent > size)
            return bnn_bad_node(check, "%s: the dilated kernel is %llu, but the padded input only %llu", name[axis],
                                (unsigned long long)extent, (unsigned long long)size);
    }
    *window = bnn_window_of(check->node, check->in[0]);
    return BNN_OK;
}
