/* Untrusted bytes to a validated model, as docs/format.md says. Cheapest checks first; nothing is allocated for a table
 * before its size is known to fit in the file; every place is computed from what stands before it and compared with
 * what the file says, so there is no offset to follow blindly. */
#include "modelfile.h"
#include "error.h"
#include "layout.h"
#include "memory.h"
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bnncore reads the weights of a little-endian file in place"
#endif

enum { HEADER = 64, SECTION = 32, VALUE = 40, NODE = 160, TENSOR = 48 };
enum { GRAPH, NAMES, TENSORS, METADATA, DATA, SECTIONS };

static const char *const section_name[SECTIONS] = {"graph", "names", "tensors", "metadata", "data"};

typedef struct reader {
    bnn_model *model;
    bnn_error *error;
    const unsigned char *section[SECTIONS];
    uint64_t bytes[SECTIONS];
    uint64_t names_used;
    char *name_at; /* where the next NUL-ended copy of a name goes */
    uint32_t tensors_used, values_made;
} reader;

static uint32_t get16(const unsigned char *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t get32(const unsigned char *p) { return get16(p) | get16(p + 2) << 16; }
static uint64_t get64(const unsigned char *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static int all_zero(const unsigned char *p, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        if (p[i]) return 0;
    return 1;
}

#define BAD(...) bnn_fail(r->error, BNN_E_FORMAT, __VA_ARGS__)
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        bnn_status status_ = (call);                                                                                   \
        if (status_ != BNN_OK) return status_;                                                                         \
    } while (0)

static bnn_status read_header(reader *r) {
    static const unsigned char magic[8] = {0x89, 'B', 'N', 'N', 0x0D, 0x0A, 0x1A, 0x0A};
    const unsigned char *p = r->model->bytes;
    uint64_t size = r->model->size;
    if (size < sizeof magic || memcmp(p, magic, sizeof magic) != 0)
        return BAD("not a .bnn file: it does not start with the .bnn magic bytes");
    if (size < HEADER)
        return BAD("file header: got %llu bytes, wanted 64: the file is cut off", (unsigned long long)size);
    if (get16(p + 8) != 1 || get16(p + 10) > 0)
        return bnn_fail(r->error, BNN_E_VERSION,
                        "file version: got %u.%u, this library reads 1.0: update bnnengine, or save the model again",
                        (unsigned)get16(p + 8), (unsigned)get16(p + 10));
    if (bnn_crc32c(p, 60) != get32(p + 60)) return BAD("file header: its checksum is wrong: the file is damaged");
    if (get32(p + 12) != SECTIONS)
        return BAD("file header: section count: got %u, wanted %d", (unsigned)get32(p + 12), SECTIONS);
    if (get64(p + 16) != size)
        return BAD("file header: file bytes: got %llu, but the file has %llu: it is cut off or has grown",
                   (unsigned long long)get64(p + 16), (unsigned long long)size);
    if (!all_zero(p + 28, 32)) return BAD("file header: reserved bytes are not zero");
    if (size < HEADER + SECTIONS * SECTION) return BAD("section table: the file is cut off");
    if (bnn_crc32c(p + HEADER, SECTIONS * SECTION) != get32(p + 24))
        return BAD("section table: its checksum is wrong: the file is damaged");
    return BNN_OK;
}

static bnn_status read_sections(reader *r) {
    const unsigned char *file = r->model->bytes;
    uint64_t end = HEADER + SECTIONS * SECTION, size = r->model->size;
    for (uint32_t i = 0; i < SECTIONS; i++) {
        const unsigned char *p = file + HEADER + i * SECTION;
        uint64_t offset = get64(p + 8), bytes = get64(p + 16);
        if (get32(p) != i + 1)
            return BAD("section %u: kind: got %u, wanted %u", (unsigned)i, (unsigned)get32(p), (unsigned)i + 1);
        if (get64(p + 24)) return BAD("%s section: reserved field is not zero", section_name[i]);
        if (offset != bnn_size_align(end))
            return BAD("%s section: offset: got %llu, wanted %llu", section_name[i], (unsigned long long)offset,
                       (unsigned long long)bnn_size_align(end));
        if (offset > size || bytes > size - offset)
            return BAD("%s section: %llu bytes at %llu do not lie inside the file", section_name[i],
                       (unsigned long long)bytes, (unsigned long long)offset);
        if (!all_zero(file + end, offset - end))
            return BAD("%s section: padding before it is not zero", section_name[i]);
        end = offset + bytes;
        r->section[i] = file + offset;
        r->bytes[i] = bytes;
    }
    if (end != size)
        return BAD("data section: ends at %llu, but the file at %llu", (unsigned long long)end,
                   (unsigned long long)size);
    for (uint32_t i = 0; i < SECTIONS; i++)
        if (bnn_crc32c(r->section[i], (size_t)r->bytes[i]) != get32(file + HEADER + i * SECTION + 4))
            return BAD("%s section: its checksum is wrong: the file is damaged", section_name[i]);
    return BNN_OK;
}

/* Dims, rank and the reserved fields that values and tensors share. */
static bnn_status read_dims(reader *r, const unsigned char *rank, const unsigned char *dims, bnn_spec *spec,
                            const char *what, uint32_t index) {
    if (*rank > BNN_MAX_RANK)
        return BAD("%s %u: rank: got %u, at most %d", what, (unsigned)index, (unsigned)*rank, BNN_MAX_RANK);
    if (get16(rank + 1)) return BAD("%s %u: reserved field is not zero", what, (unsigned)index);
    spec->rank = *rank;
    for (uint32_t i = 0; i < BNN_MAX_RANK; i++) {
        spec->dims[i] = get32(dims + 4 * i);
        if (i < spec->rank ? spec->dims[i] - 1 >= INT32_MAX : spec->dims[i] != 0)
            return BAD("%s %u: dimension %u: got %u", what, (unsigned)index, (unsigned)i, (unsigned)spec->dims[i]);
    }
    if (bnn_spec_elements(spec) > INT32_MAX) return BAD("%s %u: more than 2^31 - 1 elements", what, (unsigned)index);
    return BNN_OK;
}

static bnn_status check_tensor_data(reader *r, const bnn_tensor *t, uint32_t index) {
    uint32_t last = t->spec.dims[t->spec.rank - 1];
    if (t->spec.dtype == BNN_BITS) {
        const uint64_t *words = t->data, pads = ~bnn_tail_mask(last);
        size_t per_row = bnn_words(last), count = t->bytes / BNN_WORD_BYTES;
        for (size_t w = per_row - 1; w < count; w += per_row)
            if (words[w] & pads) return BAD("tensor %u: bits past the last one are not zero", (unsigned)index);
    } else if (t->spec.dtype == BNN_FLOAT32) {
        const float *x = t->data;
        for (size_t i = 0; i < t->bytes / sizeof *x; i++)
            if (x[i] != x[i]) return BAD("tensor %u: element %zu is not a number", (unsigned)index, i);
    }
    return BNN_OK;
}

static bnn_status read_tensors(reader *r) {
    bnn_model *m = r->model;
    if (r->bytes[TENSORS] % TENSOR)
        return BAD("tensors section: %llu bytes are not whole records", (unsigned long long)r->bytes[TENSORS]);
    if (r->bytes[TENSORS] / TENSOR > UINT32_MAX - 1) return BAD("tensors section: too many records");
    m->tensor_count = (uint32_t)(r->bytes[TENSORS] / TENSOR);
    m->tensors = calloc((size_t)m->tensor_count + 1, sizeof *m->tensors);
    if (!m->tensors) return bnn_fail(r->error, BNN_E_MEMORY, "no memory for %u tensors", (unsigned)m->tensor_count);
    uint64_t end = 0;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const unsigned char *p = r->section[TENSORS] + (size_t)i * TENSOR;
        bnn_tensor *t = &m->tensors[i];
        if (p[0] != BNN_BITS && p[0] != BNN_INT32 && p[0] != BNN_FLOAT32)
            return BAD("tensor %u: dtype: got %u, wanted 1, 3 or 5", (unsigned)i, (unsigned)p[0]);
        t->spec.dtype = (bnn_dtype)p[0];
        TRY(read_dims(r, p + 1, p + 4, &t->spec, "tensor", i));
        if (t->spec.rank == 0) return BAD("tensor %u: rank: got 0, at least 1", (unsigned)i);
        if (get32(p + 28)) return BAD("tensor %u: reserved field is not zero", (unsigned)i);
        uint64_t offset = get64(p + 32), bytes = get64(p + 40);
        if (bytes != bnn_spec_bytes(&t->spec))
            return BAD("tensor %u: bytes: got %llu, but its dtype and dims make %llu", (unsigned)i,
                       (unsigned long long)bytes, (unsigned long long)bnn_spec_bytes(&t->spec));
        if (offset != bnn_size_align(end))
            return BAD("tensor %u: offset: got %llu, wanted %llu", (unsigned)i, (unsigned long long)offset,
                       (unsigned long long)bnn_size_align(end));
        if (offset > r->bytes[DATA] || bytes > r->bytes[DATA] - offset)
            return BAD("tensor %u: does not lie inside the data section", (unsigned)i);
        if (!all_zero(r->section[DATA] + end, offset - end))
            return BAD("tensor %u: padding before it is not zero", (unsigned)i);
        end = offset + bytes;
        t->data = r->section[DATA] + offset;
        t->bytes = (size_t)bytes;
        TRY(check_tensor_data(r, t, i));
    }
    if (end != r->bytes[DATA])
        return BAD("data section: %llu bytes after the last tensor", (unsigned long long)(r->bytes[DATA] - end));
    return BNN_OK;
}

