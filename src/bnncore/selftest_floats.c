/* Self-test of the families that make or take floats and integers. */
#include "selftest_rig.h"

static void case_fgemm(test *t, uint32_t round) {
    static const uint32_t fixed[][3] = {{1, 1, 1}, {1, 16, 16}, {6, 9, 17}, {7, 27, 64}, {2, 5, 33}, {13, 3, 15}};
    uint32_t m = between(t, 1, 20), segment_k = between(t, 1, 40), n = between(t, 1, 80);
    if (round < 6) m = fixed[round][0], segment_k = fixed[round][1], n = fixed[round][2];
    uint32_t segments = between(t, 1, 4), k = segments * segment_k, x_stride = between(t, 1, k + 2);
    uint32_t y_stride = n + below(t, 3);
    size_t segment[4], end = 0;
    for (uint32_t i = 0; i < segments; i++) segment[i] = end + below(t, 5), end = segment[i] + segment_k;
    float *x = (float *)(void *)t->region[2], *rows = (float *)(void *)t->region[3];
    for (size_t i = 0; i < (size_t)m * x_stride + end; i++) x[i] = (float)(int32_t)below(t, 65) - 32.0f;
    int signs = round & 2;
    for (size_t i = 0; i < (size_t)n * k; i++)
        rows[i] = signs ? below(t, 2) ? 1.0f : -1.0f : (float)(int32_t)below(t, 65) - 32.0f;
    const bnn_fgemm_kernel *kernel[2] = {&bnn_fgemm_ref, bnn_fgemm_find(t->isa)};
    unsigned char *out[2];
    blank(t, &out[0], &out[1]);
    for (int i = 0; i < 2; i++) {
        const bnn_fgemm_form *form = signs ? &kernel[i]->signs : &kernel[i]->floats;
        if (form->bytes(k, n) > REGION) return;
        form->pack(rows, round & 1 ? rows : NULL, k, n, t->region[4 + i]);
        form->run(&(bnn_fgemm_rows){x, x_stride, m, segment, segments, segment_k}, t->region[4 + i], n,
                  (float *)(void *)out[i], y_stride);
    }
    judge(t, t->region[0], t->region[1], (size_t)m * y_stride * 4, "fgemm",
          (const uint32_t[]){m, n, k, (uint32_t)signs}, 4);
}

static void case_igemm(test *t, uint32_t round) {
    static const uint32_t fixed[][4] = {{1, 1, 1, 1},   {3, 3, 64, 5},    {3, 9, 33, 4},
                                        {7, 21, 31, 9}, {1, 128, 32, 20}, {1, 129, 65, 35}};
    uint32_t segments = between(t, 1, 7), segment_bytes = between(t, 1, 60), n = between(t, 1, 140),
             pixels = between(t, 1, 36);
    if (round < 6)
        segments = fixed[round][0], segment_bytes = fixed[round][1], n = fixed[round][2], pixels = fixed[round][3];
    bnn_igemm_shape s = {segments, segment_bytes, n};
    size_t segment[7], row = segment_bytes + between(t, 0, 9), depth = (size_t)segments * segment_bytes,
                       padded = bnn_round_up(n, BNN_BLOCK);
    for (uint32_t i = 0; i < segments; i++) segment[i] = i * row * 4;
    uint8_t *x = t->region[2];
    int8_t *rows = (int8_t *)t->region[3];
    uint32_t style = below(t, 4); /* all of them at the extremes, too: sums in 16 bits must not overflow */
    for (size_t i = 0; i < 16384; i++) x[i] = style == 1 ? 255 : (uint8_t)draw(t);
    for (size_t i = 0; i < depth * n; i++) rows[i] = style == 1 ? (i / depth & 1 ? 1 : -1) : below(t, 2) ? 1 : -1;
    const bnn_igemm_kernel *kernel[2] = {&bnn_igemm_ref, bnn_igemm_find(t->isa)};
    unsigned char *out[2];
    blank(t, &out[0], &out[1]);
    for (int i = 0; i < 2; i++) {
        kernel[i]->weights_pack(&s, rows, t->region[4 + i]);
        kernel[i]->run(&s, x, segment_bytes, pixels, segment, t->region[4 + i], (int32_t *)(void *)out[i], padded);
        for (size_t p = 0; p < pixels; p++) memset(out[i] + (p * padded + n) * 4, 0, (padded - n) * 4);
    }
    judge(t, t->region[0], t->region[1], pixels * padded * 4, "igemm",
          (const uint32_t[]){pixels, segments, segment_bytes, n}, 4);
}

