/* One file through the whole engine: loaded, planned for several instruction sets, run, and compared with naive.h. */
#ifndef EXERCISE_H
#define EXERCISE_H

#include "bnncore.h"
#include "rng.h"

/* What became of a file. */
typedef enum outcome {
    OUTCOME_FORMAT,
    OUTCOME_VERSION,
    OUTCOME_MODEL,
    OUTCOME_LIMIT, /* loaded, but over the limits, or inputs and outputs too large to try */
    OUTCOME_RAN,
    OUTCOMES,
    OUTCOME_WRONG = -1, /* a finding, told on stderr */
} outcome;

extern const char *const outcome_name[OUTCOMES];

typedef struct exercise {
    bnn_limits limits;
    uint32_t batch;
    uint32_t threads;  /* of one plan beside those with one thread; 0 for none */
    uint64_t compared; /* numbers that agreed with the naive ones: counted up */
    uint64_t rounded;  /* numbers not compared, as rounding decides */
} exercise;

outcome exercise_file(exercise *e, rng *r, const unsigned char *file, size_t size);

#endif
