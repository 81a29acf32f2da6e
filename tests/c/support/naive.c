#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    const bnn_node_info *node;
    const bnn_spec *in_spec, *out_spec;
    const naive_value *in;
    naive_value *out;
} work;

static size_t count_of(const bnn_spec *s) {
    size_t n = 1;
    for (uint32_t i = 0; i < s->rank; i++) n *= s->dims[i];
    return n;
}

static int bit_of(const void *words, size_t i) {
    const unsigned char *bytes = words;
    return bytes[i / 8] >> i % 8 & 1;
}

static float float_of(const bnn_node_info *node, int slot, size_t i) {
    return ((const float *)node->tensor_data[slot])[i];
}

/* ---- sums ---- */

typedef struct window {
    uint32_t kernel[2], stride[2], dilation[2], pad[2], groups, pad_value, zero_one;
} window;

/* A dense layer is a 1x1 convolution of a 1x1 image. */
static window window_of(const bnn_node_info *node, int conv) {
    const uint32_t *a = node->attributes;
    window w = {{1, 1}, {1, 1}, {1, 1}, {0, 0}, 1, 0, conv ? a[12] : a[0]};
    for (int axis = 0; conv && axis < 2; axis++) {
        w.kernel[axis] = a[axis], w.stride[axis] = a[2 + axis];
        w.dilation[axis] = a[4 + axis], w.pad[axis] = a[6 + axis];
    }
    if (conv) w.groups = a[10], w.pad_value = a[11];
    return w;
}

/* Where tap (i, j) of output (y, x) lies, as pixel number, or -1 on the padding. */
static int64_t pixel_of(const window *w, const uint32_t size[2], const uint32_t at[2], const uint32_t tap[2]) {
    int64_t place[2];
    for (int axis = 0; axis < 2; axis++) {
        place[axis] = (int64_t)at[axis] * w->stride[axis] - w->pad[axis] + (int64_t)tap[axis] * w->dilation[axis];
        if (place[axis] < 0 || place[axis] >= size[axis]) return -1;
    }
    return place[0] * size[1] + place[1];
}

/* Number c of a row of `n` weights. */
static double weight_of(const bnn_node_info *node, bnn_dtype dtype, size_t row, uint32_t n, uint32_t c) {
    if (dtype == BNN_BITS) return 2 * bit_of(node->tensor_data[0], row * ((n + 63) / 64) * 64 + c) - 1;
    if (dtype == BNN_INT8) return ((const int8_t *)node->tensor_data[0])[row * n + c];
    return (double)float_of(node, 0, row * n + c);
}

/* The sum of output o at `at`; *magnitude the sum of the products' absolute values, NaN where one is no whole number.
 */
static double sum_of(const work *k, const window *w, const uint32_t size[2], const uint32_t at[2], uint32_t o,
                     double *magnitude) {
    const bnn_spec *weight = &k->node->tensors[0];
    uint32_t channels = k->in_spec->dims[k->in_spec->rank - 1], per_group = channels / w->groups;
    uint32_t first = o / (weight->dims[0] / w->groups) * per_group, tap[2];
    double sum = 0;
    *magnitude = 0;
    for (tap[0] = 0; tap[0] < w->kernel[0]; tap[0]++)
        for (tap[1] = 0; tap[1] < w->kernel[1]; tap[1]++) {
            int64_t pixel = pixel_of(w, size, at, tap);
            size_t row = ((size_t)o * w->kernel[0] + tap[0]) * w->kernel[1] + tap[1];
            for (uint32_t c = 0; c < per_group; c++) {
                double pad = w->pad_value == 1 ? 1 : w->pad_value == 2 ? -1 : 0;
                double x = pixel < 0 ? pad : k->in->x[(size_t)pixel * channels + first + c];
                if (w->zero_one && pixel >= 0) x = (x + 1) / 2;
                double y = weight_of(k->node, weight->dtype, row, per_group, c);
                sum += x * y;
                *magnitude += x == rint(x) && y == rint(y) ? fabs(x * y) : NAN;
            }
        }
    return sum;
}