static bnn_status read_metadata(reader *r) {
    const unsigned char *p = r->section[METADATA], *end = p + r->bytes[METADATA], *last = NULL;
    uint32_t last_bytes = 0;
    if (r->bytes[METADATA] < 8) return BAD("metadata section: shorter than its 8-byte head");
    r->model->metadata_count = get32(p);
    if (get32(p + 4)) return BAD("metadata section: reserved field is not zero");
    r->model->metadata = p += 8;
    for (uint32_t i = 0; i < r->model->metadata_count; i++) {
        if (end - p < 8) return BAD("metadata entry %u: cut off", (unsigned)i);
        uint32_t key = get32(p), value = get32(p + 4);
        uint64_t bytes = bnn_round_up((size_t)8 + key, 1) + (uint64_t)value, padded = (bytes + 7) / 8 * 8;
        if (key - 1 >= 255)
            return BAD("metadata entry %u: key bytes: got %u, wanted 1 to 255", (unsigned)i, (unsigned)key);
        if (padded > (uint64_t)(end - p)) return BAD("metadata entry %u: cut off", (unsigned)i);
        if (!bnn_utf8_valid(p + 8, key, 0) || !bnn_utf8_valid(p + 8 + key, value, 1))
            return BAD("metadata entry %u: not valid UTF-8", (unsigned)i);
        if (!all_zero(p + bytes, padded - bytes)) return BAD("metadata entry %u: padding is not zero", (unsigned)i);
        if (last) {
            int order = memcmp(last, p + 8, last_bytes < key ? last_bytes : key);
            if (order > 0 || (order == 0 && last_bytes >= key))
                return BAD("metadata entry %u: keys are not in ascending order", (unsigned)i);
        }
        last = p + 8, last_bytes = key;
        p += padded;
    }
    if (p != end) return BAD("metadata section: %llu bytes after the last entry", (unsigned long long)(end - p));
    return BNN_OK;
}

