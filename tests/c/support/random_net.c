#include "random_layers.h"
#include "random_net.h"

#include <math.h>
#include <string.h>

enum { MOST_NODES = 8 };

uint32_t random_channels(rng *r) {
    static const uint8_t near_words[] = {15, 16, 17, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128, 129, 191, 192, 193};
    return rng_chance(r, 60) ? (uint32_t)rng_between(r, 1, 12) : near_words[rng_below(r, sizeof near_words)];
}

/* ---- tensors ---- */

void random_bits(rng *r, const net_spec *spec, uint64_t *words) {
    uint32_t last = spec->dims[spec->rank - 1], per_row = (last + 63) / 64;
    size_t rows = net_elements(spec) / last;
    uint32_t kind = rng_below(r, 8);
    for (size_t row = 0; row < rows; row++)
        for (uint32_t w = 0; w < per_row; w++) {
            uint64_t mask = w + 1 < per_row || last % 64 == 0 ? UINT64_MAX : (UINT64_C(1) << last % 64) - 1;
            uint64_t bits = kind == 0 ? 0 : kind == 1 ? UINT64_MAX : rng_next(r);
            *words++ = bits & mask;
        }
}

static float wild(rng *r) {
    static const float odd[] = {0.0f, -0.0f, 1e-42f, -1e-42f, 1e38f, -1e38f, 0.1f, 255.0f, 3.4e38f, 1e-20f};
    return rng_chance(r, 50) ? odd[rng_below(r, sizeof odd / sizeof *odd)]
                             : (float)rng_between(r, -100000, 100000) / 128.0f;
}

/* Whole numbers for the most part, of which sums are exact in any order. */
static void fill_floats(rng *r, int32_t range, int infinite, float *x, size_t count) {
    int any = rng_chance(r, 20);
    for (size_t i = 0; i < count; i++) {
        x[i] = any ? wild(r) : (float)rng_between(r, -range, range);
        if (infinite && rng_chance(r, 5)) x[i] = rng_chance(r, 50) ? INFINITY : -INFINITY;
    }
}

void random_floats(rng *r, net_node *node, uint32_t slot, uint32_t count, int32_t range, int infinite) {
    float *x = net_tensor_new(node, slot, (net_spec){BNN_FLOAT32, 1, {count}});
    fill_floats(r, range, infinite, x, count);
}

static void add_flip(rng *r, net_node *node, uint32_t slot, uint32_t count) {
    net_spec spec = {BNN_BITS, 1, {count}};
    random_bits(r, &spec, net_tensor_new(node, slot, spec));
}

static void add_int_thresholds(rng *r, net_node *node, uint32_t count, int32_t range) {
    int32_t *t = net_tensor_new(node, 1, (net_spec){BNN_INT32, 1, {count}});
    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = rng_below(r, 32);
        t[i] = kind == 0 ? INT32_MIN : kind == 1 ? INT32_MAX : rng_between(r, -range, range);
        if (kind < 4 && kind > 1) t[i] = kind == 2 ? INT32_MIN + 1 : INT32_MAX - 1;
    }
}

/* ---- operators: each sets the node and returns the spec of its output ---- */

net_spec random_window(rng *r, net_node *node, const net_spec *in, int dilates) {
    uint32_t *a = node->attributes;
    net_spec out = {in->dtype, 3, {0, 0, in->dims[2]}};
    for (uint32_t axis = 0; axis < 2; axis++) {
        uint32_t size = in->dims[axis], *kernel = &a[axis], *stride = &a[2 + axis], *dilation = &a[4 + axis];
        *kernel = (uint32_t)rng_between(r, 1, 4);
        *stride = (uint32_t)rng_between(r, 1, 3);
        *dilation = dilates && rng_chance(r, 30) ? (uint32_t)rng_between(r, 1, 3) : 1;
        uint32_t extent = *dilation * (*kernel - 1) + 1;
        if (rng_chance(r, 60))
            for (int side = 0; side < 2; side++) a[6 + 2 * side + axis] = rng_below(r, extent);
        if (extent > size + a[6 + axis] + a[8 + axis]) {
            *kernel = 1;
            a[6 + axis] = a[8 + axis] = 0;
            extent = 1;
        }
        out.dims[axis] = (size + a[6 + axis] + a[8 + axis] - extent) / *stride + 1;
    }
    return out;
}