static double settle(const bnn_node_info *node, double sum, uint32_t o, int exact) {
    if (node->tensor_data[1]) {
        double threshold = exact ? ((const int32_t *)node->tensor_data[1])[o] : (double)float_of(node, 1, o);
        return (bit_of(node->tensor_data[2], o) ? sum <= threshold : sum >= threshold) ? 1 : -1;
    }
    float y = (float)sum;
    if (node->tensor_data[3]) y *= float_of(node, 3, o);
    if (node->tensor_data[4]) y += float_of(node, 4, o);
    return y;
}

/* Float sums begin with the bias where there is no scale, so that rounding on the way decides unless it is whole. */
static int rounds_on_the_way(const bnn_node_info *node, uint32_t o, double magnitude) {
    double bias = node->tensor_data[4] && !node->tensor_data[3] ? (double)float_of(node, 4, o) : 0;
    return !(magnitude + fabs(bias) <= 1 << 24) || bias != rint(bias);
}

static void run_sum(work *k) {
    int conv = k->node->tensors[0].rank == 4;
    int exact = k->node->tensors[0].dtype == BNN_BITS && k->in_spec->dtype != BNN_FLOAT32;
    window w = window_of(k->node, conv);
    uint32_t outputs = k->node->tensors[0].dims[0], at[2];
    const uint32_t one[2] = {1, 1}, *size = conv ? k->in_spec->dims : one, *out = conv ? k->out_spec->dims : one;
    double *y = k->out->x, magnitude;
    for (at[0] = 0; at[0] < out[0]; at[0]++)
        for (at[1] = 0; at[1] < out[1]; at[1]++)
            for (uint32_t o = 0; o < outputs; o++) {
                *y++ = settle(k->node, sum_of(k, &w, size, at, o, &magnitude), o, exact);
                if (!exact && rounds_on_the_way(k->node, o, magnitude)) k->out->trust = NAIVE_UNKNOWN;
            }
}

/* ---- the rest ---- */

static void run_binarize(work *k) {
    uint32_t channels = k->in_spec->dims[k->in_spec->rank - 1];
    for (size_t i = 0; i < k->in->count; i++) {
        float x = (float)k->in->x[i], t = float_of(k->node, 0, i % channels);
        k->out->x[i] = (bit_of(k->node->tensor_data[1], i % channels) ? x <= t : x >= t) ? 1 : -1;
    }
}

static void run_max_pool(work *k) {
    window w = window_of(k->node, 1);
    const uint32_t *size = k->in_spec->dims, *out = k->out_spec->dims, channels = size[2];
    uint32_t at[2], tap[2];
    double *y = k->out->x;
    for (at[0] = 0; at[0] < out[0]; at[0]++)
        for (at[1] = 0; at[1] < out[1]; at[1]++)
            for (uint32_t c = 0; c < channels; c++) {
                double most = -INFINITY;
                for (tap[0] = 0; tap[0] < w.kernel[0]; tap[0]++)
                    for (tap[1] = 0; tap[1] < w.kernel[1]; tap[1]++) {
                        int64_t pixel = pixel_of(&w, size, at, tap);
                        double x = pixel < 0 ? -INFINITY : k->in->x[(size_t)pixel * channels + c];
                        if (x > most || isnan(x)) most = x;
                    }
                *y++ = k->node->tensor_data[0] && bit_of(k->node->tensor_data[0], c) ? -most : most;
            }
}

static void run_average(work *k) {
    uint32_t channels = k->in_spec->dims[2];
    size_t pixels = (size_t)k->in_spec->dims[0] * k->in_spec->dims[1];
    for (uint32_t c = 0; c < channels; c++) {
        double sum = 0, magnitude = 0;
        for (size_t p = 0; p < pixels; p++) {
            double x = k->in->x[p * channels + c];
            sum += x;
            magnitude += x == rint(x) ? fabs(x) : NAN;
        }
        k->out->x[c] = (float)sum / (float)pixels;
        if (!(magnitude <= 1 << 24)) k->out->trust = NAIVE_UNKNOWN;
    }
}