static bnn_status read_name(reader *r, const unsigned char *p, const char **name, const char *what, uint32_t index) {
    uint32_t offset = get32(p), bytes = get32(p + 4);
    if (bytes - 1 >= 255)
        return BAD("%s %u: name bytes: got %u, wanted 1 to 255", what, (unsigned)index, (unsigned)bytes);
    if (offset != r->names_used || bytes > r->bytes[NAMES] - r->names_used)
        return BAD("%s %u: its name is not the next one of the names section", what, (unsigned)index);
    if (!bnn_utf8_valid(r->section[NAMES] + offset, bytes, 0))
        return BAD("%s %u: its name is not valid UTF-8, or has a control character", what, (unsigned)index);
    memcpy(r->name_at, r->section[NAMES] + offset, bytes); /* the copy's memory is zeroed: a NUL follows */
    *name = r->name_at;
    r->name_at += bytes + 1;
    r->names_used += bytes;
    return BNN_OK;
}

static bnn_status read_value(reader *r, const unsigned char *p, uint32_t id) {
    bnn_spec *v = &r->model->values[id];
    TRY(read_name(r, p, &v->name, "value", id));
    if (p[8] != BNN_BITS && p[8] != BNN_UINT8 && p[8] != BNN_INT64 && p[8] != BNN_FLOAT32)
        return BAD("value %u: dtype: got %u, wanted 1, 2, 4 or 5", (unsigned)id, (unsigned)p[8]);
    v->dtype = (bnn_dtype)p[8];
    TRY(read_dims(r, p + 9, p + 12, v, "value", id));
    if (get32(p + 36)) return BAD("value %u: reserved field is not zero", (unsigned)id);
    if (v->dtype == BNN_BITS && v->rank == 0) return BAD("value %u: bits need a rank of at least 1", (unsigned)id);
    if (id < r->model->input_count && v->dtype != BNN_UINT8 && v->dtype != BNN_FLOAT32)
        return BAD("value %u: dtype: an input is uint8 or float32, got %s", (unsigned)id, bnn_dtype_name(v->dtype));
    return BNN_OK;
}

