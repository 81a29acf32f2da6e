#include "random_graph.h"
#include "random_layers.h"

#include <stdlib.h>
#include <string.h>

enum { INPUTS = 6, MOST_NODES = 24, UNARIES = 7 };
enum { MOST_ELEMENTS = 100000, FED = 66000 }; /* of values; of an image that is large enough for a pool to be fed */

typedef struct graph {
    rng *r;
    net n;
    uint32_t inputs, macs; /* inputs: that have a shape */
} graph;

static uint32_t count(const graph *g) { return g->n.inputs + g->n.nodes; }

static int exists(const graph *g, uint32_t v) { return v < g->inputs || (v >= g->n.inputs && v < count(g)); }

/* Mostly the value that was made last. */
static uint32_t pick(const graph *g) {
    uint32_t v = count(g) - 1;
    if (!g->n.nodes || rng_chance(g->r, 35)) v = rng_below(g->r, count(g));
    while (!exists(g, v)) v = rng_below(g->r, count(g));
    return v;
}

static int alike(const net_spec *a, const net_spec *b) {
    return a->dtype == b->dtype && a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

/* A value of this kind, preferably one that is there; -1 where there is none. */
static int64_t find(graph *g, const net_spec *spec) {
    uint32_t start = rng_below(g->r, count(g));
    for (uint32_t i = 0; i < count(g) && !rng_chance(g->r, 20); i++) {
        uint32_t v = (start + i) % count(g);
        if (exists(g, v) && alike(&g->n.values[v], spec)) return v;
    }
    if (g->inputs == g->n.inputs || spec->dtype != BNN_FLOAT32) return -1;
    g->n.values[g->inputs] = *spec;
    return g->inputs++;
}

static uint32_t last_dim(const net_spec *s) { return s->dims[s->rank - 1]; }

/* ---- operators: each sets the node and its output, or returns 0 where the input is none for it ---- */

/* With which no product is rounded. */
static float weight(rng *r) { return (float)rng_between(r, -1, 1); }

static int make_sum(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->rank != 1 && in->rank != 3) return 0;
    *out = random_sum(g->r, node, in, g->macs);
    net_tensor *w = &node->tensors[0];
    int conv = in->rank == 3, binary = node->op == OP_BINARY_CONV2D || node->op == OP_BINARY_DENSE;
    if (binary && in->dtype == BNN_BITS && node->attributes[11] < 2)
        node->attributes[conv ? 12 : 0] = rng_chance(g->r, 30);
    if (binary) return 1;
    size_t elements = net_elements(&w->spec);
    if (rng_chance(g->r, 30)) {
        w->spec.dtype = BNN_INT8, w->bytes = elements;
        for (size_t i = 0; i < elements; i++) ((int8_t *)w->data)[i] = (int8_t)weight(g->r);
    } else {
        for (size_t i = 0; i < elements; i++) ((float *)w->data)[i] = weight(g->r);
    }
    return 1;
}

static int make_pool(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->rank != 3 || in->dtype == BNN_UINT8) return 0;
    *out = random_pool(g->r, node, in);
    if (in->dtype == BNN_FLOAT32 && rng_chance(g->r, 30)) {
        node->op = OP_AVERAGE_POOL2D;
        node->attributes[10] = rng_below(g->r, 2);
    }
    return 1;
}

static int make_global(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->rank != 3 || in->dtype == BNN_UINT8) return 0;
    node->op = in->dtype == BNN_FLOAT32 && rng_chance(g->r, 40) ? OP_GLOBAL_MAX_POOL : OP_GLOBAL_AVERAGE_POOL;
    *out = (net_spec){BNN_FLOAT32, 1, {in->dims[2]}};
    return 1;
}

static int make_binarize(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype == BNN_BITS) return 0;
    *out = random_binarize(g->r, node, in);
    return 1;
}

static int make_scale(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    *out = random_scale(g->r, node, in);
    return 1;
}

