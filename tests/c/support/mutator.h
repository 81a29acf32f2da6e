/* Changes a .bnn file where it means something: fields, counts, ids, dims, attributes, tensors, offsets, names,
 * metadata, whole records; and signs it again. */
#ifndef MUTATOR_H
#define MUTATOR_H

#include "rng.h"

#include <stddef.h>

typedef enum mutation {
    MUTATE_HEADER,
    MUTATE_TABLE,
    MUTATE_GRAPH, /* its counts and output ids */
    MUTATE_VALUE,
    MUTATE_NODE,
    MUTATE_ATTRIBUTE,
    MUTATE_TENSOR,
    MUTATE_DATA,
    MUTATE_NAME,
    MUTATE_METADATA,
    MUTATE_SPLICE,   /* bytes put in or taken out, offsets put right */
    MUTATE_CHECKSUM, /* left wrong */
    MUTATIONS
} mutation;

extern const char *const mutation_name[MUTATIONS];

/* Changes the file in place and returns its new size, at most `room`. */
size_t mutate(rng *r, mutation kind, unsigned char *file, size_t size, size_t room);

/* Puts the shapes that nodes make into the records of their values, so that a changed attribute may go through. */
void repair_shapes(unsigned char *file, size_t size);

#endif
