/* The network as the reader leaves it: validated, in tables, its tensors inside one aligned copy of the file. */
#ifndef BNN_MODEL_H
#define BNN_MODEL_H

#include "bnncore.h"

enum { BNN_NODE_INPUTS = 8, BNN_NODE_OUTPUTS = 4, BNN_NODE_TENSORS = 8, BNN_NODE_ATTRIBUTES = 16 };

#define BNN_NONE UINT32_MAX

typedef struct bnn_tensor {
    bnn_spec spec;
    const void *data;
    size_t bytes;
} bnn_tensor;

struct bnn_op;

typedef struct bnn_node {
    const struct bnn_op *op;
    const char *name;
    uint32_t input_count;
    uint32_t inputs[BNN_NODE_INPUTS], outputs[BNN_NODE_OUTPUTS]; /* value ids, BNN_NONE past the op's count */
    const bnn_tensor *tensors[BNN_NODE_TENSORS];                 /* NULL where absent */
    uint32_t attributes[BNN_NODE_ATTRIBUTES];
} bnn_node;

struct bnn_model {
    unsigned char *bytes; /* the file */
    size_t size;
    char *names; /* the names, each ended by a NUL */
    bnn_spec *values;
    bnn_node *nodes;
    bnn_tensor *tensors;
    uint32_t *outputs;
    uint32_t value_count, node_count, input_count, output_count, tensor_count, metadata_count;
    const unsigned char **metadata; /* the entries, in the file */
};

/* Bytes that a value of one sample, or a tensor, takes; bits fill whole words along the last dimension. Saturating. */
uint64_t bnn_spec_bytes(const bnn_spec *spec);
/* Product of all dims. Saturating. */
uint64_t bnn_spec_elements(const bnn_spec *spec);

#endif