static bnn_status read_node(reader *r, const unsigned char *p, uint32_t index) {
    bnn_node *node = &r->model->nodes[index];
    node->op = bnn_op_find(get16(p));
    if (!node->op)
        return BAD("node %u: operator: got %u, which this version does not have", (unsigned)index, (unsigned)get16(p));
    if (p[2] != node->op->inputs || p[3] != node->op->outputs)
        return BAD("node %u: %s has %u input(s) and %u output(s), got %u and %u", (unsigned)index, node->op->name,
                   (unsigned)node->op->inputs, (unsigned)node->op->outputs, (unsigned)p[2], (unsigned)p[3]);
    TRY(read_name(r, p + 4, &node->name, "node", index));
    for (uint32_t i = 0; i < BNN_NODE_INPUTS; i++) {
        node->inputs[i] = get32(p + 12 + 4 * i);
        if (i < p[2] ? node->inputs[i] >= r->values_made : node->inputs[i] != BNN_NONE)
            return BAD("node %u: input %u: got value %u, which no earlier node makes", (unsigned)index, (unsigned)i,
                       (unsigned)node->inputs[i]);
    }
    for (uint32_t i = 0; i < BNN_NODE_OUTPUTS; i++) {
        node->outputs[i] = get32(p + 44 + 4 * i);
        uint32_t wanted = i < p[3] ? r->values_made : BNN_NONE;
        if (node->outputs[i] != wanted || (i < p[3] && wanted >= r->model->value_count))
            return BAD("node %u: output %u: got value %u, wanted the next one", (unsigned)index, (unsigned)i,
                       (unsigned)node->outputs[i]);
        if (i < p[3]) r->values_made++;
    }
    for (uint32_t i = 0; i < BNN_NODE_TENSORS; i++) {
        uint32_t id = get32(p + 60 + 4 * i);
        if (id == BNN_NONE) continue;
        if (id != r->tensors_used || id >= r->model->tensor_count)
            return BAD("node %u: tensor slot %u: got %u, wanted the next tensor or none", (unsigned)index, (unsigned)i,
                       (unsigned)id);
        node->tensors[i] = &r->model->tensors[r->tensors_used++];
    }
    for (uint32_t i = 0; i < BNN_NODE_ATTRIBUTES; i++) node->attributes[i] = get32(p + 92 + 4 * i);
    if (get32(p + 156)) return BAD("node %u: reserved field is not zero", (unsigned)index);
    return BNN_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bnn_status check_unique(reader *r, const char **names, size_t count, const char *what) {
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0) return BAD("%s name \"%s\" stands twice", what, names[i]);
    return BNN_OK;
}

