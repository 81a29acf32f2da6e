/* Integer counts to outputs. */
#include "binary_sum.h"
#include "../kernels/popcount_ref.h"
#include "../memory.h"

#include <string.h>

void *bnn_carve(bnn_carver *carver, uint64_t bytes) {
    void *piece = carver->memory ? carver->memory + carver->used : NULL;
    carver->used = bnn_size_add(carver->used, bnn_size_align(bytes));
    return piece;
}

/* Whether padded taps, gathered as -1, need to be taken back for each border class. */
static int has_classes(const bnn_sum *s) { return s->in == BNN_BITS && s->pad_value == BNN_PAD_ZERO && !s->zero_one; }

static uint32_t classify(const bnn_window *w, int axis, int classes, uint16_t *of, uint32_t (*taps)[2]) {
    uint32_t count = 0, last_begin = 0, last_end = 0, outputs = axis ? w->out_w : w->out_h;
    for (uint32_t at = 0; at < outputs; at++) {
        uint32_t begin = 0, end = 0;
        if (classes && axis)
            bnn_window_taps(at, w->stride_w, w->dilation_w, w->pad_left, w->kernel_w, w->in_w, &begin, &end);
        if (classes && !axis)
            bnn_window_taps(at, w->stride_h, w->dilation_h, w->pad_top, w->kernel_h, w->in_h, &begin, &end);
        if (count == 0 || begin != last_begin || end != last_end) {
            if (taps) taps[count][0] = begin, taps[count][1] = end;
            count++;
        }
        last_begin = begin, last_end = end;
        if (of) of[at] = (uint16_t)(count - 1);
    }
    return count;
}

uint64_t bnn_tables_least(const bnn_sum *s) {
    return bnn_size_mul((uint64_t)s->window.out_h + s->window.out_w, sizeof(uint16_t));
}

void bnn_tables_lay(bnn_tables *t, const bnn_sum *s, bnn_carver *carver) {
    const bnn_window *w = &s->window;
    int classes = has_classes(s);
    t->padded = (uint32_t)bnn_round_up(s->outputs, BNN_BLOCK);
    t->rows.of = bnn_carve(carver, bnn_size_mul(w->out_h, sizeof *t->rows.of));
    t->cols.of = bnn_carve(carver, bnn_size_mul(w->out_w, sizeof *t->cols.of));
    t->rows.count = classify(w, 0, classes, NULL, NULL);
    t->cols.count = classify(w, 1, classes, NULL, NULL);
    uint64_t rows = (uint64_t)t->rows.count * t->cols.count;
    t->base = bnn_carve(carver, bnn_size_mul(bnn_size_mul(rows, t->padded), sizeof *t->base));
    t->threshold = bnn_carve(carver, s->to_bits ? (uint64_t)t->padded * sizeof *t->threshold : 0);
    t->flip = bnn_carve(carver, s->to_bits ? t->padded / 8 : 0);
    t->scale = bnn_carve(carver, s->to_bits ? 0 : (uint64_t)t->padded * sizeof *t->scale);
    t->bias = bnn_carve(carver, s->to_bits ? 0 : (uint64_t)t->padded * sizeof *t->bias);
}

static uint32_t ones(const uint64_t *words, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += bnn_popcount64(words[i]);
    return sum;
}

/* The sum of output n's weights, as +-1, over the taps of rows [0, i) and columns [0, j), for every (i, j). */
static void sum_taps(const bnn_sum *s, uint32_t n, int32_t *prefix) {
    uint32_t kh = s->window.kernel_h, kw = s->window.kernel_w;
    size_t words = bnn_words(s->group_channels);
    const uint64_t *tap = (const uint64_t *)s->weight->data + (size_t)n * kh * kw * words;
    memset(prefix, 0, (kw + 1) * sizeof *prefix);
    for (uint32_t i = 0; i < kh; i++) {
        int32_t row = 0, *above = prefix + (size_t)i * (kw + 1), *here = above + kw + 1;
        here[0] = 0;
        for (uint32_t j = 0; j < kw; j++, tap += words) {
            row += 2 * (int32_t)ones(tap, words) - (int32_t)s->group_channels;
            here[j + 1] = above[j + 1] + row;
        }
    }
}

