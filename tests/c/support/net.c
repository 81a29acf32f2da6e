#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 64, ENTRY = 32, SECTIONS = 5, START = HEADER + SECTIONS * ENTRY };

static void *must(void *memory) {
    if (memory) return memory;
    fprintf(stderr, "no memory\n");
    exit(2);
}

void net_free(net *n) {
    for (uint32_t i = 0; i < n->nodes; i++)
        for (int t = 0; t < NET_SLOTS; t++) free(n->node[i].tensors[t].data);
    memset(n, 0, sizeof *n);
}

size_t net_elements(const net_spec *spec) {
    size_t count = 1;
    for (uint32_t i = 0; i < spec->rank; i++) count *= spec->dims[i];
    return count;
}

size_t net_bytes(const net_spec *spec) {
    size_t count = net_elements(spec);
    if (spec->dtype == BNN_UINT8 || spec->dtype == BNN_INT8) return count;
    if (spec->dtype == BNN_INT64) return count * 8;
    if (spec->dtype != BNN_BITS) return count * 4;
    size_t last = spec->dims[spec->rank - 1];
    return count / last * ((last + 63) / 64) * 8;
}

void *net_tensor_new(net_node *node, uint32_t slot, net_spec spec) {
    net_tensor *t = &node->tensors[slot];
    t->spec = spec;
    t->bytes = net_bytes(&spec);
    t->data = must(calloc(t->bytes, 1));
    return t->data;
}

/* ---- bytes one after the other ---- */

typedef struct buffer {
    unsigned char *data;
    size_t size, room;
} buffer;

static void put(buffer *b, const void *bytes, size_t size) {
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->data = must(realloc(b->data, b->room));
    }
    if (size) memcpy(b->data + b->size, bytes, size);
    b->size += size;
}

/* The low `bytes` bytes of a number. */
static void put_number(buffer *b, uint64_t number, size_t bytes) {
    unsigned char raw[8];
    for (size_t i = 0; i < bytes; i++) raw[i] = (unsigned char)(number >> 8 * i);
    put(b, raw, bytes);
}

static void pad_to(buffer *b, size_t to) {
    while (b->size % to) put_number(b, 0, 1);
}

/* ---- sections ---- */

static void put_name(buffer *graph, buffer *names, char kind, uint32_t number) {
    char text[16];
    int bytes = snprintf(text, sizeof text, "%c%u", kind, (unsigned)number);
    put_number(graph, names->size, 4);
    put_number(graph, (uint64_t)bytes, 4);
    put(names, text, (size_t)bytes);
}

/* dtype, rank, dims and the reserved fields around them: 32 bytes. */
static void put_spec(buffer *b, const net_spec *spec) {
    put_number(b, spec->dtype, 1);
    put_number(b, spec->rank, 1);
    put_number(b, 0, 2);
    for (int i = 0; i < BNN_MAX_RANK; i++) put_number(b, spec->dims[i], 4);
    put_number(b, 0, 4);
}

static void put_node(buffer *graph, buffer *names, const net *n, uint32_t i, uint32_t *tensors) {
    const net_node *node = &n->node[i];
    put_number(graph, node->op, 2);
    put_number(graph, 0x0101 + node->others, 2);
    put_name(graph, names, 'n', i);
    put_number(graph, node->input, 4);
    for (uint32_t k = 0; k < NET_OTHERS; k++) put_number(graph, k < node->others ? node->other[k] : UINT32_MAX, 4);
    put_number(graph, n->inputs + i, 4);
    for (int k = 1; k < 4; k++) put_number(graph, UINT32_MAX, 4);
    for (int t = 0; t < NET_SLOTS; t++) put_number(graph, node->tensors[t].data ? (*tensors)++ : UINT32_MAX, 4);
    for (int a = 0; a < NET_ATTRIBUTES; a++) put_number(graph, node->attributes[a], 4);
    put_number(graph, 0, 4);
}

