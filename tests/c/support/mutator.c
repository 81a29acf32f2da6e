#include "mutator.h"
#include "net.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 64, ENTRY = 32, SECTIONS = 5, START = HEADER + SECTIONS * ENTRY, VALUE = 40, NODE = 160, TENSOR = 48 };
enum { GRAPH, NAMES, TENSORS, METADATA, DATA };

const char *const mutation_name[MUTATIONS] = {"header", "table", "graph", "value",    "node",   "attribute",
                                              "tensor", "data",  "name",  "metadata", "splice", "checksum"};

/* A field: where in its record, how wide. */
typedef struct field {
    uint8_t at, bytes;
} field;

static const field header_fields[] = {{0, 8}, {8, 2}, {10, 2}, {12, 4}, {16, 8}, {28, 8}, {52, 8}};
static const field entry_fields[] = {{0, 4}, {8, 8}, {16, 8}, {24, 8}};
static const field graph_fields[] = {{0, 4}, {4, 4}, {8, 4}, {12, 4}, {16, 4}, {20, 4}};
static const field value_fields[] = {{0, 4},  {4, 4},  {8, 1},  {9, 1},  {10, 2}, {12, 4},
                                     {16, 4}, {20, 4}, {24, 4}, {28, 4}, {32, 4}, {36, 4}};
static const field node_fields[] = {{0, 2},  {2, 1},  {3, 1},  {4, 4},  {8, 4},  {12, 4}, {16, 4}, {40, 4},
                                    {44, 4}, {48, 4}, {60, 4}, {64, 4}, {68, 4}, {72, 4}, {76, 4}, {80, 4},
                                    {12, 4}, {12, 4}, {60, 4}, {64, 4}, {68, 4}, {156, 4}};
static const field tensor_fields[] = {{0, 1},  {1, 1},  {2, 2},  {4, 4},  {8, 4},  {12, 4},
                                      {16, 4}, {20, 4}, {24, 4}, {28, 4}, {32, 8}, {40, 8}};
#define FIELDS(list) list, sizeof list / sizeof *list

/* ---- the file's parts ---- */

typedef struct view {
    unsigned char *at[SECTIONS];
    size_t bytes[SECTIONS];
    uint32_t values, nodes, tensors;
    unsigned char *value, *node; /* the first record */
} view;

static uint64_t get(const unsigned char *p, int bytes) {
    uint64_t number = 0;
    while (bytes--) number = number << 8 | p[bytes];
    return number;
}

static void set(unsigned char *p, int bytes, uint64_t number) {
    for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(number >> 8 * i);
}

/* 0 where the section table or the counts cannot be followed. */
static int view_of(view *v, unsigned char *file, size_t size) {
    if (size < START) return 0;
    for (int i = 0; i < SECTIONS; i++) {
        uint64_t offset = get(file + HEADER + i * ENTRY + 8, 8), bytes = get(file + HEADER + i * ENTRY + 16, 8);
        if (offset > size || bytes > size - offset) return 0;
        v->at[i] = file + offset;
        v->bytes[i] = (size_t)bytes;
    }
    if (v->bytes[GRAPH] < 16) return 0;
    v->values = (uint32_t)get(v->at[GRAPH], 4);
    v->nodes = (uint32_t)get(v->at[GRAPH] + 4, 4);
    v->tensors = (uint32_t)(v->bytes[TENSORS] / TENSOR);
    uint64_t head = (16 + 4 * get(v->at[GRAPH] + 12, 4) + 7) / 8 * 8;
    uint64_t end = head + (uint64_t)v->values * VALUE + (uint64_t)v->nodes * NODE;
    if (end != v->bytes[GRAPH] || !v->values || !v->nodes || !v->tensors) return 0;
    v->value = v->at[GRAPH] + head;
    v->node = v->value + (size_t)v->values * VALUE;
    return 1;
}

/* ---- numbers ---- */

static void change(rng *r, unsigned char *p, int bytes) {
    static const uint64_t odd[] = {
        0,     1,     2,          3,          4,          5,          7,          8,     11,    12,
        63,    64,    65,         127,        128,        255,        256,        4095,  32767, 32768,
        65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, UINT32_MAX, UINT64_MAX, 16383, 16384, (uint64_t)1 << 62};
    uint64_t old = get(p, bytes), now = old;
    switch (rng_below(r, 6)) {
    case 0:
        now = odd[rng_below(r, sizeof odd / sizeof *odd)];
        break;
    case 1:
        now = old ^ UINT64_C(1) << rng_below(r, 8 * (uint32_t)bytes);
        break;
    case 2:
        now = old + (uint64_t)rng_between(r, -2, 2);
        break;
    case 3:
        now = rng_chance(r, 50) ? old * 2 : old / 2;
        break;
    case 4:
        now = rng_below(r, 8);
        break;
    default:
        now = rng_next(r);
    }
    set(p, bytes, now);
}

