/* What a network computes, from its nodes as bnncore.h tells them, in doubles and in the plainest way. */
#ifndef NAIVE_H
#define NAIVE_H

#include "bnncore.h"

typedef enum naive_trust {
    NAIVE_EXACT,   /* the engine must give just this */
    NAIVE_CLOSE,   /* to about 1e-5 */
    NAIVE_UNKNOWN, /* rounding on the way decides */
} naive_trust;

typedef struct naive_value {
    double *x; /* bits as +1 and -1 */
    size_t count;
    naive_trust trust;
} naive_value;

/* Every value of the model for one sample; NULL where there is no memory. */
naive_value *naive_run(const bnn_model *model, const void *const *inputs);
void naive_free(const bnn_model *model, naive_value *values);

#endif
