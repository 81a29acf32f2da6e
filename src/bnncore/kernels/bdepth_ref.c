/* Depthwise binary convolution, portable C: the definition that the other variants are compared with. Counts stand
 * upright, bit b of 64 channels' in word b, and each tap is added to them like a carry. */
#include "../kernels.h"

static void count(const bnn_bdepth_run *r, size_t i, uint64_t *plane) {
    for (size_t b = 0; b < r->planes; b++) plane[b] = 0;
    for (size_t t = 0; t < r->taps; t++) {
        uint64_t carry = r->x[r->offset[t] + i] ^ r->weights[t * r->period + i % r->period];
        for (size_t b = 0; b < r->planes; b++) {
            uint64_t both = plane[b] & carry;
            plane[b] ^= carry;
            carry = both;
        }
    }
}

static uint64_t compare(const bnn_bdepth_run *r, size_t i, const uint64_t *plane) {
    const uint64_t *level = r->level + r->kind[i / r->period] * (r->planes + 1) * r->period + i % r->period;
    uint64_t within = ~UINT64_C(0);
    for (size_t b = 0; b < r->planes; b++, level += r->period) {
        uint64_t differ = plane[b] ^ *level;
        within = (differ & *level) | (~differ & within);
    }
    return within ^ *level;
}

static void settle(const bnn_bdepth_run *r, size_t i, const uint64_t *plane) {
    size_t pixel = i / r->words, first = i % r->words * BNN_WORD_BITS;
    const float *base = r->base + r->class_[pixel] * bnn_round_up(r->channels, BNN_BLOCK);
    for (size_t c = first; c < first + BNN_WORD_BITS && c < r->channels; c++) {
        uint32_t pop = 0;
        for (size_t b = 0; b < r->planes; b++) pop |= (uint32_t)(plane[b] >> (c - first) & 1) << b;
        float product = (base[c] - r->factor * (float)pop) * r->scale[c];
        r->floats[pixel * r->channels + c] = product + r->bias[c];
    }
}

static void run(const bnn_bdepth_run *r) {
    uint64_t plane[BNN_BDEPTH_MAX_PLANES];
    for (size_t i = 0; i < r->pixels * r->words; i++) {
        count(r, i, plane);
        if (r->bits) r->bits[i] = compare(r, i, plane);
        if (r->floats) settle(r, i, plane);
    }
}

const bnn_bdepth_kernel bnn_bdepth_ref = {.isa = BNN_ISA_ref, .run = run};
