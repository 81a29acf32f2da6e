/* Rows of a binary image with their border, made in scratch for windows to read: all channels of a pixel, or a group's.
 */
#ifndef BNN_PADDED_H
#define BNN_PADDED_H

#include "sum.h"

typedef struct bnn_padded {
    bnn_window window;
    uint32_t in_channels;   /* of the image */
    uint32_t channels;      /* of a pixel that is made; it fills whole words */
    uint64_t border;        /* 64 bits of it */
    uint32_t planes;        /* 1 for bits, or as many as a byte of uint8 has bits */
    uint32_t pitch, phases; /* pixel x of a made row stands at x % phases * bnn_padded_phase + x / phases */
    const bnn_pack_kernel *pack;
} bnn_padded;

/* `channels` of the sum's input, in rows that hold just the columns that some window reads. */
bnn_padded bnn_padded_of(const bnn_sum *sum, uint32_t channels, uint32_t phases);

/* From a phase to the next, in pixels. */
static inline size_t bnn_padded_phase(const bnn_padded *p) { return (p->pitch + p->phases - 1) / p->phases; }
static inline size_t bnn_padded_row_words(const bnn_padded *p) {
    return bnn_padded_phase(p) * p->phases * bnn_words(p->channels);
}

/* The rows of the padded image that so many output rows read. */
static inline uint32_t bnn_padded_in_rows(const bnn_window *w, uint32_t out_rows) {
    return (out_rows - 1) * w->stride_h + (w->kernel_h - 1) * w->dilation_h + 1;
}

/* Rows first .. first+count-1 of the padded image, channels from `channel` on; a plane follows the other. */
void bnn_padded_rows(const bnn_padded *p, const void *image, uint32_t channel, int64_t first, uint32_t count,
                     uint64_t *to);
/* The same of `pixels` pixels of a row or an image without a border, each `step` behind the one before. */
void bnn_padded_pixels(const bnn_padded *p, const void *from, uint32_t channel, size_t pixels, size_t step,
                       size_t plane_words, uint64_t *to);

#endif
