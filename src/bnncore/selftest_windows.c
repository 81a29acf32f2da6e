/* Self-test of the families that work on float32 pixels: on windows of them, and on each for itself. */
#include "selftest_rig.h"

/* Small whole numbers, so that sums are exact whether products are fused or not. */
static void draw_whole(test *t, float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = (float)(int32_t)below(t, 65) - 32.0f;
}

static void case_fdepth(test *t, uint32_t round) {
    static const uint32_t fixed[][3] = {{1, 1, 1}, {9, 64, 5}, {9, 16, 4}, {4, 33, 9}, {25, 7, 3}, {2, 127, 8}};
    uint32_t taps = between(t, 1, 12), channels = between(t, 1, 150), pixels = between(t, 1, 11);
    if (round < 6) taps = fixed[round][0], channels = fixed[round][1], pixels = fixed[round][2];
    size_t step = channels * between(t, 1, 2) + below(t, 3), span = pixels * step + channels;
    float *x = (float *)(void *)t->region[2], *tables = (float *)(void *)t->region[3];
    const float *at[25];
    draw_whole(t, x, span + 64);
    draw_whole(t, tables, (size_t)(taps + 2) * channels);
    for (uint32_t i = 0; i < taps; i++) at[i] = x + below(t, 64);
    bnn_fdepth_run r = {at, taps, channels, pixels, step, tables, NULL, NULL, NULL};
    if (round & 1) r.scale = tables + (size_t)taps * channels, r.bias = r.scale + channels;
    unsigned char *out[2];
    blank(t, &out[0], &out[1]);
    r.y = (float *)(void *)out[0], bnn_fdepth_ref.run(&r);
    r.y = (float *)(void *)out[1], bnn_fdepth_find(t->isa)->run(&r);
    judge(t, t->region[0], t->region[1], (size_t)pixels * channels * 4, "fdepth",
          (const uint32_t[]){pixels, channels, taps}, 3);
}

static void case_window(test *t, uint32_t round) {
    static const uint32_t fixed[][4] = {{1, 1, 1, 1}, {3, 3, 64, 5}, {2, 2, 63, 3}, {7, 7, 33, 1}, {1, 5, 17, 2}};
    uint32_t rows = between(t, 1, 4), cols = between(t, 1, 4), n = between(t, 1, 150), pixels = between(t, 1, 6);
    if (round < 5) rows = fixed[round][0], cols = fixed[round][1], n = fixed[round][2], pixels = fixed[round][3];
    bnn_window_run r = {.rows = rows, .cols = cols, .pixels = pixels, .n = n, .divisor = (float)between(t, 1, 50)};
    r.col = n + below(t, 3), r.step = r.col * between(t, 1, 2), r.row = r.col * cols + r.step * pixels;
    float *x = (float *)(void *)t->region[2];
    for (size_t i = 0; i < r.row * rows; i++) x[i] = any_float(t);
    r.x = x;
    for (int sum = 0; sum < 2; sum++) {
        unsigned char *out[2];
        const bnn_window_kernel *kernel[2] = {&bnn_window_ref, bnn_window_find(t->isa)};
        blank(t, &out[0], &out[1]);
        for (int i = 0; i < 2; i++) {
            r.y = (float *)(void *)out[i];
            (sum ? kernel[i]->mean : kernel[i]->max)(&r);
            same_nans(out[i], (size_t)pixels * n);
        }
        judge(t, t->region[0], t->region[1], (size_t)pixels * n * 4, sum ? "window mean" : "window max",
              (const uint32_t[]){pixels, rows, cols, n}, 4);
    }
}

static void case_norm(test *t, uint32_t round) {
    uint32_t n = round < 8 ? 1 + round * 5 : between(t, 1, 300), rows = between(t, 1, 5);
    float *x = (float *)(void *)t->region[2], *tables = (float *)(void *)t->region[3];
    int finite = (int)below(t, 2);
    for (size_t i = 0; i < (size_t)rows * n; i++) x[i] = finite ? (float)below(t, 1000) / 17.0f : any_float(t);
    for (size_t i = 0; i < 2 * (size_t)n; i++) tables[i] = ((float)below(t, 2001) - 1000.0f) / 617.0f;
    const bnn_norm_kernel *kernel[2] = {&bnn_norm_ref, bnn_norm_find(t->isa)};
    unsigned char *out[2];
    blank(t, &out[0], &out[1]);
    for (int i = 0; i < 2; i++) {
        kernel[i]->run(x, rows, n, round & 1 ? 1e-5f : 0.0f, tables, tables + n, (float *)(void *)out[i]);
        same_nans(out[i], (size_t)rows * n);
    }
    judge(t, t->region[0], t->region[1], (size_t)rows * n * 4, "norm", (const uint32_t[]){rows, n}, 2);
}

/* The way there and the way back, and one call's reach: both leave what lies past their numbers alone. */
static void case_winograd(test *t, uint32_t round) {
    uint32_t taps = 3 + (round & 1), tile = bnn_winograd_tile(taps), points = bnn_winograd_points(taps),
             n = round < 8 ? 1 + round * 5 : between(t, 1, 150);
    uint32_t tiles = between(t, 1, 5), pixels = tiles * tile - below(t, tile);
    size_t next = n + below(t, 9), point = tiles * next, stride = n + below(t, 3);
    float *x = (float *)(void *)t->region[2];
    for (size_t i = 0; i < (size_t)(tiles * tile + points) * n; i++) x[i] = any_float(t);
    const bnn_winograd_kernel *kernel[2] = {&bnn_winograd_ref, bnn_winograd_find(t->isa)};
    unsigned char *out[2];
    blank(t, &out[0], &out[1]);
    for (int i = 0; i < 2; i++) {
        kernel[i]->input(taps, x, n, tiles, (float *)(void *)out[i], next, point);
        same_nans(out[i], points * point);
    }
    judge(t, t->region[0], t->region[1], points * point * 4, "winograd input", (const uint32_t[]){taps, n, tiles}, 3);
    blank(t, &out[0], &out[1]);
    for (int i = 0; i < 2; i++) {
        kernel[i]->output(taps, x, (size_t)tiles * n, n, pixels, (float *)(void *)out[i], stride);
        same_nans(out[i], pixels * stride);
    }
    judge(t, t->region[0], t->region[1], pixels * stride * 4, "winograd output", (const uint32_t[]){taps, n, pixels},
          3);
}

const test_family bnn_selftest_windows[4] = {
    {"fdepth", 6, case_fdepth}, {"window", 5, case_window}, {"norm", 8, case_norm}, {"winograd", 8, case_winograd}};
