/* The mean of each channel over the image. Bits are counted eight channels at a time, in the bytes of a word, which
 * hold up to 255 pixels before they must be emptied. */
#include "op.h"

#include <string.h>

static bnn_status check(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_BITS | 1u << BNN_FLOAT32, 3));
    return bnn_check_output(c, BNN_FLOAT32, 1, &c->in[0]->dims[2]);
}

/* How many of the pixels have each of a word's 64 bits. */
static void count_word(const uint64_t *words, size_t stride, size_t pixels, uint32_t ones[64]) {
    memset(ones, 0, 64 * sizeof *ones);
    while (pixels) {
        size_t some = pixels < 255 ? pixels : 255;
        uint64_t bytes[8] = {0}; /* byte b of bytes[i] counts bit 8 * b + i */
        for (size_t p = 0; p < some; p++, words += stride)
            for (int i = 0; i < 8; i++) bytes[i] += *words >> i & UINT64_C(0x0101010101010101);
        for (int bit = 0; bit < 64; bit++) ones[bit] += bytes[bit % 8] >> bit / 8 * 8 & 255;
        pixels -= some;
    }
}

static void mean_bits(const uint64_t *image, size_t pixels, size_t channels, float *out) {
    size_t words = bnn_words(channels);
    for (size_t w = 0; w < words; w++) {
        uint32_t ones[64];
        count_word(image + w, words, pixels, ones);
        for (size_t c = w * 64; c < channels && c < w * 64 + 64; c++)
            out[c] = (float)(2 * (int64_t)ones[c % 64] - (int64_t)pixels) / (float)pixels;
    }
}

static void mean_floats(const float *image, size_t pixels, size_t channels, float *out) {
    memset(out, 0, channels * sizeof *out);
    for (size_t p = 0; p < pixels; p++, image += channels)
        for (size_t c = 0; c < channels; c++) out[c] += image[c];
    for (size_t c = 0; c < channels; c++) out[c] /= (float)pixels;
}

static void run(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    size_t pixels = (size_t)in->dims[0] * in->dims[1], channels = in->dims[2], begin, end;
    size_t in_bytes = (size_t)bnn_spec_bytes(in);
    bnn_share(job, job->batch, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const unsigned char *image = (const unsigned char *)job->in[0] + i * in_bytes;
        float *out = (float *)job->out[0] + i * channels;
        if (in->dtype == BNN_BITS)
            mean_bits((const uint64_t *)(const void *)image, pixels, channels, out);
        else
            mean_floats((const float *)(const void *)image, pixels, channels, out);
    }
}

static bnn_status prepare(bnn_prepare *p) {
    p->step->run = run;
    return BNN_OK;
}

const bnn_op bnn_op_global_average_pool = {"global_average_pool", 1, 1, 0, 0, check, prepare};
