/* How a model runs on this CPU: steps with their kernels bound and weights packed, and a place for every value. */
#ifndef BNN_PLAN_H
#define BNN_PLAN_H

#include "arena.h"
#include "ops/op.h"

typedef enum bnn_where { BNN_AT_INPUT, BNN_AT_OUTPUT, BNN_AT_ARENA, BNN_AT_SCRATCH, BNN_AT_WINDOW } bnn_where;

typedef struct bnn_place {
    bnn_where where;
    uint64_t at;    /* number of the input or output; offset in the arena for one sample, or in a thread's scratch */
    uint64_t bytes; /* of one sample */
} bnn_place;

struct bnn_plan {
    const bnn_model *model;
    bnn_isa isa;
    bnn_choices choices;
    uint32_t threads, chunk, step_count;
    bnn_step *steps;
    bnn_place *places; /* one for each value of the model */
    uint64_t arena_bytes, arena_bound, weight_bytes, max_bytes;
    uint64_t scratch_bytes;         /* of one thread, a multiple of BNN_ALIGN */
    uint64_t wake_from, share_from; /* work of a run, and of a step, below which one thread does it */
};

/* Which steps run in the pass of the one before them (passes.c): sets step->followers and step->pass. */
void bnn_plan_passes(bnn_plan *plan);
/* A place for every value (places.c). Working memory: root and lives for each value, order for three times as many,
 * alive for each step and two more. */
void bnn_plan_place(bnn_plan *plan, uint32_t *root, bnn_lifetime *lives, uint32_t *order, uint64_t *alive);

/* About how long a step takes for one sample, in binary multiply-accumulates, for the choice of threads. */
uint64_t bnn_step_work(const bnn_step *step);

#endif