static int make_prelu(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype != BNN_FLOAT32) return 0;
    *out = *in;
    node->op = rng_chance(g->r, 60) ? OP_PRELU : OP_CLIP;
    uint32_t first = node->op == OP_CLIP ? rng_below(g->r, 3) : 0; /* 2: both limits */
    for (uint32_t slot = 0; slot < (node->op == OP_PRELU ? 3 : 2); slot++)
        if (node->op == OP_CLIP ? first == 2 || first == slot : slot == 0 || rng_chance(g->r, 50))
            random_floats(g->r, node, slot, last_dim(in), 4, 0);
    return 1;
}

static int make_rows(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    static const float some[] = {0.0f, 1e-5f, 1.0f};
    if (in->dtype != BNN_FLOAT32) return 0;
    *out = *in;
    uint32_t kind = rng_below(g->r, 4);
    node->op = kind == 0 ? OP_SOFTMAX : kind == 1 ? OP_LAYER_NORM : OP_UNARY;
    if (kind > 1) node->attributes[0] = rng_below(g->r, UNARIES);
    if (kind != 1) return 1;
    memcpy(node->attributes, &some[rng_below(g->r, 3)], 4);
    random_floats(g->r, node, 0, last_dim(in), 4, 0);
    random_floats(g->r, node, 1, last_dim(in), 4, 0);
    return 1;
}

/* The second may have one number a channel, or one a pixel, for all. */
static int make_merge(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype != BNN_FLOAT32) return 0;
    net_spec with = *in;
    uint32_t kind = rng_below(g->r, 10);
    if (kind == 0) {
        with.dims[in->rank - 1] = 1;
    } else if (kind < 4) {
        if (rng_chance(g->r, 50)) with = (net_spec){BNN_FLOAT32, 1, {last_dim(in)}};
        for (uint32_t i = 0; i + 1 < with.rank; i++) with.dims[i] = 1;
    }
    int64_t other = find(g, &with);
    if (other < 0) return 0;
    node->op = OP_ADD + rng_below(g->r, 3);
    node->others = 1, node->other[0] = (uint32_t)other;
    if (alike(&with, in) && rng_chance(g->r, 50)) node->other[0] = node->input, node->input = (uint32_t)other;
    *out = *in;
    return 1;
}

static int make_concat(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype == BNN_UINT8) return 0;
    uint32_t axis = rng_below(g->r, in->rank), most = (uint32_t)rng_between(g->r, 1, 3);
    *out = *in;
    for (uint32_t v = 0, seen = rng_below(g->r, count(g)); v < count(g) && node->others < most; v++) {
        net_spec other = g->n.values[(seen + v) % count(g)];
        if (!exists(g, (seen + v) % count(g))) continue;
        uint32_t size = other.dims[axis];
        other.dims[axis] = in->dims[axis];
        if (!alike(&other, in)) continue;
        node->other[node->others++] = (seen + v) % count(g);
        out->dims[axis] += size;
    }
    node->op = OP_CONCAT;
    node->attributes[0] = axis;
    return node->others > 0;
}

static int make_slice(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype == BNN_UINT8) return 0;
    uint32_t axis = rng_below(g->r, in->rank), size = in->dims[axis], start = rng_below(g->r, size);
    *out = *in;
    out->dims[axis] = 1 + rng_below(g->r, size - start);
    node->op = OP_SLICE;
    node->attributes[0] = axis, node->attributes[1] = start, node->attributes[2] = out->dims[axis];
    return 1;
}

static int make_shuffle(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    uint32_t groups = (uint32_t)rng_between(g->r, 2, 40);
    if (in->dtype == BNN_UINT8 || last_dim(in) % groups) return 0;
    *out = *in;
    node->op = OP_CHANNEL_SHUFFLE;
    node->attributes[0] = groups;
    return 1;
}

static int make_transpose(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype == BNN_UINT8) return 0;
    uint32_t axes[BNN_MAX_RANK] = {0, 1, 2, 3, 4, 5};
    *out = *in;
    node->op = OP_TRANSPOSE;
    for (uint32_t i = 0; i < in->rank; i++) {
        uint32_t k = i + rng_below(g->r, in->rank - i), axis = axes[k];
        axes[k] = axes[i], axes[i] = axis;
        node->attributes[i] = axis;
        out->dims[i] = in->dims[axis];
    }
    return 1;
}

