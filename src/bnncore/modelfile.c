/* Untrusted bytes to a validated model, as docs/format.md says. Cheapest checks first; nothing is allocated for a table
 * before its size is known to fit in the file; every place is computed from what stands before it and compared with
 * what the file says, so there is no offset to follow blindly. */
#include "modelfile.h"
#include "memory.h"
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bnncore reads the weights of a little-endian file in place"
#endif

enum { HEADER = 64, SECTION = 32 };

static const char *const section_name[BNN_SECTIONS] = {"graph", "names", "tensors", "metadata", "data"};

static bnn_status read_header(bnn_reader *r) {
    static const unsigned char magic[8] = {0x89, 'B', 'N', 'N', 0x0D, 0x0A, 0x1A, 0x0A};
    const unsigned char *p = r->model->bytes;
    uint64_t size = r->model->size;
    if (size < sizeof magic || memcmp(p, magic, sizeof magic) != 0)
        return BAD("not a .bnn file: it does not start with the .bnn magic bytes");
    if (size < HEADER)
        return BAD("file header: got %llu bytes, wanted 64: the file is cut off", (unsigned long long)size);
    if (bnn_get16(p + 8) != 1 || bnn_get16(p + 10) > 1)
        return bnn_fail(
            r->error, BNN_E_VERSION,
            "file version: got %u.%u, this library reads up to 1.1: update bnnengine, or save the model again",
            (unsigned)bnn_get16(p + 8), (unsigned)bnn_get16(p + 10));
    if (bnn_crc32c(p, 60) != bnn_get32(p + 60)) return BAD("file header: its checksum is wrong: the file is damaged");
    if (bnn_get32(p + 12) != BNN_SECTIONS)
        return BAD("file header: section count: got %u, wanted %d", (unsigned)bnn_get32(p + 12), BNN_SECTIONS);
    if (bnn_get64(p + 16) != size)
        return BAD("file header: file bytes: got %llu, but the file has %llu: it is cut off or has grown",
                   (unsigned long long)bnn_get64(p + 16), (unsigned long long)size);
    if (!bnn_all_zero(p + 28, 32)) return BAD("file header: reserved bytes are not zero");
    if (size < HEADER + BNN_SECTIONS * SECTION) return BAD("section table: the file is cut off");
    if (bnn_crc32c(p + HEADER, BNN_SECTIONS * SECTION) != bnn_get32(p + 24))
        return BAD("section table: its checksum is wrong: the file is damaged");
    return BNN_OK;
}

static bnn_status read_sections(bnn_reader *r) {
    const unsigned char *file = r->model->bytes;
    uint64_t end = HEADER + BNN_SECTIONS * SECTION, size = r->model->size;
    for (uint32_t i = 0; i < BNN_SECTIONS; i++) {
        const unsigned char *p = file + HEADER + i * SECTION;
        uint64_t offset = bnn_get64(p + 8), bytes = bnn_get64(p + 16);
        if (bnn_get32(p) != i + 1)
            return BAD("section %u: kind: got %u, wanted %u", (unsigned)i, (unsigned)bnn_get32(p), (unsigned)i + 1);
        if (bnn_get64(p + 24)) return BAD("%s section: reserved field is not zero", section_name[i]);
        if (offset != bnn_size_align(end))
            return BAD("%s section: offset: got %llu, wanted %llu", section_name[i], (unsigned long long)offset,
                       (unsigned long long)bnn_size_align(end));
        if (offset > size || bytes > size - offset)
            return BAD("%s section: %llu bytes at %llu do not lie inside the file", section_name[i],
                       (unsigned long long)bytes, (unsigned long long)offset);
        if (!bnn_all_zero(file + end, offset - end))
            return BAD("%s section: padding before it is not zero", section_name[i]);
        end = offset + bytes;
        r->section[i] = file + offset;
        r->bytes[i] = bytes;
    }
    if (end != size)
        return BAD("data section: ends at %llu, but the file at %llu", (unsigned long long)end,
                   (unsigned long long)size);
    for (uint32_t i = 0; i < BNN_SECTIONS; i++)
        if (bnn_crc32c(r->section[i], (size_t)r->bytes[i]) != bnn_get32(file + HEADER + i * SECTION + 4))
            return BAD("%s section: its checksum is wrong: the file is damaged", section_name[i]);
    return BNN_OK;
}

static bnn_status read_all(bnn_reader *r) {
    TRY(read_header(r));
    TRY(read_sections(r));
    TRY(bnn_read_tensors(r));
    TRY(bnn_read_metadata(r));
    TRY(bnn_read_graph(r));
    for (uint32_t i = 0; i < r->model->node_count; i++) TRY(bnn_op_check(r->model, &r->model->nodes[i], r->error));
    return BNN_OK;
}

bnn_status bnn_model_load(const void *bytes, size_t size, bnn_model **model, bnn_error *error) {
    *model = NULL;
    bnn_reader r = {.model = calloc(1, sizeof(bnn_model)), .error = error};
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