static void change_field(rng *r, unsigned char *record, const field *fields, size_t count) {
    field f = fields[rng_below(r, (uint32_t)count)];
    change(r, record + f.at, f.bytes);
}

/* One of a run of numbers, or the same number from elsewhere in the run. */
static void change_number(rng *r, unsigned char *p, size_t bytes) {
    static const float floats[] = {0.0f, -0.0f, 1.0f, -1.0f, 1e38f, -1e38f, 1e-42f, 0.5f, 3.0f, 256.0f};
    if (bytes == 0) return;
    size_t at = rng_below(r, (uint32_t)bytes);
    if (rng_chance(r, 50) && bytes >= 4) {
        memcpy(p + at / 4 % (bytes / 4) * 4, &floats[rng_below(r, 10)], 4);
    } else if (rng_chance(r, 50)) {
        p[at] ^= (unsigned char)(1u << rng_below(r, 8));
    } else {
        p[at] = (unsigned char)rng_next(r);
    }
}

static void change_text(rng *r, unsigned char *p, size_t bytes) {
    static const unsigned char odd[] = {0, '\n', 0x7f, 0x80, 0xc2, 0xe2, 0xed, 0xf0, 0xff, 'n', 'v', '0', '1'};
    if (bytes) p[rng_below(r, (uint32_t)bytes)] = odd[rng_below(r, sizeof odd)];
}

/* ---- bytes in and out ---- */

/* Rewrites the file with `count` bytes put into (or, negative, taken out of) section s at `at`. */
static size_t splice(const view *v, unsigned char *file, size_t room, int s, size_t at, long count,
                     const unsigned char *more) {
    size_t end = START, taken = count < 0 ? (size_t)-count : 0, put = count > 0 ? (size_t)count : 0;
    unsigned char *whole = calloc(room, 1);
    memcpy(whole, file, START);
    for (int i = 0; i < SECTIONS; i++) {
        size_t bytes = v->bytes[i] + (i == s ? put - taken : 0);
        end = (end + 63) / 64 * 64;
        if (end + bytes > room) {
            free(whole);
            return 0;
        }
        size_t before = i == s ? at : v->bytes[i];
        memcpy(whole + end, v->at[i], before);
        if (i == s) {
            memcpy(whole + end + at, more, put);
            memcpy(whole + end + at + put, v->at[i] + at + taken, v->bytes[i] - at - taken);
        }
        set(whole + HEADER + i * ENTRY + 8, 8, end);
        set(whole + HEADER + i * ENTRY + 16, 8, bytes);
        end += bytes;
    }
    set(whole + 16, 8, end);
    memcpy(file, whole, end);
    free(whole);
    return end;
}

/* Whole records or a few bytes, doubled, zeroed or dropped, with the count put right or not. */
static size_t splice_some(rng *r, const view *v, unsigned char *file, size_t room) {
    static const uint8_t sizes[] = {1, 4, 8, 16, 40, 48, 64, 160};
    unsigned char more[256] = {0};
    int s = (int)rng_below(r, SECTIONS);
    size_t count = sizes[rng_below(r, sizeof sizes)], at = rng_below(r, (uint32_t)v->bytes[s] + 1);
    if (rng_chance(r, 60)) { /* at a record's begin */
        size_t record = s == GRAPH ? (rng_chance(r, 50) ? VALUE : NODE) : s == TENSORS ? TENSOR : 8;
        size_t first = s == GRAPH ? (size_t)((record == VALUE ? v->value : v->node) - v->at[GRAPH]) : 0;
        count = record;
        at = first + rng_below(r, (uint32_t)((v->bytes[s] - first) / record) + 1) * record;
        if (s == GRAPH && rng_chance(r, 70)) change(r, v->at[GRAPH] + (record == NODE ? 4 : 0), 4);
        if (s == METADATA && rng_chance(r, 70)) change(r, v->at[METADATA], 4);
    }
    if (rng_chance(r, 50) && count <= v->bytes[s] - at) {
        if (rng_chance(r, 50)) return splice(v, file, room, s, at, -(long)count, more);
        memcpy(more, v->at[s] + at, count);
    }
    return splice(v, file, room, s, at, (long)count, more);
}

/* ---- shapes ---- */

static void window_dims(const unsigned char *a, const unsigned char *in, unsigned char *out) {
    for (int axis = 0; axis < 2; axis++) {
        uint64_t kernel = get(a + 4 * axis, 4), stride = get(a + 8 + 4 * axis, 4), dilation = get(a + 16 + 4 * axis, 4);
        uint64_t size = get(in + 12 + 4 * axis, 4) + get(a + 24 + 4 * axis, 4) + get(a + 32 + 4 * axis, 4);
        uint64_t extent = dilation * (kernel - 1) + 1;
        if (stride && extent <= size) set(out + 12 + 4 * axis, 4, (size - extent) / stride + 1);
    }
}