static bnn_status check_names(reader *r) {
    const bnn_model *m = r->model;
    if (r->names_used != r->bytes[NAMES])
        return BAD("names section: %llu bytes after the last name",
                   (unsigned long long)(r->bytes[NAMES] - r->names_used));
    const char **names = calloc((size_t)m->value_count + m->node_count, sizeof *names);
    if (!names) return bnn_fail(r->error, BNN_E_MEMORY, "no memory for the names");
    for (uint32_t i = 0; i < m->value_count; i++) names[i] = m->values[i].name;
    for (uint32_t i = 0; i < m->node_count; i++) names[m->value_count + i] = m->nodes[i].name;
    bnn_status status = check_unique(r, names, m->value_count, "value");
    if (status == BNN_OK) status = check_unique(r, names + m->value_count, m->node_count, "node");
    free(names);
    return status;
}

static bnn_status read_outputs(reader *r, const unsigned char *ids) {
    bnn_model *m = r->model;
    for (uint32_t i = 0; i < m->output_count; i++) {
        m->outputs[i] = get32(ids + 4 * (size_t)i);
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

static bnn_status read_graph(reader *r) {
    bnn_model *m = r->model;
    const unsigned char *p = r->section[GRAPH];
    uint64_t bytes = r->bytes[GRAPH];
    if (bytes < 16) return BAD("graph section: shorter than its 16-byte head");
    m->value_count = get32(p), m->node_count = get32(p + 4);
    m->input_count = get32(p + 8), m->output_count = get32(p + 12);
    if (!m->node_count || !m->input_count || !m->output_count || m->input_count > m->value_count ||
        m->output_count > m->value_count)
        return BAD("graph section: got %u values, %u nodes, %u inputs, %u outputs", (unsigned)m->value_count,
                   (unsigned)m->node_count, (unsigned)m->input_count, (unsigned)m->output_count);
    uint64_t head = 16 + (uint64_t)m->output_count * 4, values = (head + 7) / 8 * 8;
    uint64_t nodes = values + (uint64_t)m->value_count * VALUE, end = nodes + (uint64_t)m->node_count * NODE;
    if (end != bytes)
        return BAD("graph section: its records make %llu bytes, got %llu", (unsigned long long)end,
                   (unsigned long long)bytes);
    if (!all_zero(p + head, values - head)) return BAD("graph section: padding is not zero");
    m->values = calloc(m->value_count, sizeof *m->values);
    m->nodes = calloc(m->node_count, sizeof *m->nodes);
    m->outputs = calloc(m->output_count, sizeof *m->outputs);
    /* every name and its NUL, then a byte for each value */
    m->names = calloc((size_t)r->bytes[NAMES] + m->value_count * (size_t)2 + m->node_count + 1, 1);
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

static bnn_status read_all(reader *r) {
    TRY(read_header(r));
    TRY(read_sections(r));
    TRY(read_tensors(r));
    TRY(read_metadata(r));
    TRY(read_graph(r));
    for (uint32_t i = 0; i < r->model->node_count; i++) TRY(bnn_op_check(r->model, &r->model->nodes[i], r->error));
    return BNN_OK;
}

bnn_status bnn_model_load(const void *bytes, size_t size, bnn_model **model, bnn_error *error) {
    *model = NULL;
    reader r = {.model = calloc(1, sizeof(bnn_model)), .error = error};
    if (!r.model) return bnn_fail(error, BNN_E_MEMORY, "no memory for the model");
    r.model->bytes = bnn_memory_new(size);
    r.model->size = size;
    bnn_status status = BNN_E_MEMORY;
    if (r.model->bytes) {
        if (size) memcpy(r.model->bytes, bytes, size);
        status = read_all(&r);
    } else {
        bnn_fail(error, BNN_E_MEMORY, "no memory for a file of %llu bytes", (unsigned long long)size);
    }
    if (status != BNN_OK) {
        bnn_model_free(r.model);
        return status;
    }
    *model = r.model;
    return BNN_OK;
}
