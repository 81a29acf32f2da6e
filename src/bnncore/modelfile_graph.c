/* Values, nodes, outputs, and the names of the first two. */
#include "modelfile.h"
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

enum { VALUE = 40, NODE = 160 };

static bnn_status read_name(bnn_reader *r, const unsigned char *p, const char **name, const char *what,
                            uint32_t index) {
    uint32_t offset = bnn_get32(p), bytes = bnn_get32(p + 4);
    if (bytes - 1 >= 255)
        return BAD("%s %u: name bytes: got %u, wanted 1 to 255", what, (unsigned)index, (unsigned)bytes);
    if (offset != r->names_used || bytes > r->bytes[BNN_SECTION_NAMES] - r->names_used)
        return BAD("%s %u: its name is not the next one of the names section", what, (unsigned)index);
    if (!bnn_utf8_valid(r->section[BNN_SECTION_NAMES] + offset, bytes, 0))
        return BAD("%s %u: its name is not valid UTF-8, or has a control character", what, (unsigned)index);
    memcpy(r->name_at, r->section[BNN_SECTION_NAMES] + offset, bytes); /* the copy's memory is zeroed: a NUL follows */
    *name = r->name_at;
    r->name_at += bytes + 1;
    r->names_used += bytes;
    return BNN_OK;
}

static bnn_status read_value(bnn_reader *r, const unsigned char *p, uint32_t id) {
    bnn_spec *v = &r->model->values[id];
    TRY(read_name(r, p, &v->name, "value", id));
    if (p[8] != BNN_BITS && p[8] != BNN_UINT8 && p[8] != BNN_INT64 && p[8] != BNN_FLOAT32)
        return BAD("value %u: dtype: got %u, wanted 1, 2, 4 or 5", (unsigned)id, (unsigned)p[8]);
    v->dtype = (bnn_dtype)p[8];
    TRY(bnn_read_dims(r, p + 9, p + 12, v, "value", id));
    if (bnn_get32(p + 36)) return BAD("value %u: reserved field is not zero", (unsigned)id);
    if (v->dtype == BNN_BITS && v->rank == 0) return BAD("value %u: bits need a rank of at least 1", (unsigned)id);
    if (id < r->model->input_count && v->dtype != BNN_UINT8 && v->dtype != BNN_FLOAT32)
        return BAD("value %u: dtype: an input is uint8 or float32, got %s", (unsigned)id, bnn_dtype_name(v->dtype));
    return BNN_OK;
}

static bnn_status read_node(bnn_reader *r, const unsigned char *p, uint32_t index) {
    bnn_node *node = &r->model->nodes[index];
    node->op = bnn_op_find(bnn_get16(p));
    if (!node->op)
        return BAD("node %u: operator: got %u, which this version does not have", (unsigned)index,
                   (unsigned)bnn_get16(p));
    uint32_t most = node->op->most_inputs ? node->op->most_inputs : node->op->inputs;
    if (p[2] < node->op->inputs || p[2] > most || p[3] != node->op->outputs)
        return BAD("node %u: %s has %u to %u input(s) and %u output(s), got %u and %u", (unsigned)index, node->op->name,
                   (unsigned)node->op->inputs, (unsigned)most, (unsigned)node->op->outputs, (unsigned)p[2],
                   (unsigned)p[3]);
    node->input_count = p[2];
    TRY(read_name(r, p + 4, &node->name, "node", index));
    for (uint32_t i = 0; i < BNN_NODE_INPUTS; i++) {
        node->inputs[i] = bnn_get32(p + 12 + 4 * i);
        if (i < p[2] && node->inputs[i] >= r->values_made)
            return BAD("node %u: input %u: got value %u, which no earlier node makes", (unsigned)index, (unsigned)i,
                       (unsigned)node->inputs[i]);
        if (i >= p[2] && node->inputs[i] != BNN_NONE)
            return BAD("node %u: input %u: got value %u in a slot that is not used", (unsigned)index, (unsigned)i,
                       (unsigned)node->inputs[i]);
    }
    for (uint32_t i = 0; i < BNN_NODE_OUTPUTS; i++) {
        node->outputs[i] = bnn_get32(p + 44 + 4 * i);
        if (i >= p[3] && node->outputs[i] != BNN_NONE)
            return BAD("node %u: output %u: got value %u in a slot that is not used", (unsigned)index, (unsigned)i,
                       (unsigned)node->outputs[i]);
        if (i < p[3] && (node->outputs[i] != r->values_made || r->values_made >= r->model->value_count))
            return BAD("node %u: output %u: got value %u, wanted the next one", (unsigned)index, (unsigned)i,
                       (unsigned)node->outputs[i]);
        if (i < p[3]) r->values_made++;
    }
    for (uint32_t i = 0; i < BNN_NODE_TENSORS; i++) {
        uint32_t id = bnn_get32(p + 60 + 4 * i);
        if (id == BNN_NONE) continue;
        if (id != r->tensors_used || id >= r->model->tensor_count)
            return BAD("node %u: tensor slot %u: got %u, wanted the next tensor or none", (unsigned)index, (unsigned)i,
                       (unsigned)id);
        node->tensors[i] = &r->model->tensors[r->tensors_used++];
    }
    for (uint32_t i = 0; i < BNN_NODE_ATTRIBUTES; i++) node->attributes[i] = bnn_get32(p + 92 + 4 * i);
    if (bnn_get32(p + 156)) return BAD("node %u: reserved field is not zero", (unsigned)index);
    return BNN_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bnn_status check_unique(bnn_reader *r, const char **names, size_t count, const char *what) {
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0) return BAD("%s name \"%s\" stands twice", what, names[i]);
    return BNN_OK;
}

