/* int32 sums to bits or floats, portable C: the definition that the other variants are compared with. */
#include "../kernels.h"

static void bits(const int32_t *acc, size_t pixels, size_t n, const int32_t *least, const uint64_t *flip,
                 uint64_t *out) {
    size_t words = bnn_words(n);
    for (size_t p = 0; p < pixels; p++, acc += words * 64)
        for (size_t w = 0; w < words; w++) {
            uint64_t word = 0;
            for (size_t i = w * 64; i < n && i < w * 64 + 64; i++) word |= (uint64_t)(acc[i] >= least[i]) << i % 64;
            *out++ = word ^ flip[w];
        }
}

static void floats(const int32_t *acc, size_t pixels, size_t n, const float *scale, const float *bias, float *y) {
    for (size_t p = 0; p < pixels; p++, acc += bnn_round_up(n, BNN_BLOCK), y += n)
        for (size_t i = 0; i < n; i++) {
            float product = (float)acc[i] * scale[i];
            y[i] = product + bias[i];
        }
}

const bnn_settle_kernel bnn_settle_ref = {.isa = BNN_ISA_ref, .bits = bits, .floats = floats};
