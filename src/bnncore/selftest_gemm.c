/* Self-test of bgemm: a padded image of random bits, any window, every kind of output. */
#include "selftest_rig.h"

typedef struct image {
    uint32_t height, width, kernel_h, kernel_w, stride, dilation, rows, cols;
    int down; /* where the variant can: tiles of several rows */
} image;

static int draw_shape(test *t, uint32_t round, bnn_bgemm_shape *s, image *im) {
    static const uint32_t fixed[][8] = {
        /* channels, outputs, kernel_h, kernel_w, stride, dilation, rows, cols */
        {1, 1, 1, 1, 1, 1, 1, 1},     {64, 64, 3, 3, 1, 1, 2, 2},    {63, 65, 3, 3, 1, 1, 3, 3},
        {65, 63, 1, 1, 1, 1, 1, 5},   {4, 32, 3, 3, 2, 1, 2, 3},     {3, 33, 5, 5, 1, 1, 2, 7},
        {256, 130, 1, 1, 1, 1, 1, 9}, {512, 64, 3, 3, 1, 1, 2, 3},   {4095, 70, 2, 2, 1, 1, 1, 2},
        {16383, 3, 1, 1, 1, 1, 1, 3}, {129, 96, 3, 3, 1, 2, 2, 2},   {32, 128, 3, 3, 2, 1, 3, 4},
        {1, 64, 7, 7, 2, 1, 2, 3},    {200, 200, 1, 3, 1, 1, 2, 4},  {64, 1, 3, 1, 1, 3, 3, 1},
        {320, 64, 5, 5, 1, 1, 1, 6},  {1100, 200, 1, 1, 1, 1, 2, 4}, {512, 130, 1, 3, 1, 1, 3, 5},
    };
    uint32_t v[8];
    if (round < sizeof fixed / sizeof *fixed) {
        memcpy(v, fixed[round], sizeof v);
    } else {
        v[0] = below(t, 4) ? between(t, 1, 200) : between(t, 1, 1200), v[1] = between(t, 1, 140);
        v[2] = between(t, 1, 4), v[3] = between(t, 1, 4), v[4] = between(t, 1, 3), v[5] = between(t, 1, 2);
        v[6] = between(t, 1, 3), v[7] = between(t, 1, 9);
    }
    *s = (bnn_bgemm_shape){v[0], v[2] * v[3], v[1]};
    *im = (image){(v[6] - 1) * v[4] + (v[2] - 1) * v[5] + 1,
                  (v[7] - 1) * v[4] + (v[3] - 1) * v[5] + 1,
                  v[2],
                  v[3],
                  v[4],
                  v[5],
                  v[6],
                  v[7],
                  v[3] > 1 && v[6] % 2 == 0 && below(t, 2)};
    size_t words = bnn_words(s->channels);
    return s->channels * s->taps <= BNN_BGEMM_MAX_K && words * 8 * s->taps * s->outputs <= REGION / 2 &&
           words * 8 * im->height * im->width <= REGION / 2;
}

static void run_bgemm(test *t, const bnn_bgemm_kernel *k, const bnn_bgemm_shape *s, const image *im,
                      const uint64_t *weights, const uint64_t *pixels, bnn_out out) {
    unsigned char *packed = t->region[4], *cells = t->region[5];
    size_t segment[16], words = bnn_words(s->channels), cell = k->cell_bytes(s);
    /* as a plan does it: cells for every column when taps share them, else one for each tile */
    int shared = im->kernel_w > 1;
    int down = k->pixels_per_cell == 2 && im->down;
    uint32_t step = shared || !k->cells_fill ? 1 : im->stride * k->pixels_per_cell;
    uint32_t tile_rows = down ? 2 : 1, tile_cols = down ? 1 : k->pixels_per_cell;
    size_t per_row = shared || !k->cells_fill ? im->width : (im->cols + k->pixels_per_cell - 1) / k->pixels_per_cell;
    k->weights_pack(s, weights, packed);
    if (k->cells_fill)
        for (uint32_t y = 0; y < im->height - (down ? im->stride : 0); y++)
            k->cells_fill(s, pixels + y * im->width * words, (down ? im->height - y : 1) * im->width,
                          im->stride * (down ? im->width : 1), step, cells + y * per_row * cell, per_row);
    uint32_t runs = im->dilation == 1 ? 1 : im->kernel_w;
    for (uint32_t i = 0; i < im->kernel_h * runs; i++)
        segment[i] = (i / runs * im->dilation * per_row + i % runs * im->dilation) * cell;
    bnn_bgemm_run r = {.shape = s,
                       .weights = packed,
                       .cells = k->cells_fill ? (const void *)cells : pixels,
                       .down = down,
                       .row_bytes = im->stride * tile_rows * per_row * cell,
                       .tile_bytes = im->stride * tile_cols / step * cell,
                       .rows = im->rows,
                       .cols = im->cols,
                       .segment = segment,
                       .segments = im->kernel_h * runs,
                       .segment_taps = im->kernel_w / runs,
                       .n_begin = 0,
                       .n_end = s->outputs,
                       .scratch = t->region[7],
                       .out = out};
    if (s->outputs > BNN_BLOCK && im->cols % 2) { /* in two calls, as threads do it */
        r.n_end = BNN_BLOCK;
        k->run(&r);
        r.n_begin = BNN_BLOCK, r.n_end = s->outputs;
    }
    k->run(&r);
}