static void put_graph(buffer *graph, buffer *names, const net *n) {
    put_number(graph, n->inputs + n->nodes, 4);
    put_number(graph, n->nodes, 4);
    put_number(graph, n->inputs, 4);
    put_number(graph, n->outputs, 4);
    for (uint32_t i = 0; i < n->outputs; i++) put_number(graph, n->output[i], 4);
    pad_to(graph, 8);
    for (uint32_t i = 0; i < n->inputs + n->nodes; i++) {
        put_name(graph, names, 'v', i);
        put_spec(graph, &n->values[i]);
    }
    uint32_t tensors = 0;
    for (uint32_t i = 0; i < n->nodes; i++) put_node(graph, names, n, i, &tensors);
}

static void put_tensors(buffer *tensors, buffer *data, const net *n) {
    for (uint32_t i = 0; i < n->nodes; i++)
        for (int s = 0; s < NET_SLOTS; s++) {
            const net_tensor *t = &n->node[i].tensors[s];
            if (!t->data) continue;
            pad_to(data, 64);
            put_spec(tensors, &t->spec);
            put_number(tensors, data->size, 8);
            put_number(tensors, t->bytes, 8);
            put(data, t->data, t->bytes);
        }
}

static void put_metadata(buffer *b, uint32_t entries) {
    put_number(b, entries, 8);
    for (uint32_t i = 0; i < entries; i++) {
        char key[16], value[32];
        int key_bytes = snprintf(key, sizeof key, "key%05u", (unsigned)i);
        int value_bytes = snprintf(value, sizeof value, "\xc3\xbc%.*s", (int)(i % 10), "ber etwas\n");
        put_number(b, (uint64_t)key_bytes, 4);
        put_number(b, (uint64_t)value_bytes, 4);
        put(b, key, (size_t)key_bytes);
        put(b, value, (size_t)value_bytes);
        pad_to(b, 8);
    }
}

static uint32_t minor_of(const net *n) {
    for (uint32_t i = 0; i < n->nodes; i++)
        if (n->node[i].op > OP_ARGMAX || n->node[i].tensors[0].spec.dtype == BNN_INT8) return 1;
    return 0;
}

unsigned char *net_write(const net *n, size_t *size) {
    buffer sections[SECTIONS] = {{0}}, file = {0}, table = {0};
    put_graph(&sections[0], &sections[1], n);
    put_tensors(&sections[2], &sections[4], n);
    put_metadata(&sections[3], n->metadata);
    uint64_t end = START;
    for (uint32_t i = 0; i < SECTIONS; i++) {
        end = (end + 63) / 64 * 64;
        put_number(&table, i + 1, 8);
        put_number(&table, end, 8);
        put_number(&table, sections[i].size, 8);
        put_number(&table, 0, 8);
        end += sections[i].size;
    }
    put(&file,
        "\x89"
        "BNN\r\n\x1a\n",
        8);
    put_number(&file, 1, 2);
    put_number(&file, minor_of(n), 2);
    put_number(&file, SECTIONS, 4);
    put_number(&file, end, 8);
    while (file.size < HEADER) put_number(&file, 0, 1);
    put(&file, table.data, table.size);
    for (int i = 0; i < SECTIONS; i++) {
        pad_to(&file, 64);
        put(&file, sections[i].data, sections[i].size);
        free(sections[i].data);
    }
    free(table.data);
    net_sign(file.data, file.size);
    *size = file.size;
    return file.data;
}

static uint64_t number_at(const unsigned char *p, int bytes) {
    uint64_t number = 0;
    while (bytes--) number = number << 8 | p[bytes];
    return number;
}

static void put_crc(unsigned char *at, const unsigned char *bytes, size_t size) {
    uint32_t crc = bnn_crc32c(bytes, size);
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(crc >> 8 * i);
}

void net_sign(unsigned char *file, size_t size) {
    if (size < START) return;
    for (int i = 0; i < SECTIONS; i++) {
        unsigned char *entry = file + HEADER + i * ENTRY;
        uint64_t offset = number_at(entry + 8, 8), bytes = number_at(entry + 16, 8);
        if (offset <= size && bytes <= size - offset) put_crc(entry + 4, file + offset, (size_t)bytes);
    }
    put_crc(file + 24, file + HEADER, SECTIONS * ENTRY);
    put_crc(file + 60, file, 60);
}
