/* What becomes of a layer's float32 sums, while they are in cache: they are scaled, or packed to bits. */
#ifndef BNN_FLOAT_OUT_H
#define BNN_FLOAT_OUT_H

#include "binary_sum.h"

typedef struct bnn_float_out {
    const bnn_pack_kernel *pack;
    const bnn_vector_kernel *vector;
    uint32_t outputs;
    int to_bits;
    const float *scale, *bias; /* NULL where absent; without a scale the sums began with the bias */
    float *low, *high;         /* the range that becomes +1, for bits */
} bnn_float_out;

/* Its memory, and with a carver that has some, its tables. */
void bnn_float_out_lay(bnn_float_out *out, const bnn_sum *sum, bnn_isa isa, bnn_carver *carver);
/* The bias that sums begin with, of outputs from `first` on; NULL for zeros. */
const float *bnn_float_out_begin(const bnn_sum *sum, size_t first);
/* Outputs n0 .. n1-1 of `pixels` sums, `stride` floats apart, at `sums`; `to` is where the first pixel's output begins.
 * Sums that do not become bits are there already. */
void bnn_float_out_finish(const bnn_float_out *out, size_t n0, size_t n1, float *sums, size_t stride, size_t pixels,
                          void *to);
static inline size_t bnn_float_out_pixel_bytes(const bnn_float_out *out) {
    return out->to_bits ? bnn_words(out->outputs) * BNN_WORD_BYTES : out->outputs * sizeof(float);
}

#endif
