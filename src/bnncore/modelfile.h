/* The reader of .bnn files, in three rooms: header and sections (modelfile.c), tensors and metadata
 * (modelfile_tables.c), the graph and its names (modelfile_graph.c). docs/format.md says what they refuse.
 */
#ifndef BNN_MODELFILE_H
#define BNN_MODELFILE_H

#include "error.h"
#include "model.h"

enum {
    BNN_SECTION_GRAPH,
    BNN_SECTION_NAMES,
    BNN_SECTION_TENSORS,
    BNN_SECTION_METADATA,
    BNN_SECTION_DATA,
    BNN_SECTIONS
};

/* A file as it is being read. */
typedef struct bnn_reader {
    bnn_model *model;
    bnn_error *error;
    const unsigned char *section[BNN_SECTIONS];
    uint64_t bytes[BNN_SECTIONS];
    uint64_t names_used;
    char *name_at; /* where the next NUL-ended copy of a name goes */
    uint32_t tensors_used, values_made;
} bnn_reader;

bnn_status bnn_read_tensors(bnn_reader *reader);
bnn_status bnn_read_metadata(bnn_reader *reader);
bnn_status bnn_read_graph(bnn_reader *reader);

/* Dims, rank and the reserved field behind it, which values and tensors share; `what` and `index` are for messages. */
bnn_status bnn_read_dims(bnn_reader *reader, const unsigned char *rank, const unsigned char *dims, bnn_spec *spec,
                         const char *what, uint32_t index);

/* Whether the bytes are valid UTF-8 (RFC 3629: no overlong forms, no surrogates); control characters by choice. */
int bnn_utf8_valid(const unsigned char *text, uint64_t bytes, int allow_control);

static inline uint32_t bnn_get16(const unsigned char *p) { return p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t bnn_get32(const unsigned char *p) { return bnn_get16(p) | bnn_get16(p + 2) << 16; }
static inline uint64_t bnn_get64(const unsigned char *p) { return bnn_get32(p) | (uint64_t)bnn_get32(p + 4) << 32; }

static inline int bnn_all_zero(const unsigned char *p, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        if (p[i]) return 0;
    return 1;
}

/* A file that breaks the format; for functions whose reader is called r. */
#define BAD(...) bnn_fail(r->error, BNN_E_FORMAT, __VA_ARGS__)
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        bnn_status status_ = (call);                                                                                   \
        if (status_ != BNN_OK) return status_;                                                                         \
    } while (0)

#endif