static int make_reshape(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    *out = (net_spec){in->dtype, 1, {(uint32_t)net_elements(in)}};
    node->op = rng_chance(g->r, 40) ? OP_FLATTEN : OP_RESHAPE;
    if (node->op == OP_FLATTEN) return 1;
    while (out->rank < 3) { /* splits the last dimension by a divisor of it */
        uint32_t last = last_dim(out), by = (uint32_t)rng_between(g->r, 1, 9);
        while (last % by) by--;
        out->dims[out->rank - 1] = by;
        out->dims[out->rank++] = last / by;
    }
    return 1;
}

static int make_larger(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->rank != 3 || in->dtype == BNN_UINT8) return 0;
    *out = *in;
    uint32_t *a = node->attributes;
    if (rng_chance(g->r, 40)) {
        node->op = OP_UPSAMPLE2D;
        for (int i = 0; i < 2; i++) out->dims[i] *= a[i] = (uint32_t)rng_between(g->r, 1, 3);
        return 1;
    }
    float value = rng_chance(g->r, 50) ? 1.0f : -1.0f;
    node->op = OP_PAD;
    for (int i = 0; i < 4; i++) out->dims[i % 2] += a[i] = rng_below(g->r, 4);
    memcpy(&a[4], &value, sizeof value);
    return 1;
}

static int make_matmul(graph *g, net_node *node, const net_spec *in, net_spec *out) {
    if (in->dtype != BNN_BITS || in->rank < 2) return 0;
    float scale = rng_chance(g->r, 50) ? 0.1f : -2.0f;
    uint32_t first = rng_below(g->r, count(g));
    for (uint32_t i = 0; i < count(g); i++) {
        uint32_t v = (first + i) % count(g);
        net_spec other = g->n.values[v];
        uint32_t rows = other.rank > 1 ? other.dims[other.rank - 2] : 0;
        if (!exists(g, v) || other.rank != in->rank) continue;
        other.dims[in->rank - 2] = in->dims[in->rank - 2];
        if (!alike(&other, in)) continue;
        *out = *in;
        out->dtype = BNN_FLOAT32;
        out->dims[in->rank - 1] = rows;
        node->op = OP_BINARY_MATMUL;
        node->others = 1, node->other[0] = v;
        node->attributes[0] = rng_below(g->r, 2);
        memcpy(&node->attributes[1], &scale, sizeof scale);
        return 1;
    }
    return 0;
}

static void drop(net_node *node) {
    for (int t = 0; t < NET_SLOTS; t++) free(node->tensors[t].data);
    memset(node, 0, sizeof *node);
}

typedef int (*maker)(graph *, net_node *, const net_spec *, net_spec *);

static void add(graph *g, uint32_t input, maker make) {
    net_node *node = &g->n.node[g->n.nodes];
    net_spec in = g->n.values[input], out = {0};
    *node = (net_node){.input = input};
    if (in.rank && in.dtype != BNN_INT64 && make(g, node, &in, &out) && net_elements(&out) <= MOST_ELEMENTS) {
        g->n.values[g->n.inputs + g->n.nodes++] = out;
        return;
    }
    drop(node);
}

static void add_any(graph *g) {
    static const maker makers[] = {make_sum,      make_sum,       make_sum,     make_sum,    make_pool,  make_global,
                                   make_binarize, make_binarize,  make_scale,   make_scale,  make_prelu, make_prelu,
                                   make_prelu,    make_merge,     make_merge,   make_merge,  make_merge, make_merge,
                                   make_rows,     make_rows,      make_slice,   make_concat, make_slice, make_larger,
                                   make_shuffle,  make_transpose, make_reshape, make_matmul};
    uint32_t input = pick(g);
    add(g, input, makers[rng_below(g->r, sizeof makers / sizeof *makers)]);
}