static void fill_base(bnn_tables *t, const bnn_sum *s, int32_t *prefix, uint32_t (*row_taps)[2],
                      uint32_t (*col_taps)[2]) {
    const bnn_window *w = &s->window;
    uint32_t pitch = w->kernel_w + 1, depth = w->kernel_h * w->kernel_w * s->group_channels;
    for (uint32_t n = 0; n < s->outputs; n++) {
        sum_taps(s, n, prefix);
        int32_t all = prefix[w->kernel_h * pitch + w->kernel_w];
        for (uint32_t r = 0; r < t->rows.count; r++)
            for (uint32_t c = 0; c < t->cols.count; c++) {
                const int32_t *top = prefix + (size_t)row_taps[r][0] * pitch,
                              *bottom = prefix + (size_t)row_taps[r][1] * pitch;
                uint32_t left = col_taps[c][0], right = col_taps[c][1];
                int32_t inside = bottom[right] - bottom[left] - top[right] + top[left];
                /* bits: dot = depth - 2 * count, and the padded taps, which stood in it as -1, are taken out; uint8
                 * and zero_one: with b a 0 / 1 bit, sum of w * b = (number of +1 weights) - popcount(w XOR b), so pads
                 * of 0 add nothing */
                int32_t base = (int32_t)depth + (has_classes(s) ? all - inside : 0);
                if (s->in == BNN_UINT8 || s->zero_one)
                    base = (s->zero_one ? 1 : 255) * (int32_t)(((int64_t)all + depth) / 2);
                t->base[((size_t)r * t->cols.count + c) * t->padded + n] = base;
            }
    }
}

int bnn_tables_fill(bnn_tables *t, const bnn_sum *s) {
    const bnn_window *w = &s->window;
    int classes = has_classes(s);
    t->factor = s->in == BNN_UINT8 || s->zero_one ? 1 : 2;
    /* classes are at most kernel size + 1 each way or the outputs, whichever is less; these three are needed just now
     */
    uint64_t taps_bytes = sizeof(uint32_t[2]) * ((uint64_t)t->rows.count + t->cols.count);
    uint64_t prefix_bytes = sizeof(int32_t) * (uint64_t)(w->kernel_h + 1) * (w->kernel_w + 1);
    unsigned char *memory = bnn_memory_new(taps_bytes + prefix_bytes);
    if (!memory) return -1;
    uint32_t(*row_taps)[2] = (uint32_t(*)[2])(void *)memory, (*col_taps)[2] = row_taps + t->rows.count;
    classify(w, 0, classes, t->rows.of, row_taps);
    classify(w, 1, classes, t->cols.of, col_taps);
    for (uint32_t y = 0; y < w->out_h; y++) t->rows.of[y] = (uint16_t)(t->rows.of[y] * t->cols.count);
    fill_base(t, s, (int32_t *)(void *)(memory + taps_bytes), row_taps, col_taps);
    bnn_memory_free(memory);
    for (uint32_t n = 0; n < s->outputs; n++) {
        if (s->to_bits) {
            /* acc <= T is not (acc >= T + 1); no acc reaches INT32_MAX, so that T + 1 may stay there */
            int32_t threshold = ((const int32_t *)s->threshold->data)[n];
            int flip = bnn_bit_get(s->flip->data, n);
            t->threshold[n] = flip && threshold < INT32_MAX ? threshold + 1 : threshold;
            if (flip) bnn_bit_set(t->flip, n);
        } else {
            t->scale[n] = s->scale ? ((const float *)s->scale->data)[n] : 1.0f;
            t->bias[n] = s->bias ? ((const float *)s->bias->data)[n] : 0.0f;
        }
    }
    return 0;
}

int64_t bnn_tables_most(const bnn_tables *t, const bnn_sum *s, uint32_t class_, size_t n) {
    int64_t most = (int64_t)t->base[(size_t)class_ * t->padded + n] - t->threshold[n]; /* factor * count */
    return s->zero_one ? most : (most - (most & 1)) / 2;
}

void bnn_tables_finish(const bnn_tables *t, const bnn_sum *s, const int32_t *count, uint32_t class_, uint32_t first,
                       uint32_t n, void *data) {
    const int32_t *base = t->base + (size_t)class_ * t->padded + first;
    if (!s->to_bits) {
        float *y = (float *)data + first;
        for (uint32_t i = 0; i < n; i++) {
            float product = (float)(base[i] - t->factor * count[i]) * t->scale[first + i];
            y[i] = product + t->bias[first + i];
        }
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = first + i;
        uint64_t bit =
            (uint64_t)(base[i] - t->factor * count[i] >= t->threshold[at]) ^ (t->flip[at / 64] >> at % 64 & 1);
        ((uint64_t *)data)[at / 64] |= bit << at % 64;
    }
}