static void case_settle(test *t, uint32_t round) {
    uint32_t n = round < 8 ? 31 + round * 17 : between(t, 1, 300), pixels = between(t, 1, 9);
    size_t padded = bnn_round_up(n, BNN_BLOCK);
    const bnn_settle_kernel *k = bnn_settle_find(t->isa);
    int32_t *acc = (int32_t *)(void *)t->region[2], *least = (int32_t *)(void *)t->region[3];
    float *scale = (float *)(void *)t->region[4], *bias = scale + padded;
    uint64_t *flip = (uint64_t *)(void *)t->region[5];
    for (size_t i = 0; i < padded * pixels; i++) acc[i] = below(t, 8) ? (int32_t)below(t, 41) - 20 : (int32_t)draw(t);
    for (size_t i = 0; i < padded; i++) {
        least[i] = below(t, 8) ? (int32_t)below(t, 41) - 20 : below(t, 2) ? INT32_MAX : INT32_MIN;
        scale[i] = ((float)below(t, 2001) - 1000.0f) / 617.0f;
        bias[i] = ((float)below(t, 2001) - 1000.0f) / 7.0f;
    }
    draw_bits(t, flip, n, 0);
    unsigned char *expected, *got;
    blank(t, &expected, &got);
    bnn_settle_ref.bits(acc, pixels, n, least, flip, (uint64_t *)(void *)expected);
    k->bits(acc, pixels, n, least, flip, (uint64_t *)(void *)got);
    judge(t, t->region[0], t->region[1], pixels * bnn_words(n) * 8, "settle bits", (const uint32_t[]){pixels, n}, 2);
    blank(t, &expected, &got);
    bnn_settle_ref.floats(acc, pixels, n, scale, bias, (float *)(void *)expected);
    k->floats(acc, pixels, n, scale, bias, (float *)(void *)got);
    judge(t, t->region[0], t->region[1], (size_t)pixels * n * 4, "settle floats", (const uint32_t[]){pixels, n}, 2);
}

static void case_vector(test *t, uint32_t round) {
    uint32_t n = round < 10 ? 1 + round * 7 : between(t, 1, 300), rows = between(t, 1, 9), stride = n + below(t, 3);
    uint32_t repeat = stride == n ? between(t, 1, 4) : 1;
    const bnn_vector_kernel *k[2] = {&bnn_vector_ref, bnn_vector_find(t->isa)};
    const bnn_rows r = {rows, n, stride, repeat}, plain = {rows, n, stride, 1};
    float *x = (float *)(void *)t->region[2], *with = (float *)(void *)t->region[3];
    float *tables = (float *)(void *)t->region[4];
    for (size_t i = 0; i < (size_t)rows * stride; i++) x[i] = any_float(t), with[i] = any_float(t);
    size_t length = (size_t)n * repeat;
    for (size_t i = 0; i < 3 * length; i++) tables[i] = i % length < n ? any_float(t) : tables[i - n];
    uint32_t functions = 6 + 3 * BNN_MERGES + BNN_UNARIES;
    for (uint32_t f = 0; f < functions; f++) {
        uint32_t merge = f - 3, unary = f - 3 - 3 * BNN_MERGES;
        unsigned char *out[2];
        blank(t, &out[0], &out[1]);
        for (int i = 0; i < 2; i++) {
            float *y = (float *)(void *)out[i];
            if (f == 0)
                k[i]->affine(i ? &r : &plain, x, tables, tables + length, y);
            else if (f == 1)
                k[i]->prelu(i ? &r : &plain, x, tables, round & 1 ? tables + length : NULL,
                            round & 2 ? tables + 2 * length : NULL, y);
            else if (f == 2)
                k[i]->clip(i ? &r : &plain, x, tables, tables + length, y);
            else if (merge < BNN_MERGES)
                k[i]->merge[merge](&r, x, with, round & 1 ? stride : 0, y);
            else if (merge < 2 * BNN_MERGES)
                k[i]->merge_pixel[merge - BNN_MERGES](&r, x, with, y);
            else if (merge < 3 * BNN_MERGES) /* in place */
                memcpy(y, x, (size_t)rows * stride * sizeof *y),
                    k[i]->merge[merge - 2 * BNN_MERGES](&r, y, y, stride, y);
            else if (unary < BNN_UNARIES)
                k[i]->unary[unary](x, n, y);
            else if (unary == BNN_UNARIES)
                k[i]->softmax(x, n, y);
            else if (unary == BNN_UNARIES + 1)
                k[i]->affine_bits(&r, (const uint64_t *)(const void *)x, bnn_words(n), tables, tables + length, y);
            else
                k[i]->affine_bytes(i ? &r : &plain, t->region[2], tables, tables + length, y);
        }
        same_nans(out[0], (size_t)rows * stride), same_nans(out[1], (size_t)rows * stride);
        judge(t, t->region[0], t->region[1], (size_t)rows * stride * 4, "vector", (const uint32_t[]){f, rows, n}, 3);
    }
}

const test_family bnn_selftest_floats[4] = {
    {"fgemm", 6, case_fgemm}, {"igemm", 6, case_igemm}, {"settle", 8, case_settle}, {"vector", 10, case_vector}};
