/* Tensors with their data, and metadata. */
#include "modelfile.h"
#include "layout.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { TENSOR = 48, METADATA_HEAD = 8, ENTRY_HEAD = 8, ENTRY_LEAST = 16 };

bnn_status bnn_read_dims(bnn_reader *r, const unsigned char *rank, const unsigned char *dims, bnn_spec *spec,
                         const char *what, uint32_t index) {
    if (*rank > BNN_MAX_RANK)
        return BAD("%s %u: rank: got %u, at most %d", what, (unsigned)index, (unsigned)*rank, BNN_MAX_RANK);
    if (bnn_get16(rank + 1)) return BAD("%s %u: reserved field is not zero", what, (unsigned)index);
    spec->rank = *rank;
    for (uint32_t i = 0; i < BNN_MAX_RANK; i++) {
        spec->dims[i] = bnn_get32(dims + 4 * i);
        if (i < spec->rank ? spec->dims[i] - 1 >= INT32_MAX : spec->dims[i] != 0)
            return BAD("%s %u: dimension %u: got %u", what, (unsigned)index, (unsigned)i, (unsigned)spec->dims[i]);
    }
    if (bnn_spec_elements(spec) > INT32_MAX) return BAD("%s %u: more than 2^31 - 1 elements", what, (unsigned)index);
    return BNN_OK;
}

static bnn_status check_tensor_data(bnn_reader *r, const bnn_tensor *t, uint32_t index) {
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

bnn_status bnn_read_tensors(bnn_reader *r) {
    bnn_model *m = r->model;
    if (r->bytes[BNN_SECTION_TENSORS] % TENSOR)
        return BAD("tensors section: %llu bytes are not whole records",
                   (unsigned long long)r->bytes[BNN_SECTION_TENSORS]);
    if (r->bytes[BNN_SECTION_TENSORS] / TENSOR > UINT32_MAX - 1) return BAD("tensors section: too many records");
    m->tensor_count = (uint32_t)(r->bytes[BNN_SECTION_TENSORS] / TENSOR);
    m->tensors = calloc((size_t)m->tensor_count + 1, sizeof *m->tensors);
    if (!m->tensors) return bnn_fail(r->error, BNN_E_MEMORY, "no memory for %u tensors", (unsigned)m->tensor_count);
    uint64_t end = 0;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const unsigned char *p = r->section[BNN_SECTION_TENSORS] + (size_t)i * TENSOR;
        bnn_tensor *t = &m->tensors[i];
        if (p[0] != BNN_BITS && p[0] != BNN_INT32 && p[0] != BNN_FLOAT32 && p[0] != BNN_INT8)
            return BAD("tensor %u: dtype: got %u, wanted 1, 3, 5 or 6", (unsigned)i, (unsigned)p[0]);
        t->spec.dtype = (bnn_dtype)p[0];
        TRY(bnn_read_dims(r, p + 1, p + 4, &t->spec, "tensor", i));
        if (t->spec.rank == 0) return BAD("tensor %u: rank: got 0, at least 1", (unsigned)i);
        if (bnn_get32(p + 28)) return BAD("tensor %u: reserved field is not zero", (unsigned)i);
        uint64_t offset = bnn_get64(p + 32), bytes = bnn_get64(p + 40);
        if (bytes != bnn_spec_bytes(&t->spec))
            return BAD("tensor %u: bytes: got %llu, but its dtype and dims make %llu", (unsigned)i,
                       (unsigned long long)bytes, (unsigned long long)bnn_spec_bytes(&t->spec));
        if (offset != bnn_size_align(end))
            return BAD("tensor %u: offset: got %llu, wanted %llu", (unsigned)i, (unsigned long long)offset,
                       (unsigned long long)bnn_size_align(end));
        if (offset > r->bytes[BNN_SECTION_DATA] || bytes > r->bytes[BNN_SECTION_DATA] - offset)
            return BAD("tensor %u: does not lie inside the data section", (unsigned)i);
        if (!bnn_all_zero(r->section[BNN_SECTION_DATA] + end, offset - end))
            return BAD("tensor %u: padding before it is not zero", (unsigned)i);
        end = offset + bytes;
        t->data = r->section[BNN_SECTION_DATA] + offset;
        t->bytes = (size_t)bytes;
        TRY(check_tensor_data(r, t, i));
    }
    if (end != r->bytes[BNN_SECTION_DATA])
        return BAD("data section: %llu bytes after the last tensor",
                   (unsigned long long)(r->bytes[BNN_SECTION_DATA] - end));
    return BNN_OK;
}

/* The entry at p, of which `room` bytes are left in the section; its size with padding goes to *size. */
static bnn_status read_entry(bnn_reader *r, const unsigned char *p, uint64_t room, uint32_t i, uint64_t *size) {
    if (room < ENTRY_HEAD) return BAD("metadata entry %u: cut off", (unsigned)i);
    uint32_t key = bnn_get32(p), value = bnn_get32(p + 4);
    uint64_t bytes = (uint64_t)ENTRY_HEAD + key + value;
    *size = (bytes + 7) / 8 * 8;
    if (key - 1 >= 255) return BAD("metadata entry %u: key bytes: got %u, wanted 1 to 255", (unsigned)i, (unsigned)key);
    if (*size > room) return BAD("metadata entry %u: cut off", (unsigned)i);
    if (!bnn_utf8_valid(p + ENTRY_HEAD, key, 0))
        return BAD("metadata entry %u: its key is not valid UTF-8, or has a control character", (unsigned)i);
    if (!bnn_utf8_valid(p + ENTRY_HEAD + key, value, 1))
        return BAD("metadata entry %u: its value is not valid UTF-8", (unsigned)i);
    if (!bnn_all_zero(p + bytes, *size - bytes)) return BAD("metadata entry %u: padding is not zero", (unsigned)i);
    return BNN_OK;
}

/* Whether entry b's key comes after entry a's. */
static int ascending(const unsigned char *a, const unsigned char *b) {
    uint32_t a_bytes = bnn_get32(a), b_bytes = bnn_get32(b);
    int order = memcmp(a + ENTRY_HEAD, b + ENTRY_HEAD, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order < 0 || (order == 0 && a_bytes < b_bytes);
}

bnn_status bnn_read_metadata(bnn_reader *r) {
    const unsigned char *p = r->section[BNN_SECTION_METADATA];
    uint64_t left = r->bytes[BNN_SECTION_METADATA];
    bnn_model *m = r->model;
    if (left < METADATA_HEAD) return BAD("metadata section: shorter than its 8-byte head");
    uint32_t count = bnn_get32(p);
    if (bnn_get32(p + 4)) return BAD("metadata section: reserved field is not zero");
    p += METADATA_HEAD, left -= METADATA_HEAD;
    if (count > left / ENTRY_LEAST)
        return BAD("metadata section: %u entries in %llu bytes", (unsigned)count, (unsigned long long)left);
    m->metadata = calloc((size_t)count + 1, sizeof *m->metadata);
    if (!m->metadata) return bnn_fail(r->error, BNN_E_MEMORY, "no memory for %u metadata entries", (unsigned)count);
    for (; m->metadata_count < count; m->metadata_count++) {
        uint32_t i = m->metadata_count;
        uint64_t size;
        TRY(read_entry(r, p, left, i, &size));
        if (i && !ascending(m->metadata[i - 1], p))
            return BAD("metadata entry %u: keys are not in ascending order", (unsigned)i);
        m->metadata[i] = p;
        p += size, left -= size;
    }
    if (left) return BAD("metadata section: %llu bytes after the last entry", (unsigned long long)left);
    return BNN_OK;
}