/* Slots 1 to 4, and what the output is. */
static bnn_dtype random_output(rng *r, net_node *node, uint32_t outputs, int exact, int32_t range) {
    if (rng_chance(r, 50)) {
        if (exact)
            add_int_thresholds(r, node, outputs, range);
        else
            random_floats(r, node, 1, outputs, range, 1);
        add_flip(r, node, 2, outputs);
        return BNN_BITS;
    }
    if (rng_chance(r, 50)) random_floats(r, node, 3, outputs, 4, 0);
    if (rng_chance(r, 50)) random_floats(r, node, 4, outputs, 100, 0);
    return BNN_FLOAT32;
}

static uint32_t random_groups(rng *r, uint32_t channels) {
    uint32_t groups = rng_chance(r, 30) ? channels : (uint32_t)rng_between(r, 2, 8);
    return rng_chance(r, 70) && channels % groups == 0 && channels / groups < 70 ? groups : 1;
}

net_spec random_sum(rng *r, net_node *node, const net_spec *in, uint32_t macs) {
    int conv = in->rank == 3, binary = rng_chance(r, 70);
    uint32_t channels = in->dims[in->rank - 1], groups = 1, pixels = 1, taps = 1;
    net_spec out = {BNN_FLOAT32, 1, {0}};
    node->op = conv ? (binary ? OP_BINARY_CONV2D : OP_CONV2D) : (binary ? OP_BINARY_DENSE : OP_DENSE);
    if (conv) {
        out = random_window(r, node, in, 1);
        taps = node->attributes[0] * node->attributes[1];
        pixels = out.dims[0] * out.dims[1];
        groups = random_groups(r, channels);
        node->attributes[10] = groups;
        node->attributes[11] = in->dtype == BNN_UINT8 ? 0 : rng_below(r, 3);
    }
    uint32_t depth = taps * (channels / groups), outputs = random_channels(r);
    uint32_t most = macs / depth / pixels;
    if (outputs > most) outputs = most ? most : 1;
    outputs = (outputs + groups - 1) / groups * groups;
    if (groups > 1 && channels <= most && rng_chance(r, 70)) outputs = channels; /* which has kernels of its own */
    net_spec weight = {binary ? BNN_BITS : BNN_FLOAT32, 2, {outputs, channels}};
    if (conv)
        weight = (net_spec){weight.dtype, 4, {outputs, node->attributes[0], node->attributes[1], channels / groups}};
    void *data = net_tensor_new(node, 0, weight);
    if (binary)
        random_bits(r, &weight, data);
    else
        fill_floats(r, 4, 0, data, net_elements(&weight));
    int exact = binary && in->dtype != BNN_FLOAT32;
    int32_t range = 4 + (int32_t)sqrt((double)depth) * (in->dtype == BNN_UINT8 ? 255 : 2);
    out.dtype = random_output(r, node, outputs, exact, range);
    out.dims[out.rank - 1] = outputs;
    return out;
}

net_spec random_binarize(rng *r, net_node *node, const net_spec *in) {
    uint32_t channels = in->dims[in->rank - 1];
    net_spec out = *in;
    node->op = OP_BINARIZE;
    random_floats(r, node, 0, channels, in->dtype == BNN_UINT8 ? 300 : 10, 1);
    if (in->dtype == BNN_UINT8 && rng_chance(r, 50)) {
        float *t = node->tensors[0].data;
        for (uint32_t i = 0; i < channels; i++) t[i] = (float)rng_between(r, -2, 514) / 2.0f;
    }
    add_flip(r, node, 1, channels);
    out.dtype = BNN_BITS;
    return out;
}

net_spec random_scale(rng *r, net_node *node, const net_spec *in) {
    net_spec out = *in;
    node->op = OP_SCALE_BIAS;
    random_floats(r, node, 0, in->dims[in->rank - 1], 4, 0);
    random_floats(r, node, 1, in->dims[in->rank - 1], 4, 0);
    out.dtype = BNN_FLOAT32;
    return out;
}

net_spec random_pool(rng *r, net_node *node, const net_spec *in) {
    node->op = OP_MAX_POOL2D;
    net_spec out = random_window(r, node, in, 0);
    if (in->dtype == BNN_BITS && rng_chance(r, 50)) add_flip(r, node, 0, in->dims[2]);
    return out;
}

static net_spec softmax(const net_spec *in, net_node *node) {
    node->op = OP_SOFTMAX;
    return *in;
}

