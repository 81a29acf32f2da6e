/* Random inputs and room for outputs of a model, each in memory of just its size. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include "bnncore.h"
#include "rng.h"

enum { ARRAYS_MOST = 96 };

typedef struct arrays {
    uint32_t inputs, outputs;
    void *in[ARRAYS_MOST], *out[ARRAYS_MOST];
    size_t in_bytes[ARRAYS_MOST], out_bytes[ARRAYS_MOST]; /* of one sample */
} arrays;

/* 0 where the network has more, or larger, inputs and outputs than is worth trying. */
int arrays_new(arrays *a, rng *r, const bnn_model *model, uint32_t batch);
void arrays_free(arrays *a);

/* The same inputs, and room of their own for outputs; free it with arrays_free_outputs. */
arrays arrays_twin(const arrays *a, uint32_t batch);
void arrays_free_outputs(arrays *a);

/* Whether the outputs of samples first .. first+batch-1 are the same bytes. */
int arrays_equal(const arrays *a, const arrays *b, uint32_t first, uint32_t batch);

/* Runs samples first .. first+batch-1. */
void arrays_run(const arrays *a, bnn_session *session, uint32_t first, uint32_t batch);

#endif
