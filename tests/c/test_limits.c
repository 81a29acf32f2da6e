/* Small files that would cost much: refused before the cost. Without the limits each of these takes seconds or more,
 * so that the many rounds here would not end.
 */
#include "kernels.h"
#include "support/check.h"
#include "support/net.h"

#include <string.h>

enum { ROUNDS = 200 };

/* What one layer is refused for. */
static void refused(net *n, bnn_limits limits, const char *message) {
    size_t size;
    unsigned char *file = net_write(n, &size);
    for (int i = 0; i < ROUNDS; i++) {
        bnn_model *model;
        bnn_plan *plan = (bnn_plan *)1;
        bnn_error error = {0};
        CHECK(bnn_model_load(file, size, &model, &error) == BNN_OK);
        CHECK(bnn_plan_build(model, &(bnn_plan_options){.limits = limits}, &plan, &error) == BNN_E_LIMIT);
        CHECK(plan == NULL && strstr(error.message, message));
        bnn_model_free(model);
    }
    free(file);
    net_free(n);
}

static net_spec image(bnn_dtype dtype, uint32_t height, uint32_t width, uint32_t channels) {
    return (net_spec){dtype, 3, {height, width, channels}};
}

/* One layer on an input; attributes of a 1x1 window with stride 1. */
static net one_layer(uint32_t op, net_spec in, net_spec out) {
    net n = {.inputs = 1, .nodes = 1, .outputs = 1, .values = {in, out}, .output = {1}};
    n.node[0] = (net_node){.op = op, .attributes = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1}};
    return n;
}

/* 2^31 - 1 output rows of bits, each of which belongs to a border class. */
static void test_tall_image(void) {
    const uint32_t rows = INT32_MAX;
    net n = one_layer(OP_BINARIZE, image(BNN_UINT8, rows, 1, 1), image(BNN_BITS, rows, 1, 1));
    memset(n.node[0].attributes, 0, sizeof n.node[0].attributes);
    net_tensor_new(&n.node[0], 0, (net_spec){BNN_FLOAT32, 1, {1}});
    net_tensor_new(&n.node[0], 1, (net_spec){BNN_BITS, 1, {1}});
    n.node[n.nodes++] = (net_node){.op = OP_BINARY_CONV2D, .input = 1, .attributes = {3, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1}};
    net_tensor_new(&n.node[1], 0, (net_spec){BNN_BITS, 4, {1, 3, 1, 1}});
    n.values[2] = image(BNN_FLOAT32, rows, 1, 1);
    n.output[0] = 2;
    refused(&n, (bnn_limits){.max_bytes = 1 << 20}, "bytes of tables");
}

/* 1,024 comparisons for each of 16 million outputs. */
static void test_wide_pool(void) {
    net n = one_layer(OP_MAX_POOL2D, image(BNN_FLOAT32, 4096, 4096, 1), image(BNN_FLOAT32, 4065, 4065, 1));
    n.node[0].attributes[0] = n.node[0].attributes[1] = 32;
    n.node[0].attributes[10] = 0;
    refused(&n, (bnn_limits){.max_macs = 1 << 30}, "16920806400 multiply-accumulates and comparisons");
}

/* 100 products for each of 20 million outputs. */
static void test_wide_sum(void) {
    const uint32_t rows = 20000000;
    net n = one_layer(OP_CONV2D, image(BNN_UINT8, rows, 1, 10), image(BNN_FLOAT32, rows, 1, 10));
    net_tensor_new(&n.node[0], 0, (net_spec){BNN_FLOAT32, 4, {10, 1, 1, 10}});
    refused(&n, (bnn_limits){.max_macs = 1 << 30}, "2000000000 multiply-accumulates and comparisons");
}

/* 8 MB of bits that are 256 MB of floats while they are packed, in a form of 8 MB again. */
static void test_deep_sum(void) {
    const uint32_t depth = 1 << 20;
    net n = one_layer(OP_BINARY_DENSE, (net_spec){BNN_FLOAT32, 1, {depth}}, (net_spec){BNN_FLOAT32, 1, {64}});
    memset(n.node[0].attributes, 0, sizeof n.node[0].attributes);
    net_tensor_new(&n.node[0], 0, (net_spec){BNN_BITS, 2, {64, depth}});
    refused(&n, (bnn_limits){.max_bytes = 1 << 26}, "needs 268435456 bytes of tables");
}

/* A value of 8 GiB between two small ones. */
static void test_large_value(void) {
    net_spec in = image(BNN_UINT8, 46340, 46340, 1);
    net n = one_layer(OP_SCALE_BIAS, in, image(BNN_FLOAT32, 46340, 46340, 1));
    memset(n.node[0].attributes, 0, sizeof n.node[0].attributes);
    for (uint32_t slot = 0; slot < 2; slot++) net_tensor_new(&n.node[0], slot, (net_spec){BNN_FLOAT32, 1, {1}});
    n.node[n.nodes++] = (net_node){.op = OP_GLOBAL_AVERAGE_POOL, .input = 1};
    n.values[2] = (net_spec){BNN_FLOAT32, 1, {1}};
    n.output[0] = 2;
    refused(&n, (bnn_limits){.max_bytes = UINT64_C(1) << 32}, "a session needs 8589582400 bytes");
}

/* 128 million weights of one output fill panels of 8, on 32 bits too. */
static void test_sizes_are_not_cut(void) {
    const uint32_t depth = 1u << 27;
    CHECK(bnn_fgemm_ref.floats.bytes(depth, 1) == UINT64_C(32) * (depth + 1));
    CHECK(bnn_fgemm_ref.floats.bytes(depth / 8, 64) == UINT64_C(256) * (depth / 8 + 1));
    CHECK(bnn_fgemm_ref.signs.bytes(depth, 320) == UINT64_C(40) * (depth + 32));
}

int main(void) {
    test_sizes_are_not_cut();
    test_tall_image();
    test_wide_pool();
    test_wide_sum();
    test_deep_sum();
    test_large_value();
    printf("test_limits: 5 files refused %d times each\n", ROUNDS);
    return 0;
}