void repair_shapes(unsigned char *file, size_t size) {
    view v;
    if (!view_of(&v, file, size)) return;
    for (uint32_t i = 0; i < v.nodes; i++) {
        const unsigned char *node = v.node + (size_t)i * NODE, *a = node + 92;
        uint64_t op = get(node, 2), from = get(node + 12, 4), to = get(node + 44, 4), weight = get(node + 60, 4);
        if (from >= v.values || to >= v.values) continue;
        const unsigned char *in = v.value + from * VALUE;
        unsigned char *out = v.value + to * VALUE;
        uint64_t rank = get(in + 9, 1) % 7, elements = 1;
        for (uint64_t d = 0; d < rank; d++) elements *= get(in + 12 + 4 * d, 4);
        if (op == OP_BINARY_CONV2D || op == OP_CONV2D || op == OP_MAX_POOL2D || op == OP_AVERAGE_POOL2D)
            window_dims(a, in, out);
        if (op == OP_BINARY_CONV2D || op == OP_CONV2D || op == OP_BINARY_DENSE || op == OP_DENSE) {
            if (weight >= v.tensors) continue;
            uint64_t outputs = get(v.at[TENSORS] + weight * TENSOR + 4, 4), last = get(out + 9, 1) % 7;
            if (last) set(out + 12 + 4 * (last - 1), 4, outputs);
            set(out + 8, 1, get(node + 64, 4) < v.tensors ? BNN_BITS : BNN_FLOAT32);
        } else if (op == OP_BINARIZE || op == OP_SCALE_BIAS || op == OP_SOFTMAX || op == OP_CHANNEL_SHUFFLE ||
                   op == OP_LAYER_NORM || (op >= OP_PRELU && op <= OP_MULTIPLY)) {
            memcpy(out + 9, in + 9, 27);
        } else if (op == OP_SLICE && get(a, 4) < rank) {
            memcpy(out + 9, in + 9, 27);
            set(out + 12 + 4 * get(a, 4), 4, get(a + 8, 4));
        } else if (op == OP_PAD || op == OP_UPSAMPLE2D) {
            for (int d = 0; d < 2; d++) {
                uint64_t side = get(in + 12 + 4 * d, 4), first = get(a + 4 * d, 4), second = get(a + 8 + 4 * d, 4);
                set(out + 12 + 4 * d, 4, op == OP_PAD ? side + first + second : side * first);
            }
        } else if (op == OP_FLATTEN) {
            set(out + 12, 4, elements);
            out[8] = in[8];
        }
    }
}

/* ---- all of it ---- */

static size_t pick(rng *r, size_t count, size_t record) { return rng_below(r, (uint32_t)count) * record; }

size_t mutate(rng *r, mutation kind, unsigned char *file, size_t size, size_t room) {
    view v;
    if (!view_of(&v, file, size)) {
        change_number(r, file, size);
        net_sign(file, size);
        return size;
    }
    size_t now = 0;
    switch (kind) {
    case MUTATE_HEADER:
        change_field(r, file, FIELDS(header_fields));
        break;
    case MUTATE_TABLE:
        change_field(r, file + HEADER + pick(r, SECTIONS, ENTRY), FIELDS(entry_fields));
        break;
    case MUTATE_GRAPH:
        change_field(r, v.at[GRAPH], FIELDS(graph_fields));
        break;
    case MUTATE_VALUE:
        change_field(r, v.value + pick(r, v.values, VALUE), FIELDS(value_fields));
        break;
    case MUTATE_NODE:
        change_field(r, v.node + pick(r, v.nodes, NODE), FIELDS(node_fields));
        break;
    case MUTATE_ATTRIBUTE:
        change(r, v.node + pick(r, v.nodes, NODE) + 92 + pick(r, rng_chance(r, 90) ? 12 : 16, 4), 4);
        break;
    case MUTATE_TENSOR:
        change_field(r, v.at[TENSORS] + pick(r, v.tensors, TENSOR), FIELDS(tensor_fields));
        break;
    case MUTATE_DATA:
        change_number(r, v.at[DATA], v.bytes[DATA]);
        break;
    case MUTATE_NAME:
        change_text(r, v.at[NAMES], v.bytes[NAMES]);
        break;
    case MUTATE_METADATA:
        if (rng_chance(r, 50))
            change(r, v.at[METADATA] + pick(r, v.bytes[METADATA] / 4, 4), 4);
        else
            change_text(r, v.at[METADATA], v.bytes[METADATA]);
        break;
    case MUTATE_SPLICE:
        now = splice_some(r, &v, file, room);
        break;
    default:
        file[rng_chance(r, 50) ? 60 + rng_below(r, 4) : 24 + rng_below(r, 4)] ^= (unsigned char)(1u << rng_below(r, 8));
        return size;
    }
    if (now) size = now;
    if (rng_chance(r, 50)) repair_shapes(file, size);
    net_sign(file, size);
    return size;
}