static bnn_status check_names(bnn_reader *r) {
    const bnn_model *m = r->model;
    if (r->names_used != r->bytes[BNN_SECTION_NAMES])
        return BAD("names section: %llu bytes after the last name",
                   (unsigned long long)(r->bytes[BNN_SECTION_NAMES] - r->names_used));
    const char **names = calloc((size_t)m->value_count + m->node_count, sizeof *names);
    if (!names) return bnn_fail(r->error, BNN_E_MEMORY, "no memory for the names");
    for (uint32_t i = 0; i < m->value_count; i++) names[i] = m->values[i].name;
    for (uint32_t i = 0; i < m->node_count; i++) names[m->value_count + i] = m->nodes[i].name;
    bnn_status status = check_unique(r, names, m->value_count, "value");
    if (status == BNN_OK) status = check_unique(r, names + m->value_count, m->node_count, "node");
    free(names);
    return status;
}

static bnn_status read_outputs(bnn_reader *r, const unsigned char *ids) {
    bnn_model *m = r->model;
    for (uint32_t i = 0; i < m->output_count; i++) {
        m->outputs[i] = bnn_get32(ids + 4 * (size_t)i);
        if (m->outputs[i] >= m->value_count)
            return BAD("output %u: got value %u of %u", (unsigned)i, (unsigned)m->outputs[i], (unsigned)m->value_count);
        if (m->outputs[i] < m->input_count) return BAD("output %u: is an input of the network", (unsigned)i);
        const bnn_spec *v = &m->values[m->outputs[i]];
        if (v->dtype == BNN_BITS)
            return BAD("output %u: value \"%s\" is bits, which cannot leave the network", (unsigned)i, v->name);
        /* values are few and outputs fewer, yet a file may list millions: mark instead of comparing pairs */
        if (r->name_at[m->outputs[i]]++) return BAD("output %u: value \"%s\" stands twice", (unsigned)i, v->name);
    }
    return BNN_OK;
}

bnn_status bnn_read_graph(bnn_reader *r) {
    bnn_model *m = r->model;
    const unsigned char *p = r->section[BNN_SECTION_GRAPH];
    uint64_t bytes = r->bytes[BNN_SECTION_GRAPH];
    if (bytes < 16) return BAD("graph section: shorter than its 16-byte head");
    m->value_count = bnn_get32(p), m->node_count = bnn_get32(p + 4);
    m->input_count = bnn_get32(p + 8), m->output_count = bnn_get32(p + 12);
    if (!m->node_count || !m->input_count || !m->output_count || m->input_count > m->value_count ||
        m->output_count > m->value_count)
        return BAD("graph section: got %u values, %u nodes, %u inputs, %u outputs", (unsigned)m->value_count,
                   (unsigned)m->node_count, (unsigned)m->input_count, (unsigned)m->output_count);
    uint64_t head = 16 + (uint64_t)m->output_count * 4, values = (head + 7) / 8 * 8;
    uint64_t nodes = values + (uint64_t)m->value_count * VALUE, end = nodes + (uint64_t)m->node_count * NODE;
    if (end != bytes)
        return BAD("graph section: its records make %llu bytes, got %llu", (unsigned long long)end,
                   (unsigned long long)bytes);
    if (!bnn_all_zero(p + head, values - head)) return BAD("graph section: padding is not zero");
    m->values = calloc(m->value_count, sizeof *m->values);
    m->nodes = calloc(m->node_count, sizeof *m->nodes);
    m->outputs = calloc(m->output_count, sizeof *m->outputs);
    /* every name and its NUL, then a byte for each value */
    m->names = calloc((size_t)r->bytes[BNN_SECTION_NAMES] + m->value_count * (size_t)2 + m->node_count + 1, 1);
    if (!m->values || !m->nodes || !m->outputs || !m->names)
        return bnn_fail(r->error, BNN_E_MEMORY, "no memory for %u values and %u nodes", (unsigned)m->value_count,
                        (unsigned)m->node_count);
    r->name_at = m->names;
    for (uint32_t i = 0; i < m->value_count; i++) TRY(read_value(r, p + values + (size_t)i * VALUE, i));
    r->values_made = m->input_count;
    for (uint32_t i = 0; i < m->node_count; i++) TRY(read_node(r, p + nodes + (size_t)i * NODE, i));
    if (r->values_made != m->value_count)
        return BAD("graph section: %u values, but %u are made", (unsigned)m->value_count, (unsigned)r->values_made);
    if (r->tensors_used != m->tensor_count)
        return BAD("tensors section: %u tensors, but %u are used", (unsigned)m->tensor_count,
                   (unsigned)r->tensors_used);
    TRY(check_names(r));
    return read_outputs(r, p + 16);
}
