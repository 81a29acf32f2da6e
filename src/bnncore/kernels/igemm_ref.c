/* uint8 pixels times +-1 weights, portable C: the weights of one product lie output next to output, for what SIMD a
 * compiler's baseline has. */
#include "../kernels.h"

#include <string.h>

static size_t width(const bnn_igemm_shape *s) { return bnn_round_up(s->outputs, 8); }

static size_t weights_bytes(const bnn_igemm_shape *s) { return width(s) * s->segments * s->segment_bytes; }

static void weights_pack(const bnn_igemm_shape *s, const int8_t *rows, void *packed) {
    size_t depth = (size_t)s->segments * s->segment_bytes;
    int8_t *to = packed;
    for (size_t k = 0; k < depth; k++)
        for (size_t n = 0; n < width(s); n++) *to++ = n < s->outputs ? rows[n * depth + k] : 0;
}

static void run(const bnn_igemm_shape *s, const uint8_t *x, size_t pixel_bytes, size_t pixels, const size_t *segment,
                const void *packed, int32_t *y, size_t y_stride) {
    size_t n_end = width(s);
    for (size_t p = 0; p < pixels; p++, x += pixel_bytes, y += y_stride) {
        const int8_t *w = packed;
        memset(y, 0, n_end * sizeof *y);
        for (uint32_t at = 0; at < s->segments; at++)
            for (uint32_t i = 0; i < s->segment_bytes; i++, w += n_end) {
                int32_t value = x[segment[at] + i];
                for (size_t n = 0; n < n_end; n++) y[n] += value * w[n];
            }
    }
}

const bnn_igemm_kernel bnn_igemm_ref = {
    .isa = BNN_ISA_ref, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
