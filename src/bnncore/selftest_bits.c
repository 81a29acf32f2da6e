/* Self-test of the other families that work on bits. */
#include "selftest_rig.h"

static void case_bgemv(test *t, uint32_t round) {
    static const uint32_t fixed[][2] = {{1, 1},   {1, 64}, {3, 7},   {4, 4},   {8, 5},   {9, 3},
                                        {64, 17}, {65, 9}, {256, 8}, {64, 70}, {72, 67}, {128, 65}};
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

const test_family bnn_selftest_bits[4] = {
    {"bgemv", 12, case_bgemv}, {"pack", 16, case_pack}, {"pool", 12, case_pool}, {"bdepth", 12, case_bdepth}};