/* Any link: its tables are parts of one that has room for twice the numbers, its image what is there already. */
static bnn_link draw_link(test *t, const float *tables, size_t padded, const float *there) {
    bnn_link link = {.kind = (bnn_link_kind)below(t, BNN_LINK_MULTIPLY + 1)};
    link.a = tables + below(t, (uint32_t)padded), link.b = tables + below(t, (uint32_t)padded);
    link.c = tables + below(t, (uint32_t)padded);
    link.image = link.kind >= BNN_LINK_ADD && below(t, 2);
    if (link.image) link.a = there;
    if (link.kind == BNN_LINK_PRELU && below(t, 2)) link.b = NULL;
    if (link.kind == BNN_LINK_PRELU && below(t, 2)) link.c = NULL;
    return link;
}

static void case_bgemm(test *t, uint32_t round) {
    const bnn_bgemm_kernel *k = bnn_bgemm_find(t->isa);
    bnn_bgemm_shape s;
    image im;
    if (!draw_shape(t, round, &s, &im)) return;
    size_t words = bnn_words(s.channels), padded = bnn_round_up(s.outputs, BNN_BLOCK), blocks = padded / BNN_BLOCK;
    if (k->weights_bytes(&s) > REGION || (k->cell_bytes(&s) + 64) * im.height * im.width > REGION) return;
    if (k->scratch_bytes && k->scratch_bytes(&s, im.rows, im.cols) > REGION) return;
    uint64_t *weights = (uint64_t *)(void *)t->region[2], *pixels = (uint64_t *)(void *)t->region[3];
    uint32_t style = below(t, 8);
    for (size_t i = 0; i < (size_t)s.taps * s.outputs; i++) draw_bits(t, weights + i * words, s.channels, style);
    style = below(t, 8);
    for (size_t i = 0; i < (size_t)im.height * im.width; i++) draw_bits(t, pixels + i * words, s.channels, style);

    /* two border classes, so that neighbours in a pair differ */
    int16_t *level = (int16_t *)(void *)t->region[6];
    uint64_t *flip = (uint64_t *)(void *)(level + 2 * padded);
    float *scale = (float *)(void *)(flip + blocks), *bias = scale + padded;
    uint16_t row_class[3] = {0, 1, 0}, col_class[9] = {0, 1, 1, 0, 0, 0, 1, 0, 1};
    if (im.rows > 1)
        for (uint32_t x = 0; x < 9; x++) col_class[x] = 0;
    int32_t sum = (int32_t)(s.channels * s.taps);
    for (size_t i = 0; i < 2 * padded; i++) {
        level[i] = -1;
        if (i % padded < s.outputs) level[i] = (int16_t)(sum / 2 + (int32_t)below(t, 41) - 20);
    }
    draw_bits(t, flip, padded, 0);
    if (s.outputs % 64) flip[blocks - 1] &= bnn_tail_mask(s.outputs);
    for (size_t i = 0; i < padded; i++) {
        scale[i] = ((float)below(t, 2001) - 1000.0f) / 617.0f;
        bias[i] = ((float)below(t, 2001) - 1000.0f) / 7.0f;
    }
    for (int kind = BNN_OUT_BITS; kind <= BNN_OUT_COUNTS; kind++) {
        unsigned char *expected, *got;
        blank(t, &expected, &got);
        size_t stride = kind == BNN_OUT_BITS ? blocks : kind == BNN_OUT_FLOAT ? s.outputs : padded;
        size_t bytes = im.rows * im.cols * stride * (kind == BNN_OUT_BITS ? 8 : 4);
        if (bytes + 2 * GUARD > REGION) continue;
        bnn_out out = {.kind = (bnn_out_kind)kind,
                       .level = level,
                       .row_class = row_class,
                       .col_class = col_class,
                       .flip = flip,
                       .scale = scale,
                       .bias = bias,
                       .shift = (uint32_t)kind,
                       .data = expected,
                       .row_stride = stride * im.cols,
                       .stride = stride};
        if (kind == BNN_OUT_COUNTS) memset(expected, 0, bytes), memset(got, 0, bytes);
        bnn_link links[4];
        if (kind == BNN_OUT_FLOAT) {
            float *there = (float *)(void *)expected;
            for (size_t i = 0; i < bytes / sizeof *there; i++) there[i] = any_float(t);
            memcpy(got, expected, bytes);
            out.link_count = below(t, 5);
            for (uint32_t i = 0; i < out.link_count; i++) links[i] = draw_link(t, scale, padded, there);
            out.links = links;
        }
        run_bgemm(t, &bnn_bgemm_ref, &s, &im, weights, pixels, out);
        out.data = got;
        for (uint32_t i = 0; i < out.link_count; i++)
            if (links[i].image) links[i].a = (const float *)(const void *)got;
        run_bgemm(t, k, &s, &im, weights, pixels, out);
        if (kind == BNN_OUT_COUNTS) /* what a variant leaves in the pads past `outputs` is its own affair */
            for (size_t i = 0; i < (size_t)im.rows * im.cols; i++)
                memset(got + (i * padded + s.outputs) * 4, 0, (padded - s.outputs) * 4);
        if (out.link_count) same_nans(expected, bytes / 4), same_nans(got, bytes / 4);
        static const char *const name[] = {"bgemm bits", "bgemm float", "bgemm counts"};
        const uint32_t sizes[] = {im.rows,     im.cols,     s.outputs, s.channels,
                                  im.kernel_h, im.kernel_w, im.stride, im.dilation};
        judge(t, t->region[0], t->region[1], bytes, name[kind], sizes, 8);
    }
}

const test_family bnn_selftest_gemm[1] = {{"bgemm", 18, case_bgemm}};
