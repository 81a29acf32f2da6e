/* The mean and the maximum of each channel over the image. Threads share blocks of channels. Bits are counted eight
 * channels at a time, in the bytes of a word, which hold up to 255 pixels before they must be emptied. */
#include "op.h"

#include <string.h>

typedef struct state {
    const bnn_window_kernel *kernel;
    int max;
} state;

static bnn_status check_average(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_BITS | 1u << BNN_FLOAT32, 3));
    return bnn_check_output(c, BNN_FLOAT32, 1, &c->in[0]->dims[2]);
}

static bnn_status check_max(const bnn_check *c) {
    BNN_TRY(bnn_check_input(c, 1u << BNN_FLOAT32, 3));
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

/* Channels c .. c+n-1, of which c is a word's first. */
static void mean_bits(const uint64_t *image, size_t pixels, size_t words, size_t c, size_t n, float *out) {
    for (size_t i = 0; i < n;) {
        uint32_t ones[64];
        count_word(image + (c + i) / 64, words, pixels, ones);
        for (size_t bit = 0; bit < 64 && i < n; bit++, i++)
            out[i] = (float)(2 * (int64_t)ones[bit] - (int64_t)pixels) / (float)pixels;
    }
}

static void run(const bnn_step *step, const bnn_job *job) {
    const bnn_spec *in = step->in[0];
    const state *st = step->state;
    size_t rows = in->dims[0], cols = in->dims[1], channels = in->dims[2], blocks = bnn_words(channels), begin, end;
    size_t in_bytes = (size_t)bnn_spec_bytes(in);
    bnn_share(job, blocks * job->batch, 1, &begin, &end);
    for (size_t unit = begin, some; unit < end; unit += some) {
        size_t sample = unit / blocks, c = unit % blocks * BNN_BLOCK;
        some = (sample + 1) * blocks < end ? (sample + 1) * blocks - unit : end - unit;
        size_t n = channels - c < some * BNN_BLOCK ? channels - c : some * BNN_BLOCK;
        const unsigned char *image = (const unsigned char *)job->in[0] + sample * in_bytes;
        float *y = (float *)job->out[0] + (step->local_out ? 0 : sample * channels) + c;
        bnn_window_run r = {.x = (const float *)(const void *)image + c,
                            .rows = rows,
                            .cols = cols,
                            .row = cols * channels,
                            .col = channels,
                            .pixels = 1,
                            .n = n,
                            .divisor = (float)(rows * cols),
                            .y = y};
        if (in->dtype == BNN_BITS)
            mean_bits((const uint64_t *)(const void *)image, rows * cols, blocks, c, n, y);
        else
            (st->max ? st->kernel->max : st->kernel->mean)(&r);
        bnn_follow(job, &(bnn_part){sample, 1, (uint32_t)c, (uint32_t)n});
    }
}

static bnn_status prepare(bnn_prepare *p, int max) {
    BNN_TRY(bnn_prepare_state(p, sizeof(state)));
    state *st = p->step->state;
    *st = (state){bnn_window_find(p->isa), max};
    p->step->run = run;
    p->step->bands = 1;
    p->step->band_pixels = 1;
    if (max) p->step->comparisons = bnn_spec_elements(p->step->in[0]);
    if (p->step->in[0]->dtype == BNN_BITS) return BNN_OK;
    p->step->family = "window";
    p->step->isa = st->kernel->isa;
    return BNN_OK;
}

static bnn_status prepare_average(bnn_prepare *p) { return prepare(p, 0); }

static bnn_status prepare_max(bnn_prepare *p) { return prepare(p, 1); }

const bnn_op bnn_op_global_average_pool = {"global_average_pool", 1, 1, 0, 0, check_average, prepare_average};
const bnn_op bnn_op_global_max_pool = {"global_max_pool", 1, 1, 0, 0, check_max, prepare_max};
