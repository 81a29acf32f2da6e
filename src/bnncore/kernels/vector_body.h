/* Number by number over float32 rows, in plain C that the compiler turns into vectors: each vector_<isa>.c is this text
 * under that instruction set's flags. One load or two, a few operations and a store a number, so the loads bound it: 2
 * a cycle on all recent x86, 2 or 3 on ARM; llvm-mca 19 has additions, affine and PReLU at 1.0 to 1.3 times that (gcc's
 * PReLU on cortex-a72 1.4, where a load that adds two registers is dispatched by itself). The functions with an
 * exponential are chains of operations, and bound by how many of them a core can see ahead; BNN_CHAINS has two vectors
 * in step where a compiler can be told. Sigmoid and softmax take 1.0 to 1.1 times what the ports of Arm cores allow
 * (1.3 to 1.4 on apple-m1, whose model looks ahead 192 instructions), and on x86 1.1 to 1.9 times. Products and sums
 * are rounded one by one (contraction is off for the whole core), so every instruction set gives the same bits.
 *
 * An output may be its first or second operand itself, but does not overlap them otherwise, which BNN_LANES tells the
 * compiler.
 */
#ifndef BNN_VECTOR_BODY_H
#define BNN_VECTOR_BODY_H

#include "../kernels.h"

#include <math.h>
#include <string.h>

#if defined(__clang__)
#define BNN_LANES  _Pragma("clang loop vectorize(assume_safety)")
#define BNN_CHAINS _Pragma("clang loop vectorize(assume_safety) interleave_count(2)")
#elif defined(__GNUC__)
#define BNN_LANES  _Pragma("GCC ivdep") _Pragma("GCC unroll 2")
#define BNN_CHAINS _Pragma("GCC ivdep")
#else
#define BNN_LANES  __pragma(loop(ivdep))
#define BNN_CHAINS BNN_LANES
#endif

/* Goes over the rows, `repeat` of them at a time as one of n numbers. */
#define BNN_EACH_ROW(r, x, y)                                                                                          \
    for (size_t row = 0, n;                                                                                            \
         n = (r)->n * ((r)->rows - row < (r)->repeat ? (r)->rows - row : (r)->repeat), row < (r)->rows;                \
         row += (r)->repeat, x += (r)->repeat * (r)->stride, y += (r)->repeat * (r)->stride)

static void affine(const bnn_rows *r, const float *x, const float *scale, const float *bias, float *y) {
    BNN_EACH_ROW(r, x, y) {
        BNN_LANES
        for (size_t i = 0; i < n; i++) {
            float product = x[i] * scale[i];
            y[i] = product + bias[i];
        }
    }
}

static void affine_bytes(const bnn_rows *r, const uint8_t *x, const float *scale, const float *bias, float *y) {
    BNN_EACH_ROW(r, x, y) {
        BNN_LANES
        for (size_t i = 0; i < n; i++) {
            float product = (float)x[i] * scale[i];
            y[i] = product + bias[i];
        }
    }
}

/* A -1 changes the scale's sign. */
static void affine_bits(const bnn_rows *r, const uint64_t *x, size_t x_stride, const float *scale, const float *bias,
                        float *y) {
    for (size_t row = 0; row < r->rows; row++, x += x_stride, y += r->stride)
        for (size_t i = 0; i < r->n; i += 32) {
            const uint32_t minus = ~(uint32_t)(x[i / BNN_WORD_BITS] >> i % BNN_WORD_BITS);
            const size_t n = r->n - i < 32 ? r->n - i : 32;
            BNN_LANES
            for (size_t lane = 0; lane < n; lane++) {
                uint32_t bits;
                memcpy(&bits, scale + i + lane, sizeof bits);
                bits ^= minus >> lane << 31;
                float product;
                memcpy(&product, &bits, sizeof product);
                y[i + lane] = product + bias[i + lane];
            }
        }
}

/* z > 0 ? z : z * slope; the product first, so that the compiler makes a choice of it and no branch. */
static inline float bent(float z, float slope) {
    float product = z * slope;
    return z > 0.0f ? z : product;
}

