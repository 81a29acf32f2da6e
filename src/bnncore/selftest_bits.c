/* Self-test of the families that work on bits. */
#include "selftest_rig.h"

/* ---- bgemm: a padded image of random bits, any window, every kind of output ---- */

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

/* ---- the small families ---- */

static void case_bgemv(test *t, uint32_t round) {
    static const uint32_t fixed[][2] = {{1, 1}, {1, 64}, {3, 7}, {4, 4}, {8, 5}, {9, 3}, {64, 17}, {65, 9}, {256, 8}};
    uint32_t words = between(t, 1, 130), outputs = between(t, 1, 70);
    if (round < sizeof fixed / sizeof *fixed) words = fixed[round][0], outputs = fixed[round][1];
    uint64_t *a = (uint64_t *)(void *)t->region[2], *rows = (uint64_t *)(void *)t->region[3];
    draw_bits(t, a, (size_t)words * 64 - below(t, 64), below(t, 8));
    draw_bits(t, rows, (size_t)words * 64 * outputs, below(t, 8));
    unsigned char *expected, *got;
    blank(t, &expected, &got);
    bnn_bgemv_ref.run(a, rows, words, outputs, (uint32_t *)(void *)expected);
    bnn_bgemv_find(t->isa)->run(a, rows, words, outputs, (uint32_t *)(void *)got);
    judge(t, t->region[0], t->region[1], outputs * 4, "bgemv", (const uint32_t[]){words, outputs}, 2);
}

static float draw_float(test *t) {
    static const uint32_t special[] = {0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 1, 0x80000001};
    uint32_t word = special[below(t, 8)];
    float x = (float)(int32_t)below(t, 64) - 32.0f;
    if (below(t, 4) == 0) memcpy(&x, &word, sizeof x);
    return x;
}

static void case_pack(test *t, uint32_t round) {
    static const uint32_t fixed[] = {1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 192, 256, 8, 16};
    const bnn_pack_kernel *k = bnn_pack_find(t->isa);
    uint32_t channels = round < 16 ? fixed[round] : between(t, 1, 300), pixels = between(t, 1, 40);
    size_t n = (size_t)pixels * channels, words = bnn_words(channels), bytes = words * pixels * 8;
    const uint32_t sizes[] = {pixels, channels};
    unsigned char *expected, *got;

    float *x = (float *)(void *)t->region[2], *low = (float *)(void *)t->region[3], *high = low + channels;
    for (size_t i = 0; i < n; i++) x[i] = draw_float(t);
    for (size_t c = 0; c < channels; c++) low[c] = draw_float(t), high[c] = draw_float(t);
    blank(t, &expected, &got);
    bnn_pack_ref.f32(x, pixels, channels, low, high, (uint64_t *)(void *)expected);
    k->f32(x, pixels, channels, low, high, (uint64_t *)(void *)got);
    judge(t, t->region[0], t->region[1], bytes, "pack f32", sizes, 2);

    uint8_t *b = t->region[2], *blow = t->region[3], *bhigh = blow + channels;
    for (size_t i = 0; i < n; i++) b[i] = (uint8_t)draw(t);
    for (size_t c = 0; c < channels; c++)
        blow[c] = (uint8_t)(below(t, 5) * 63), bhigh[c] = (uint8_t)(255 - below(t, 5) * 63);
    blank(t, &expected, &got);
    bnn_pack_ref.u8(b, pixels, channels, blow, bhigh, (uint64_t *)(void *)expected);
    k->u8(b, pixels, channels, blow, bhigh, (uint64_t *)(void *)got);
    judge(t, t->region[0], t->region[1], bytes, "pack u8", sizes, 2);

    blank(t, &expected, &got);
    size_t plane_words = words * pixels + below(t, 3);
    bnn_pack_ref.planes(b, pixels, channels, (uint64_t *)(void *)expected, plane_words);
    k->planes(b, pixels, channels, (uint64_t *)(void *)got, plane_words);
    judge(t, t->region[0], t->region[1], plane_words * 8 * 8, "pack planes", sizes, 2);
}

static void case_pool(test *t, uint32_t round) {
    uint32_t words = round < 12 ? round + 1 : between(t, 1, 100), count = between(t, 1, 12);
    const uint64_t *src[12];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t *row = (uint64_t *)(void *)t->region[2] + (size_t)i * words;
        draw_bits(t, row, (size_t)words * 64, 0);
        src[i] = row;
    }
    uint64_t *flip = (uint64_t *)(void *)t->region[3];
    draw_bits(t, flip, (size_t)words * 64, 0);
    for (int with_flip = 0; with_flip < 2; with_flip++) {
        unsigned char *expected, *got;
        blank(t, &expected, &got);
        bnn_pool_ref.or_rows(src, count, words, with_flip ? flip : NULL, (uint64_t *)(void *)expected);
        bnn_pool_find(t->isa)->or_rows(src, count, words, with_flip ? flip : NULL, (uint64_t *)(void *)got);
        judge(t, t->region[0], t->region[1], words * 8, "pool", (const uint32_t[]){count, words}, 2);
    }
}

