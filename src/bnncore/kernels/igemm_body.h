/* uint8 pixels times +-1 weights, for instruction sets that multiply pairs of bytes into words: igemm_<isa>.c includes
 * its bytes_<isa>.h and then this.
 *
 * words_dot multiplies a broadcast pair of pixel bytes with a pair of weights for each of a vector's outputs and adds
 * the two: at most 510 either way, so 64 steps add up in 16 bits before they must be widened. A tile is 4 pixels and
 * two vectors of outputs, or one where that covers the last ones: a step loads 2 vectors of weights, broadcasts 4
 * pairs, and does 8 multiplications and 8 additions.
 */
#ifndef BNN_IGEMM_BODY_H
#define BNN_IGEMM_BODY_H

#include "../kernels.h"

#include <string.h>

/* gcc would move the sums to other registers and back in each step. */
#if defined(__GNUC__) && !defined(__clang__)
#define IN_PLACE(x) __asm__("" : "+v"(x))
#else
#define IN_PLACE(x) (void)(x)
#endif

enum { OUTPUTS = BYTES / 2, PANEL = 2 * OUTPUTS, PIXELS = 4, STEPS = 64 };

static size_t pairs(const bnn_igemm_shape *s) { return (size_t)(s->segment_bytes + 1) / 2; }

/* Outputs in the panel that starts at n: two vectors, or one where that covers the last ones. */
static uint32_t panel_width(const bnn_igemm_shape *s, uint32_t n) {
    return s->outputs - n <= OUTPUTS ? OUTPUTS : PANEL;
}

static size_t weights_bytes(const bnn_igemm_shape *s) {
    return bnn_round_up(s->outputs, OUTPUTS) * s->segments * pairs(s) * 2;
}

/* packed: panels of [segments][pairs][outputs][2], zeros past the outputs and past an odd segment's end */
static void weights_pack(const bnn_igemm_shape *s, const int8_t *rows, void *packed) {
    const size_t depth = (size_t)s->segments * s->segment_bytes;
    int8_t *to = packed;
    for (uint32_t n = 0; n < s->outputs; n += PANEL)
        for (size_t at = 0; at < s->segments; at++)
            for (size_t pair = 0; pair < pairs(s); pair++)
                for (size_t lane = 0; lane < panel_width(s, n); lane++)
                    for (size_t i = pair * 2; i < pair * 2 + 2; i++) {
                        const int used = n + lane < s->outputs && i < s->segment_bytes;
                        *to++ = used ? rows[(n + lane) * depth + at * s->segment_bytes + i] : 0;
                    }
}

static inline bytes pair_at(const uint8_t *x) {
    int16_t pair;
    memcpy(&pair, x, sizeof pair);
    return words_all(pair);
}

/* A vector of sums of 16 bits into memory, or onto what is there, in 32 bits. */
static inline void widen(int32_t *y, bytes sum, int add) {
    bytes low = ints_of_words(bytes_low(sum)), high = ints_of_words(bytes_high(sum));
    if (add) {
        low = ints_add(low, bytes_load_any(y));
        high = ints_add(high, bytes_load_any(y + OUTPUTS / 2));
    }
    bytes_store_any(y, low);
    bytes_store_any(y + OUTPUTS / 2, high);
}

/* `tile` pixels and `vectors` of outputs, both constants. */
UNROLLED void run_tile(const bnn_igemm_shape *s, const int tile, const int vectors, const uint8_t *x,
                       size_t pixel_bytes, const size_t *segment, const int8_t *w, int32_t *y, size_t y_stride) {
    bytes sum[PIXELS][2];
    int steps = 0, widened = 0;
    for (int p = 0; p < tile; p++)
        for (int v = 0; v < vectors; v++) sum[p][v] = bytes_zero();
    for (uint32_t at = 0; at < s->segments; at++) {
        const uint8_t *from = x + segment[at];
        for (size_t pair = 0; pair < pairs(s); pair++, from += 2, w += vectors * BYTES) {
            const bytes w0 = bytes_load_any(w), w1 = vectors > 1 ? bytes_load_any(w + BYTES) : w0;
            for (int p = 0; p < tile; p++) {
                const bytes a = pair_at(from + (size_t)p * pixel_bytes);
                sum[p][0] = words_add(sum[p][0], words_dot(a, w0));
                IN_PLACE(sum[p][0]);
                if (vectors > 1) {
                    sum[p][1] = words_add(sum[p][1], words_dot(a, w1));
                    IN_PLACE(sum[p][1]);
                }
            }
            if (++steps == STEPS) {
                for (int p = 0; p < tile; p++)
                    for (int v = 0; v < vectors; v++) {
                        widen(y + (size_t)p * y_stride + v * OUTPUTS, sum[p][v], widened);
                        sum[p][v] = bytes_zero();
                    }
                widened = 1;
                steps = 0;
            }
        }
    }
    for (int p = 0; p < tile; p++)
        for (int v = 0; v < vectors; v++) widen(y + (size_t)p * y_stride + v * OUTPUTS, sum[p][v], widened);
}

/* All pixels in tiles, the last of which may repeat some; where there are too few for one, singly. */
UNROLLED void run_panel(const bnn_igemm_shape *s, const int vectors, const uint8_t *x, size_t pixel_bytes,
                        size_t pixels, const size_t *segment, const int8_t *w, int32_t *y, size_t y_stride) {
    for (size_t p = 0; p < pixels && pixels >= PIXELS; p += PIXELS) {
        const size_t first = p + PIXELS <= pixels ? p : pixels - PIXELS;
        run_tile(s, PIXELS, vectors, x + first * pixel_bytes, pixel_bytes, segment, w, y + first * y_stride, y_stride);
    }
    for (size_t p = 0; p < pixels && pixels < PIXELS; p++)
        run_tile(s, 1, vectors, x + p * pixel_bytes, pixel_bytes, segment, w, y + p * y_stride, y_stride);
}

static void run(const bnn_igemm_shape *s, const uint8_t *x, size_t pixel_bytes, size_t pixels, const size_t *segment,
                const void *packed, int32_t *y, size_t y_stride) {
    const int8_t *w = packed;
    for (uint32_t n = 0; n < s->outputs; n += PANEL, w += s->segments * pairs(s) * 2 * PANEL) {
        if (panel_width(s, n) == PANEL)
            run_panel(s, 2, x, pixel_bytes, pixels, segment, w, y + n, y_stride);
        else
            run_panel(s, 1, x, pixel_bytes, pixels, segment, w, y + n, y_stride);
    }
}

#endif