static void prelu(const bnn_rows *r, const float *x, const float *slope, const float *shift_in, const float *shift_out,
                  float *y) {
    BNN_EACH_ROW(r, x, y) {
        if (!shift_in && !shift_out) {
            BNN_LANES
            for (size_t i = 0; i < n; i++) y[i] = bent(x[i], slope[i]);
        } else if (shift_in && shift_out) {
            BNN_LANES
            for (size_t i = 0; i < n; i++) y[i] = bent(x[i] - shift_in[i], slope[i]) + shift_out[i];
        } else if (shift_in) {
            BNN_LANES
            for (size_t i = 0; i < n; i++) y[i] = bent(x[i] - shift_in[i], slope[i]);
        } else {
            BNN_LANES
            for (size_t i = 0; i < n; i++) y[i] = bent(x[i], slope[i]) + shift_out[i];
        }
    }
}

static void clip(const bnn_rows *r, const float *x, const float *low, const float *high, float *y) {
    BNN_EACH_ROW(r, x, y) {
        BNN_LANES
        for (size_t i = 0; i < n; i++) {
            float raised = x[i] < low[i] ? low[i] : x[i];
            y[i] = raised > high[i] ? high[i] : raised;
        }
    }
}

#define BNN_MERGE(name, operator)                                                                                      \
    static void name(const bnn_rows *r, const float *x, const float *with, size_t with_stride, float *y) {             \
        for (size_t row = 0; row < r->rows; row++, x += r->stride, y += r->stride, with += with_stride) {              \
            BNN_LANES                                                                                                  \
            for (size_t i = 0; i < r->n; i++) y[i] = x[i] operator with[i];                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_pixel(const bnn_rows *r, const float *x, const float *with, float *y) {                         \
        for (size_t row = 0; row < r->rows; row++, x += r->stride, y += r->stride) {                                   \
            float one = with[row];                                                                                     \
            BNN_LANES                                                                                                  \
            for (size_t i = 0; i < r->n; i++) y[i] = x[i] operator one;                                                \
        }                                                                                                              \
    }

BNN_MERGE(add, +)
BNN_MERGE(subtract, -)
BNN_MERGE(multiply, *)

/* NaN where x is. */
static inline float at_most(float x, float limit) { return x > limit ? limit : x; }
static inline float at_least(float x, float limit) { return x < limit ? limit : x; }

/* exp by 2^n * e^r, |r| <= ln 2 / 2, a Taylor polynomial of degree 7 (next term below 2^-29), for -87 to 88, where the
 * result is a normal number, and NaN. The caller holds x to the limit that it can pass, or drops the result. Here and
 * below polynomials are summed by halves, since the chain of their steps, not their number, is what takes time. */
static inline float exponential(float x) {
    float magic = x * 1.44269504f + 12582912.0f, n = magic - 12582912.0f; /* rounds to a whole number */
    float r = x - n * 0.693145752f - n * 1.42860677e-6f;
    float r2 = r * r, r4 = r2 * r2;
    float low = (1.0f + r) + r2 * (0.5f + r * 0.166666667f);
    float high = (0.0416666667f + r * 0.00833333333f) + r2 * (0.00138888889f + r * 0.000198412698f);
    float p = low + r4 * high;
    uint32_t bits;
    memcpy(&bits, &magic, sizeof bits);
    bits = (bits << 23) + 0x3f800000; /* the low bits of magic are n, or a NaN's own */
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* 0 where it would be a denormal number: gates that are slow down everything that they multiply. */
static inline float sigmoid(float x) {
    float y = 1.0f / (1.0f + exponential(at_least(-x, -87.0f)));
    return x < -87.0f ? 0.0f : y;
}

/* Maxima and sums of every 16th number first, in the same order on every instruction set. A number that is far below
 * the largest gives 0, as -infinity must. */
static void softmax(const float *x, size_t n, float *y) {
    enum { EVERY = 16 };
    float most[EVERY], sum[EVERY] = {0};
    size_t whole = n / EVERY * EVERY;
    for (size_t l = 0; l < EVERY; l++) most[l] = x[0];
    for (size_t i = 0; i < whole; i += EVERY)
        for (size_t l = 0; l < EVERY; l++) most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
    for (size_t i = whole; i < n; i++) most[0] = x[i] > most[0] ? x[i] : most[0];
    for (size_t l = 1; l < EVERY; l++) most[0] = most[l] > most[0] ? most[l] : most[0];
    const float largest = most[0];
    BNN_CHAINS
    for (size_t i = 0; i < n; i++) {
        float below = x[i] - largest, power = exponential(below);
        y[i] = below < -87.0f ? 0.0f : power;
    }
    for (size_t i = 0; i < whole; i += EVERY)
        for (size_t l = 0; l < EVERY; l++) sum[l] += y[i + l];
    for (size_t i = whole; i < n; i++) sum[i - whole] += y[i];
    for (size_t half = EVERY / 2; half; half /= 2)
        for (size_t l = 0; l < half; l++) sum[l] += sum[l + half];
    const float all = sum[0];
    BNN_LANES
    for (size_t i = 0; i < n; i++) y[i] /= all;
}

/* Near 0 an odd polynomial (Cephes' tanhf), elsewhere by exp. */
static inline float hyperbolic(float x) {
    float magnitude = x < 0.0f ? -x : x, z = x * x, z2 = z * z;
    float high = (2.06390887954e-2f * z - 5.37397155531e-2f) + z2 * -5.70498872745e-3f;
    float p = (1.33314422036e-1f * z - 3.33332819422e-1f) + z2 * high;
    float near = p * z * x + x, far = 1.0f - 2.0f / (exponential(at_most(2.0f * magnitude, 88.0f)) + 1.0f);
    float far_signed = x < 0.0f ? -far : far;
    return magnitude < 0.625f ? near : far_signed;
}

/* Phi(x) = erfc(-x / sqrt 2) / 2; erfc by the Chebyshev fit of Numerical Recipes (2nd ed., 6.2), whose relative error
 * is below 1.2e-7 everywhere. */
static inline float normal_below(float x) {
    float z = x * 0.707106781f, a = z < 0.0f ? -z : z, t = 1.0f / (1.0f + 0.5f * a);
    float t2 = t * t, t4 = t2 * t2;
    float low = (1.00002368f * t - 1.26551223f) + t2 * (0.09678418f * t + 0.37409196f);
    float middle = (0.27886807f * t - 0.18628806f) + t2 * (1.48851587f * t - 1.13520398f);
    float high = 0.17087277f * t - 0.82215223f;
    float p = low + t4 * (middle + t4 * high);
    float tail = 0.5f * t * exponential(at_least(p - a * a, -87.0f));
    return z < 0.0f ? tail : 1.0f - tail;
}

#define BNN_UNARY(name, expression)                                                                                    \
    static void name(const float *from, size_t n, float *to) {                                                         \
        BNN_CHAINS                                                                                                     \
        for (size_t i = 0; i < n; i++) {                                                                               \
            float x = from[i];                                                                                         \
            to[i] = (expression);                                                                                      \
        }                                                                                                              \
    }

BNN_UNARY(unary_sigmoid, sigmoid(x))
BNN_UNARY(unary_tanh, hyperbolic(x))
BNN_UNARY(unary_gelu, x *normal_below(x))
BNN_UNARY(unary_gelu_tanh, 0.5f * x * (1.0f + hyperbolic(0.797884561f * (x + 0.044715f * x * x * x))))
BNN_UNARY(unary_silu, x *sigmoid(x))
BNN_UNARY(unary_hard_swish, x *(x + 3.0f < 0.0f ? 0.0f : x + 3.0f > 6.0f ? 6.0f : x + 3.0f) * (1.0f / 6.0f))
BNN_UNARY(unary_abs, fabsf(x))

#define BNN_VECTOR_KERNEL(isa_name)                                                                                    \
    const bnn_vector_kernel bnn_vector_##isa_name = {                                                                  \
        .isa = BNN_ISA_##isa_name,                                                                                     \
        .affine = affine,                                                                                              \
        .affine_bytes = affine_bytes,                                                                                  \
        .affine_bits = affine_bits,                                                                                    \
        .prelu = prelu,                                                                                                \
        .clip = clip,                                                                                                  \
        .merge = {add, subtract, multiply},                                                                            \
        .merge_pixel = {add_pixel, subtract_pixel, multiply_pixel},                                                    \
        .softmax = softmax,                                                                                            \
        .unary = {unary_sigmoid, unary_tanh, unary_gelu, unary_gelu_tanh, unary_silu, unary_hard_swish, unary_abs},    \
    }

#endif
