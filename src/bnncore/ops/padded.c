#include "padded.h"

#include <string.h>

enum { PLANES = 8 };

bnn_padded bnn_padded_of(const bnn_sum *s, uint32_t channels, uint32_t phases) {
    const bnn_window *w = &s->window;
    return (bnn_padded){.window = *w,
                        .in_channels = s->in_channels,
                        .channels = channels,
                        .border = s->pad_value == BNN_PAD_PLUS ? ~UINT64_C(0) : 0,
                        .planes = s->in == BNN_UINT8 ? PLANES : 1,
                        .pitch = (w->out_w - 1) * w->stride_w + (w->kernel_w - 1) * w->dilation_w + 1,
                        .phases = phases};
}

/* Channels from `channel` on of each pixel, moved to its first bits. */
static void take(const bnn_padded *p, const uint64_t *from, uint32_t channel, size_t pixels, size_t step,
                 uint64_t *to) {
    const size_t words = bnn_words(p->channels), shift = channel % BNN_WORD_BITS;
    const size_t last = p->channels - (words - 1) * BNN_WORD_BITS; /* bits in the last word */
    const int reaches = shift + last > BNN_WORD_BITS;              /* into one more word of the image */
    const uint64_t mask = bnn_tail_mask(p->channels);
    from += channel / BNN_WORD_BITS;
    for (size_t pixel = 0; pixel < pixels; pixel++, from += step, to += words) {
        for (size_t i = 0; i + 1 < words; i++)
            to[i] = shift ? from[i] >> shift | from[i + 1] << (BNN_WORD_BITS - shift) : from[i];
        uint64_t x = from[words - 1] >> shift;
        if (reaches) x |= from[words] << (BNN_WORD_BITS - shift);
        to[words - 1] = x & mask;
    }
}

void bnn_padded_pixels(const bnn_padded *p, const void *from, uint32_t channel, size_t pixels, size_t step,
                       size_t plane_words, uint64_t *to) {
    const size_t words = bnn_words(p->in_channels);
    if (p->planes > 1)
        p->pack->planes(from, pixels, p->in_channels, to, plane_words);
    else if (p->channels == p->in_channels && step == 1)
        memcpy(to, from, pixels * words * BNN_WORD_BYTES);
    else if (words == 1 && p->channels == p->in_channels)
        for (size_t i = 0; i < pixels; i++) to[i] = ((const uint64_t *)from)[i * step];
    else
        take(p, from, channel, pixels, step * words, to);
}

/* So many pixels of border, in every plane. */
static void fill_border(const bnn_padded *p, uint64_t *to, size_t plane_words, size_t pixels) {
    const uint64_t last = p->border & bnn_tail_mask(p->channels);
    const size_t words = bnn_words(p->channels);
    for (uint32_t plane = 0; plane < p->planes; plane++) {
        uint64_t *at = to + plane * plane_words;
        for (size_t pixel = 0; pixel < pixels; pixel++) {
            for (size_t i = 1; i < words; i++) *at++ = p->border;
            *at++ = last;
        }
    }
}

/* How many of a phase's pixels stand before pixel `end` of the row. */
static uint32_t before(const bnn_padded *p, uint32_t phase, uint32_t end) {
    return end > phase ? (end - phase + p->phases - 1) / p->phases : 0;
}

void bnn_padded_rows(const bnn_padded *p, const void *image, uint32_t channel, int64_t first, uint32_t count,
                     uint64_t *to) {
    const bnn_window *w = &p->window;
    const size_t words = bnn_words(p->channels), phase_words = bnn_padded_phase(p) * words;
    const size_t plane_words = bnn_padded_row_words(p) * count;
    const size_t pixel_bytes = p->planes > 1 ? p->in_channels : bnn_words(p->in_channels) * BNN_WORD_BYTES;
    const uint32_t left = w->pad_left < p->pitch ? w->pad_left : p->pitch;
    const uint32_t inside = p->pitch - left < w->in_w ? p->pitch - left : w->in_w;
    for (uint32_t y = 0; y < count; y++) {
        const int64_t from = first + y;
        for (uint32_t phase = 0; phase < p->phases; phase++, to += phase_words) {
            const uint32_t all = before(p, phase, p->pitch);
            if (from < 0 || from >= w->in_h || inside == 0) {
                fill_border(p, to, plane_words, all);
                continue;
            }
            const uint32_t begin = before(p, phase, left), end = before(p, phase, left + inside);
            const size_t pixel = (size_t)from * w->in_w + phase + (size_t)begin * p->phases - left;
            fill_border(p, to, plane_words, begin);
            fill_border(p, to + end * words, plane_words, all - end);
            bnn_padded_pixels(p, (const unsigned char *)image + pixel * pixel_bytes, channel, end - begin, p->phases,
                              plane_words, to + begin * words);
        }
    }
}
