/* A network in memory, small and loose, and the .bnn file of it, written from docs/format.md alone: nothing here is
 * shared with the engine but bnncore.h. */
#ifndef NET_H
#define NET_H

#include "bnncore.h"

enum { NET_VALUES = 96, NET_SLOTS = 8, NET_ATTRIBUTES = 16, NET_OTHERS = 7 };

enum {
    OP_BINARIZE = 1,
    OP_BINARY_CONV2D,
    OP_BINARY_DENSE,
    OP_CONV2D,
    OP_DENSE,
    OP_MAX_POOL2D,
    OP_GLOBAL_AVERAGE_POOL,
    OP_FLATTEN,
    OP_SCALE_BIAS,
    OP_SOFTMAX,
    OP_ARGMAX,
    OP_PRELU,
    OP_CLIP,
    OP_UNARY,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_CONCAT,
    OP_SLICE,
    OP_CHANNEL_SHUFFLE,
    OP_TRANSPOSE,
    OP_RESHAPE,
    OP_PAD,
    OP_AVERAGE_POOL2D,
    OP_GLOBAL_MAX_POOL,
    OP_UPSAMPLE2D,
    OP_TOP_K,
    OP_LAYER_NORM,
    OP_BINARY_MATMUL,
};

typedef struct net_spec {
    bnn_dtype dtype;
    uint32_t rank, dims[BNN_MAX_RANK];
} net_spec;

typedef struct net_tensor {
    net_spec spec;
    void *data; /* NULL: the slot is empty */
    size_t bytes;
} net_tensor;

/* An operator reads one value, and others beside it, and makes one. */
typedef struct net_node {
    uint32_t op, input, others, other[NET_OTHERS], attributes[NET_ATTRIBUTES];
    net_tensor tensors[NET_SLOTS];
} net_node;

/* Node i makes value inputs + i. */
typedef struct net {
    uint32_t inputs, nodes, outputs, metadata;
    net_spec values[NET_VALUES];
    net_node node[NET_VALUES];
    uint32_t output[NET_VALUES];
} net;

void net_free(net *n);

size_t net_elements(const net_spec *spec);
size_t net_bytes(const net_spec *spec);

/* Room for a tensor in a slot, zeroed; exits where there is no memory. */
void *net_tensor_new(net_node *node, uint32_t slot, net_spec spec);

/* The file, signed; the caller frees it. */
unsigned char *net_write(const net *n, size_t *size);

/* Writes right checksums into a file, as far as its section table can be followed. */
void net_sign(unsigned char *file, size_t size);

#endif
