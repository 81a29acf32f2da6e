/* Binary matrix product, portable C: the definition that the other variants are compared with.
 *
 * A cell is the packed pixel itself and the weights stay as they are in the file, so nothing is prepared. Each dot
 * product walks its segments word by word.
 */
#include "lanes_ref.h"
#include "links.h"
#include "popcount_ref.h"

#include <string.h>

static size_t row_words(const bnn_bgemm_shape *shape) { return bnn_words(shape->channels) * shape->taps; }

static size_t weights_bytes(const bnn_bgemm_shape *shape) { return row_words(shape) * shape->outputs * BNN_WORD_BYTES; }

static void weights_pack(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed) {
    memcpy(packed, rows, weights_bytes(shape));
}

static size_t cell_bytes(const bnn_bgemm_shape *shape) { return bnn_words(shape->channels) * BNN_WORD_BYTES; }

static uint32_t pop_of(const bnn_bgemm_run *r, const unsigned char *pixel, const uint64_t *weight) {
    size_t words = (size_t)r->segment_taps * bnn_words(r->shape->channels);
    uint32_t pop = 0;
    for (uint32_t s = 0; s < r->segments; s++, weight += words) {
        const uint64_t *a = (const uint64_t *)(const void *)(pixel + r->segment[s]);
        for (size_t w = 0; w < words; w++) pop += bnn_popcount64(a[w] ^ weight[w]);
    }
    return pop;
}

static void put(const bnn_out *out, uint32_t y, uint32_t x, uint32_t n, uint32_t pop, const int16_t *level) {
    size_t at = y * out->row_stride + x * out->stride;
    if (out->kind == BNN_OUT_BITS) {
        uint64_t *word = (uint64_t *)out->data + at + n / 64;
        uint64_t bit = (uint64_t)((int32_t)pop <= level[n]) ^ (out->flip[n / 64] >> n % 64 & 1);
        *word = (n % 64 ? *word : 0) | bit << n % 64; /* channels come in order, so the first one clears the word */
    } else if (out->kind == BNN_OUT_FLOAT) {
        float product = (float)(level[n] - 2 * (int32_t)pop) * out->scale[n];
        float sum = product + out->bias[n];
        links_do(out->links, out->link_count, (link_place){1, 1, 1, n, at + n, NULL}, &sum);
        ((float *)out->data)[at + n] = sum;
    } else {
        ((int32_t *)out->data)[at + n] += (int32_t)(pop << out->shift);
    }
}

static void run(const bnn_bgemm_run *r) {
    size_t weight_words = row_words(r->shape), padded = bnn_round_up(r->shape->outputs, BNN_BLOCK);
    for (uint32_t y = 0; y < r->rows; y++) {
        for (uint32_t x = 0; x < r->cols; x++) {
            const unsigned char *pixel = (const unsigned char *)r->cells + y * r->row_bytes + x * r->tile_bytes;
            const int16_t *level = NULL;
            if (r->out.kind != BNN_OUT_COUNTS)
                level = r->out.level + padded * (size_t)(r->out.row_class[y] + r->out.col_class[x]);
            for (uint32_t n = r->n_begin; n < r->n_end; n++) {
                const uint64_t *weight = (const uint64_t *)r->weights + n * weight_words;
                put(&r->out, y, x, n, pop_of(r, pixel, weight), level);
            }
        }
    }
}

const bnn_bgemm_kernel bnn_bgemm_ref = {
    .isa = BNN_ISA_ref,
    .pixels_per_cell = 1,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = NULL,
    .scratch_bytes = NULL,
    .run = run,
};
