/* Number by number over float32 rows, in plain C that the compiler turns into vectors: each vector_<isa>.c is this text
 * under that instruction set's flags. One load or two, a few operations and a store a number, so the loads bound it: 2
 * a cycle on all recent x86, 2 or 3 on ARM; llvm-mca 19 has additions, affine and PReLU at 1.0 to 1.3 times that. The
 * functions with an exponential are chains of about 20 operations, 1.8 to 2.4 times what their ports allow. Products
 * and sums are rounded one by one (contraction is off for the whole core), so every instruction set gives the same
 * bits.
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
#define BNN_LANES _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define BNN_LANES _Pragma("GCC ivdep")
#else
#define BNN_LANES __pragma(loop(ivdep))
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

/* exp by 2^n * e^r, |r| <= ln 2 / 2, a Taylor polynomial of degree 7 (next term below 2^-29). Arguments are held to
 * where the result is a normal number; a NaN stays. */
static inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float magic = x * 1.44269504f + 12582912.0f, n = magic - 12582912.0f; /* rounds to a whole number */
    float r = x - n * 0.693145752f - n * 1.42860677e-6f;
    float p =
        1.0f + r * (1.0f + r * (0.5f + r * (0.166666667f +
                                            r * (0.0416666667f +
                                                 r * (0.00833333333f + r * (0.00138888889f + r * 0.000198412698f))))));
    uint32_t bits;
    memcpy(&bits, &magic, sizeof bits);
    bits = (bits << 23) + 0x3f800000; /* the low bits of magic are n, or a NaN's own */
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* 0 where it would be a denormal number: gates that are slow down everything that they multiply. */
static inline float sigmoid(float x) {
    float y = 1.0f / (1.0f + exponential(-x));
    return x < -87.0f ? 0.0f : y;
}

/* Near 0 an odd polynomial (Cephes' tanhf), elsewhere by exp. */
static inline float hyperbolic(float x) {
    float magnitude = x < 0.0f ? -x : x, z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float near = p * z * x + x, far = 1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f);
    float far_signed = x < 0.0f ? -far : far;
    return magnitude < 0.625f ? near : far_signed;
}

/* Phi(x) = erfc(-x / sqrt 2) / 2; erfc by the Chebyshev fit of Numerical Recipes (2nd ed., 6.2), whose relative error
 * is below 1.2e-7 everywhere. */
static inline float normal_below(float x) {
    float z = x * 0.707106781f, a = z < 0.0f ? -z : z, t = 1.0f / (1.0f + 0.5f * a);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    float tail = 0.5f * t * exponential(p - a * a);
    return z < 0.0f ? tail : 1.0f - tail;
}

#define BNN_UNARY(name, expression)                                                                                    \
    static void name(const float *from, size_t n, float *to) {                                                         \
        BNN_LANES                                                                                                      \
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
        .prelu = prelu,                                                                                                \
        .clip = clip,                                                                                                  \
        .merge = {add, subtract, multiply},                                                                            \
        .merge_pixel = {add_pixel, subtract_pixel, multiply_pixel},                                                    \
        .unary = {unary_sigmoid, unary_tanh, unary_gelu, unary_gelu_tanh, unary_silu, unary_hard_swish, unary_abs},    \
    }

#endif
