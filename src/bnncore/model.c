/* What a loaded model tells about itself. */
#include "model.h"
#include "layout.h"
#include "memory.h"
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

uint64_t bnn_spec_elements(const bnn_spec *spec) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < spec->rank; i++) n = bnn_size_mul(n, spec->dims[i]);
    return n;
}

uint64_t bnn_spec_bytes(const bnn_spec *spec) {
    uint64_t elements = bnn_spec_elements(spec);
    switch (spec->dtype) {
    case BNN_UINT8:
    case BNN_INT8:
        return elements;
    case BNN_INT64:
        return bnn_size_mul(elements, 8);
    case BNN_BITS: {
        uint64_t last = spec->dims[spec->rank - 1];
        return bnn_size_mul(elements / last, bnn_words((size_t)last) * BNN_WORD_BYTES);
    }
    default:
        return bnn_size_mul(elements, 4);
    }
}

void bnn_model_free(bnn_model *model) {
    if (!model) return;
    bnn_memory_free(model->bytes);
    free(model->names);
    free(model->values);
    free(model->nodes);
    free(model->tensors);
    free(model->outputs);
    free(model->metadata);
    free(model);
}

const void *bnn_model_bytes(const bnn_model *model, size_t *size) {
    *size = model->size;
    return model->bytes;
}

uint32_t bnn_model_input_count(const bnn_model *model) { return model->input_count; }
uint32_t bnn_model_output_count(const bnn_model *model) { return model->output_count; }
uint32_t bnn_model_value_count(const bnn_model *model) { return model->value_count; }
uint32_t bnn_model_node_count(const bnn_model *model) { return model->node_count; }
uint32_t bnn_model_metadata_count(const bnn_model *model) { return model->metadata_count; }
uint32_t bnn_model_output(const bnn_model *model, uint32_t i) { return model->outputs[i]; }
const bnn_spec *bnn_model_value(const bnn_model *model, uint32_t id) { return &model->values[id]; }

void bnn_model_metadata(const bnn_model *model, uint32_t i, const char **key, size_t *key_bytes, const char **value,
                        size_t *value_bytes) {
    const unsigned char *entry = model->metadata[i];
    uint32_t length[2];
    memcpy(length, entry, sizeof length);
    *key = (const char *)entry + sizeof length, *key_bytes = length[0];
    *value = *key + length[0], *value_bytes = length[1];
}

bnn_status bnn_model_node(const bnn_model *model, uint32_t i, bnn_node_info *info) {
    if (i >= model->node_count) return BNN_E_ARGUMENT;
    const bnn_node *node = &model->nodes[i];
    memset(info, 0, sizeof *info);
    info->name = node->name;
    info->op = node->op->name;
    memcpy(info->inputs, node->inputs, sizeof info->inputs);
    memcpy(info->outputs, node->outputs, sizeof info->outputs);
    memcpy(info->attributes, node->attributes, sizeof info->attributes);
    for (int t = 0; t < BNN_NODE_TENSORS; t++) {
        if (!node->tensors[t]) continue;
        info->tensors[t] = node->tensors[t]->spec;
        info->tensor_data[t] = node->tensors[t]->data;
        info->tensor_bytes[t] = node->tensors[t]->bytes;
    }
    return BNN_OK;
}