/* Tables need not repeat their words; a period is any multiple of a pixel's words and of 8. */
static void case_bdepth(test *t, uint32_t round) {
    static const uint32_t fixed[][3] = {{1, 1, 1},    {9, 64, 8},   {9, 65, 5},   {9, 63, 11},
                                        {9, 320, 7},  {25, 512, 3}, {49, 130, 4}, {255, 64, 3},
                                        {255, 17, 9}, {8, 129, 15}, {7, 192, 2},  {2, 64, 31}};
    uint32_t taps = below(t, 3) ? between(t, 1, 30) : 9, channels = between(t, 1, 400), pixels = between(t, 1, 20);
    if (round < 12) taps = fixed[round][0], channels = fixed[round][1], pixels = fixed[round][2];
    size_t words = bnn_words(channels), period = words * 8, n = pixels * words, kinds = (n + period - 1) / period;
    size_t offset[BNN_BDEPTH_MAX_TAPS], planes = 0, padded = words * BNN_WORD_BITS;
    for (uint32_t left = taps; left; left /= 2) planes++;
    if (taps * period * 8 > REGION) return;
    uint64_t *x = (uint64_t *)(void *)t->region[2], *weights = (uint64_t *)(void *)t->region[3],
             *level = (uint64_t *)(void *)t->region[4];
    draw_bits(t, x, (n + 64) * 64, below(t, 8));
    draw_bits(t, weights, taps * period * 64, below(t, 8));
    for (uint32_t i = 0; i < taps; i++) offset[i] = below(t, 64);
    uint16_t kind[20], class_[31];
    for (size_t i = 0; i < kinds; i++) kind[i] = (uint16_t)below(t, 2);
    for (size_t i = 0; i < pixels; i++) class_[i] = (uint16_t)below(t, 2);
    memset(level, 0, 2 * (planes + 1) * period * 8);
    for (size_t k = 0; k < 2; k++)
        for (size_t c = 0; c < period * 64; c++) {
            uint32_t at = below(t, 4) ? taps / 2 : below(t, taps + 1);
            for (size_t b = 0; b < planes; b++)
                if (at >> b & 1) bnn_bit_set(level + (k * (planes + 1) + b) * period, c);
            if (below(t, 2)) bnn_bit_set(level + (k * (planes + 1) + planes) * period, c);
        }
    float *base = (float *)(void *)t->region[5], *scale = base + 2 * padded, *bias = scale + padded;
    for (size_t c = 0; c < padded; c++) {
        base[c] = (float)below(t, 2 * taps + 1), base[padded + c] = -(float)below(t, taps);
        scale[c] = ((float)below(t, 2001) - 1000.0f) / 617.0f;
        bias[c] = ((float)below(t, 2001) - 1000.0f) / 7.0f;
    }
    const float factor = (float)between(t, 1, 2);
    for (int to_bits = 0; to_bits < 2; to_bits++) {
        const bnn_bdepth_kernel *kernel[2] = {&bnn_bdepth_ref, bnn_bdepth_find(t->isa)};
        unsigned char *out[2];
        blank(t, &out[0], &out[1]);
        for (int i = 0; i < 2; i++)
            kernel[i]->run(&(bnn_bdepth_run){.x = x,
                                             .offset = offset,
                                             .taps = taps,
                                             .planes = planes,
                                             .words = words,
                                             .period = period,
                                             .pixels = pixels,
                                             .weights = weights,
                                             .bits = to_bits ? (uint64_t *)(void *)out[i] : NULL,
                                             .level = level,
                                             .kind = kind,
                                             .floats = to_bits ? NULL : (float *)(void *)out[i],
                                             .channels = channels,
                                             .base = base,
                                             .class_ = class_,
                                             .scale = scale,
                                             .bias = bias,
                                             .factor = factor});
        judge(t, t->region[0], t->region[1], to_bits ? n * 8 : (size_t)pixels * channels * 4,
              to_bits ? "bdepth bits" : "bdepth float", (const uint32_t[]){pixels, channels, taps}, 3);
    }
}

const test_family bnn_selftest_bits[5] = {{"bgemm", 16, case_bgemm},
                                          {"bgemv", 9, case_bgemv},
                                          {"pack", 16, case_pack},
                                          {"pool", 12, case_pool},
                                          {"bdepth", 12, case_bdepth}};