static net_spec argmax(const net_spec *in, net_node *node) {
    net_spec out = *in;
    node->op = OP_ARGMAX;
    out.dtype = BNN_INT64;
    out.dims[--out.rank] = 0;
    return out;
}

static net_spec flatten(const net_spec *in, net_node *node) {
    node->op = OP_FLATTEN;
    return (net_spec){in->dtype, 1, {(uint32_t)net_elements(in)}};
}

static net_spec average(const net_spec *in, net_node *node) {
    node->op = OP_GLOBAL_AVERAGE_POOL;
    return (net_spec){BNN_FLOAT32, 1, {in->dims[2]}};
}

/* ---- networks ---- */

/* A node on value `input`, by chance one of those that take it. */
static void add_node(rng *r, net *n, uint32_t input, uint32_t macs) {
    net_spec in = n->values[input], out;
    net_node *node = &n->node[n->nodes];
    int real = in.dtype == BNN_FLOAT32, bits = in.dtype == BNN_BITS;
    node->input = input;
    if (in.dtype == BNN_INT64)
        out = flatten(&in, node);
    else if ((in.rank == 1 || in.rank == 3) && rng_chance(r, 50))
        out = random_sum(r, node, &in, macs);
    else if (in.rank == 3 && (real || bits) && rng_chance(r, 50))
        out = rng_chance(r, 70) ? random_pool(r, node, &in) : average(&in, node);
    else if (!bits && rng_chance(r, 50))
        out = random_binarize(r, node, &in);
    else if (rng_chance(r, 40))
        out = random_scale(r, node, &in);
    else if (real && rng_chance(r, 60))
        out = rng_chance(r, 50) ? softmax(&in, node) : argmax(&in, node);
    else
        out = flatten(&in, node);
    n->values[n->inputs + n->nodes++] = out;
}

static net_spec random_input(rng *r) {
    net_spec in = {rng_chance(r, 50) ? BNN_UINT8 : BNN_FLOAT32, 3, {0}};
    uint32_t kind = rng_below(r, 100);
    if (kind < 25) in.rank = (uint32_t)rng_between(r, 1, 6);
    if (kind == 25) in.rank = 0;
    for (uint32_t i = 0; i < in.rank; i++) in.dims[i] = (uint32_t)rng_between(r, 1, in.rank > 3 ? 3 : 8);
    if (in.rank) in.dims[in.rank - 1] = random_channels(r);
    if (kind == 26) in = (net_spec){in.dtype, 1, {(uint32_t)rng_between(r, 16300, 16500)}}; /* longer than one sum */
    if (kind == 27) in = (net_spec){in.dtype, 3, {2, 3, (uint32_t)rng_between(r, 4080, 4200)}};
    return in;
}

static int is_read(const net *n, uint32_t value) {
    for (uint32_t i = 0; i < n->nodes; i++)
        if (n->node[i].input == value) return 1;
    return 0;
}

net random_net(rng *r, uint32_t macs) {
    net n = {.inputs = rng_chance(r, 80) ? 1 : (uint32_t)rng_between(r, 2, 3), .metadata = rng_below(r, 4)};
    for (uint32_t i = 0; i < n.inputs; i++) n.values[i] = random_input(r);
    uint32_t nodes = (uint32_t)rng_between(r, 1, MOST_NODES);
    for (uint32_t tries = 0; n.nodes < nodes || n.nodes == 0; tries++) {
        uint32_t values = n.inputs + n.nodes, input = rng_chance(r, 70) ? values - 1 : rng_below(r, values);
        if (n.values[input].rank) add_node(r, &n, input, macs);
        if (tries > 50 && n.nodes == 0) n.values[0] = (net_spec){BNN_UINT8, 1, {3}};
    }
    for (uint32_t v = n.inputs, end = n.inputs + n.nodes; v < end; v++)
        if (n.values[v].dtype == BNN_BITS && (!is_read(&n, v) || rng_chance(r, 30))) {
            net_node *node = &n.node[n.nodes];
            net_spec out = random_scale(r, node, &n.values[v]);
            node->input = v;
            n.values[n.inputs + n.nodes++] = out;
        }
    for (uint32_t v = n.inputs; v < n.inputs + n.nodes; v++)
        if (n.values[v].dtype != BNN_BITS && (!is_read(&n, v) || rng_chance(r, 40))) n.output[n.outputs++] = v;
    return n;
}