static void run_scale(work *k) {
    uint32_t channels = k->in_spec->dims[k->in_spec->rank - 1];
    for (size_t i = 0; i < k->in->count; i++) {
        float y = (float)k->in->x[i] * float_of(k->node, 0, i % channels);
        y += float_of(k->node, 1, i % channels);
        k->out->x[i] = y;
    }
}

static void run_softmax(work *k) {
    size_t n = k->in_spec->dims[k->in_spec->rank - 1];
    for (size_t row = 0; row < k->in->count; row += n) {
        double most = -INFINITY, sum = 0;
        for (size_t i = row; i < row + n; i++) most = k->in->x[i] > most || isnan(k->in->x[i]) ? k->in->x[i] : most;
        for (size_t i = row; i < row + n; i++) sum += exp(k->in->x[i] - most);
        for (size_t i = row; i < row + n; i++) k->out->x[i] = exp(k->in->x[i] - most) / sum;
    }
    k->out->trust = k->in->trust == NAIVE_EXACT ? NAIVE_CLOSE : NAIVE_UNKNOWN;
}

static void run_argmax(work *k) {
    size_t n = k->in_spec->dims[k->in_spec->rank - 1];
    for (size_t row = 0; row < k->out->count; row++) {
        const double *x = k->in->x + row * n;
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (!isnan(x[i]) && (best == n || x[i] > x[best])) best = i;
        k->out->x[row] = best == n ? 0 : (double)best;
    }
}

static void run_flatten(work *k) { memcpy(k->out->x, k->in->x, k->in->count * sizeof *k->in->x); }

static void run_node(work *k, naive_value *values) {
    static const struct {
        const char *name;
        void (*run)(work *);
    } ops[] = {
        {"binarize", run_binarize}, {"binary_conv2d", run_sum}, {"binary_dense", run_sum},
        {"conv2d", run_sum},        {"dense", run_sum},         {"max_pool2d", run_max_pool},
        {"flatten", run_flatten},   {"scale_bias", run_scale},  {"global_average_pool", run_average},
        {"softmax", run_softmax},   {"argmax", run_argmax},
    };
    k->out->trust = k->in->trust == NAIVE_EXACT ? NAIVE_EXACT : NAIVE_UNKNOWN;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].name, k->node->op) == 0) {
            ops[i].run(k);
            return;
        }
    /* An operator that is not retold here: nothing is foretold of what it makes. Only a mutated file has one; those are
     * compared with their NumPy references from Python (tests/engine). */
    for (int i = 0; i < 4 && k->node->outputs[i] != UINT32_MAX; i++) values[k->node->outputs[i]].trust = NAIVE_UNKNOWN;
}

static double input_at(const bnn_spec *spec, const void *data, size_t i) {
    return spec->dtype == BNN_UINT8 ? ((const uint8_t *)data)[i] : (double)((const float *)data)[i];
}

naive_value *naive_run(const bnn_model *model, const void *const *inputs) {
    uint32_t values = bnn_model_value_count(model);
    naive_value *v = calloc(values, sizeof *v);
    for (uint32_t i = 0; v && i < values; i++) {
        v[i].count = count_of(bnn_model_value(model, i));
        v[i].x = calloc(v[i].count, sizeof *v[i].x);
        if (!v[i].x) {
            naive_free(model, v);
            return NULL;
        }
    }
    for (uint32_t i = 0; v && i < bnn_model_input_count(model); i++)
        for (size_t e = 0; e < v[i].count; e++) v[i].x[e] = input_at(bnn_model_value(model, i), inputs[i], e);
    for (uint32_t i = 0; v && i < bnn_model_node_count(model); i++) {
        bnn_node_info node;
        bnn_model_node(model, i, &node);
        work k = {&node, bnn_model_value(model, node.inputs[0]), bnn_model_value(model, node.outputs[0]),
                  &v[node.inputs[0]], &v[node.outputs[0]]};
        run_node(&k, v);
    }
    return v;
}

void naive_free(const bnn_model *model, naive_value *values) {
    for (uint32_t i = 0; values && i < bnn_model_value_count(model); i++) free(values[i].x);
    free(values);
}
