/* A window that slides over an image: kernel, stride, dilation, padding, and the size that it makes. */
#ifndef BNN_WINDOW_H
#define BNN_WINDOW_H

#include "op.h"

typedef struct bnn_window {
    uint32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
    uint32_t in_h, in_w, out_h, out_w;
} bnn_window;

enum { BNN_WINDOW_ATTRIBUTES = 10 };

/* Reads attributes 0 to 9 and input 0's height and width; refuses what makes no output. */
bnn_status bnn_window_check(const bnn_check *check, bnn_window *window);

/* The same, and refuses dilation. */
bnn_status bnn_window_check_plain(const bnn_check *check, bnn_window *window);

/* The same for a node that has been checked. */
bnn_window bnn_window_of(const bnn_node *node, const bnn_spec *in);

/* Whether each output sees just the pixel at its own place. */
static inline int bnn_window_is_point(const bnn_window *w) {
    return w->kernel_h == 1 && w->kernel_w == 1 && w->stride_h == 1 && w->stride_w == 1 &&
           !(w->pad_top | w->pad_left | w->pad_bottom | w->pad_right);
}

/* One axis: the first and one past the last tap that fall inside the image, for the output at `at`. */
static inline void bnn_window_taps(uint32_t at, uint32_t stride, uint32_t dilation, uint32_t pad, uint32_t kernel,
                                   uint32_t size, uint32_t *begin, uint32_t *end) {
    int64_t first = (int64_t)at * stride - pad;
    *begin = first < 0 ? (uint32_t)((-first + dilation - 1) / dilation) : 0;
    *end = first >= size ? 0 : (uint32_t)((size - first + dilation - 1) / dilation);
    if (*end > kernel) *end = kernel;
    if (*begin > *end) *begin = *end;
}

/* The outputs of a row, begin .. end-1, whose windows lie within the image's width. */
void bnn_window_inside(const bnn_window *w, uint32_t *begin, uint32_t *end);

/* What pooling counts towards the limit on work. */
uint64_t bnn_window_comparisons(const bnn_window *w, uint64_t outputs);

#endif