/* A convolution, what runs in its pass, and a pool that is fed by it, on an image that is large enough. */
static void add_stem(graph *g) {
    static const maker makers[] = {make_scale, make_prelu, make_merge, make_rows};
    g->n.values[0] = (net_spec){BNN_FLOAT32, 3, {(uint32_t)rng_between(g->r, 60, 70), 32, 2}};
    uint32_t macs = g->macs;
    g->macs = 2000000;
    while (!g->n.nodes || net_elements(&g->n.values[INPUTS]) < FED) {
        if (g->n.nodes) drop(&g->n.node[--g->n.nodes]);
        add(g, 0, make_sum);
    }
    g->macs = macs;
    for (uint32_t i = rng_below(g->r, 5); i--;)
        add(g, rng_chance(g->r, 80) ? count(g) - 1 : INPUTS, makers[rng_below(g->r, 4)]);
    add(g, count(g) - 1, make_pool);
}

static net_spec first_input(rng *r) {
    net_spec in = {rng_chance(r, 30) ? BNN_UINT8 : BNN_FLOAT32, 3, {0}};
    for (uint32_t i = 0; i < 2; i++) in.dims[i] = (uint32_t)rng_between(r, 1, 9);
    if (rng_chance(r, 15)) in.dims[rng_below(r, 2)] = (uint32_t)rng_between(r, 10, 40);
    in.dims[2] = random_channels(r);
    if (rng_chance(r, 10)) in = (net_spec){in.dtype, 1, {random_channels(r)}};
    return in;
}

static int is_read(const net *n, uint32_t value) {
    for (uint32_t i = 0; i < n->nodes; i++) {
        if (n->node[i].input == value) return 1;
        for (uint32_t k = 0; k < n->node[i].others; k++)
            if (n->node[i].other[k] == value) return 1;
    }
    return 0;
}

/* The value as floats. */
static uint32_t show(net *n, uint32_t value) {
    net_spec out = n->values[value];
    net_node *node = &n->node[n->nodes];
    *node = (net_node){.op = OP_SCALE_BIAS, .input = value};
    for (uint32_t slot = 0; slot < 2; slot++) {
        float *x = net_tensor_new(node, slot, (net_spec){BNN_FLOAT32, 1, {last_dim(&out)}});
        for (uint32_t i = 0; i < last_dim(&out); i++) x[i] = slot ? 0.0f : 1.0f;
    }
    out.dtype = BNN_FLOAT32;
    n->values[n->inputs + n->nodes] = out;
    return n->inputs + n->nodes++;
}

net random_graph(rng *r, uint32_t macs) {
    graph g = {.r = r, .n = {.inputs = INPUTS}, .inputs = 1, .macs = macs};
    uint32_t nodes = (uint32_t)rng_between(r, 2, MOST_NODES);
    g.n.values[0] = first_input(r);
    if (rng_chance(r, 4)) add_stem(&g), nodes = g.n.nodes + nodes % 4;
    for (uint32_t tries = 0; (g.n.nodes < nodes && tries < 400) || !g.n.nodes; tries++) add_any(&g);
    for (; g.inputs < INPUTS; g.inputs++) g.n.values[g.inputs] = (net_spec){BNN_FLOAT32, 1, {1}};
    uint32_t keep = rng_below(r, 3) * 10;
    for (uint32_t v = INPUTS, end = count(&g); v < end; v++) {
        if (!rng_chance(r, is_read(&g.n, v) ? keep : 80)) continue;
        g.n.output[g.n.outputs++] = g.n.values[v].dtype == BNN_BITS ? show(&g.n, v) : v;
    }
    if (!g.n.outputs) net_show_all(&g.n);
    return g.n;
}

void net_show_all(net *n) {
    n->outputs = 0;
    for (uint32_t v = n->inputs, end = n->inputs + n->nodes; v < end; v++)
        n->output[n->outputs++] = n->values[v].dtype == BNN_BITS ? show(n, v) : v;
}
