/* Numbers to bits, portable C: the definition that the other variants are compared with. */
#include "../kernels.h"

#include <string.h>

static void f32(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits) {
    size_t words = bnn_words(channels);
    memset(bits, 0, pixels * words * BNN_WORD_BYTES);
    for (size_t p = 0; p < pixels; p++, x += channels, bits += words)
        for (size_t c = 0; c < channels; c++) bits[c / 64] |= (uint64_t)(low[c] <= x[c] && x[c] <= high[c]) << c % 64;
}

static void u8(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits) {
    size_t words = bnn_words(channels);
    memset(bits, 0, pixels * words * BNN_WORD_BYTES);
    for (size_t p = 0; p < pixels; p++, x += channels, bits += words)
        for (size_t c = 0; c < channels; c++) bits[c / 64] |= (uint64_t)(low[c] <= x[c] && x[c] <= high[c]) << c % 64;
}

static void planes(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words) {
    size_t words = bnn_words(channels);
    for (size_t b = 0; b < 8; b++) memset(bits + b * plane_words, 0, pixels * words * BNN_WORD_BYTES);
    for (size_t p = 0; p < pixels; p++, x += channels, bits += words)
        for (size_t c = 0; c < channels; c++)
            for (size_t b = 0; b < 8; b++) bits[b * plane_words + c / 64] |= (uint64_t)(x[c] >> b & 1) << c % 64;
}

const bnn_pack_kernel bnn_pack_ref = {.isa = BNN_ISA_ref, .f32 = f32, .u8 = u8, .planes = planes};
