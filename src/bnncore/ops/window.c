#include "window.h"
#include "../memory.h"

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

bnn_status bnn_window_check_plain(const bnn_check *check, bnn_window *w) {
    BNN_TRY(bnn_window_check(check, w));
    if (w->dilation_h == 1 && w->dilation_w == 1) return BNN_OK;
    return bnn_bad_node(check, "dilation: got %u, %u, wanted 1", (unsigned)w->dilation_h, (unsigned)w->dilation_w);
}

void bnn_window_inside(const bnn_window *w, uint32_t *begin, uint32_t *end) {
    int64_t last = (int64_t)w->in_w - 1 + w->pad_left - (int64_t)(w->kernel_w - 1) * w->dilation_w;
    *begin = (w->pad_left + w->stride_w - 1) / w->stride_w;
    *end = last < 0 ? 0 : (uint32_t)(last / w->stride_w) + 1;
    if (*begin > w->out_w) *begin = w->out_w;
    if (*end > w->out_w) *end = w->out_w;
    if (*end < *begin) *end = *begin;
}

uint64_t bnn_window_comparisons(const bnn_window *w, uint64_t outputs) {
    uint64_t rows = w->kernel_h < w->in_h ? w->kernel_h : w->in_h, cols = w->kernel_w < w->in_w ? w->kernel_w : w->in_w;
    return bnn_size_mul(rows * cols, outputs);
}
