/* Products of two binary activations: each row of the first against all rows of the second, a matrix-vector product
 * (bgemv) that reads both as they lie. Threads share the rows. */
#include "binary_sum.h"
#include "../error.h"
#include "../memory.h"

#include <math.h>
#include <string.h>

enum { ZERO_ONE, SCALE };

typedef struct state {
    const bnn_bgemv_kernel *gemv;
    const bnn_settle_kernel *settle;
    size_t matrices, m, n, k; /* of one sample: pairs of matrices, rows of the first and of the second, bits a row */
    int zero_one;
    float *scale, *bias; /* [n], all alike */
    uint64_t base_at;    /* in scratch, behind the counts */
    uint64_t zeros_at;   /* a row of zeros, behind that */
} state;

static float scale_of(const bnn_node *node) {
    float scale;
    memcpy(&scale, &node->attributes[SCALE], sizeof scale);
    return scale;
}

static bnn_status check(const bnn_check *c) {
    const bnn_spec *a = c->in[0], *b = c->in[1];
    char got[BNN_SPEC_TEXT], want[BNN_SPEC_TEXT];
    BNN_TRY(bnn_check_input(c, 1u << BNN_BITS, -1));
    if (a->rank < 2) return bnn_bad_node(c, "input: got %s, wanted rank at least 2", bnn_spec_text(a, got));
    bnn_spec wanted = *a;
    wanted.dims[a->rank - 2] = b->rank == a->rank ? b->dims[a->rank - 2] : 1;
    if (b->dtype != BNN_BITS || b->rank != a->rank || memcmp(b->dims, wanted.dims, sizeof b->dims) != 0)
        return bnn_bad_node(c, "second input: got %s, wanted %s, or another number of rows", bnn_spec_text(b, got),
                            bnn_spec_text(&wanted, want));
    if (c->node->attributes[ZERO_ONE] > 1)
        return bnn_bad_node(c, "zero_one: got %u, wanted 0 or 1", (unsigned)c->node->attributes[ZERO_ONE]);
    if (!isfinite(scale_of(c->node))) return bnn_bad_node(c, "scale: is not finite");
    uint32_t dims[BNN_MAX_RANK];
    memcpy(dims, a->dims, sizeof dims);
    dims[a->rank - 1] = b->dims[a->rank - 2];
    return bnn_check_output(c, BNN_FLOAT32, a->rank, dims);
}

/* What the counts are taken from: K, or, where the first one's bits are 0 and 1, the ones of each row of the second:
 * the sum of a * b is then (number of +1 in b) - popcount(a XOR b). */
static void fill_base(const state *st, const uint64_t *b, int32_t *base, const uint64_t *zeros) {
    if (st->zero_one)
        st->gemv->run(zeros, b, bnn_words(st->k), st->n, (uint32_t *)base);
    else
        for (size_t i = 0; i < st->n; i++) base[i] = (int32_t)st->k;
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    size_t words = bnn_words(st->k), begin, end, matrix = SIZE_MAX;
    uint32_t *counts = (uint32_t *)(void *)job->scratch, factor = st->zero_one ? 1 : 2;
    int32_t *base = (int32_t *)(void *)(job->scratch + st->base_at);
    uint64_t *zeros = (uint64_t *)(void *)(job->scratch + st->zeros_at);
    memset(zeros, 0, words * BNN_WORD_BYTES);
    bnn_share(job, st->matrices * st->m * job->batch, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        const uint64_t *b = (const uint64_t *)job->in[1] + row / st->m * st->n * words;
        if (row / st->m != matrix) fill_base(st, b, base, zeros);
        matrix = row / st->m;
        st->gemv->run((const uint64_t *)job->in[0] + row * words, b, words, st->n, counts);
        for (size_t i = 0; i < st->n; i++) counts[i] = (uint32_t)base[i] - factor * counts[i];
        st->settle->floats((const int32_t *)counts, 1, st->n, st->scale, st->bias,
                           (float *)job->out[0] + (step->local_out ? 0 : row * st->n));
        bnn_follow(job, &(bnn_part){row, 1, 0, (uint32_t)st->n});
    }
}

static bnn_status prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    const bnn_spec *a = step->in[0], *b = step->in[1];
    uint64_t k = a->dims[a->rank - 1], m = a->dims[a->rank - 2], n = b->dims[b->rank - 2],
             matrices = bnn_spec_elements(a) / k / m;
    uint64_t padded = bnn_round_up((size_t)n, BNN_BLOCK), table = padded * sizeof(float);
    BNN_TRY(bnn_prepare_state(p, bnn_size_align(sizeof(state)) + 2 * table));
    state *st = step->state;
    *st = (state){.gemv = bnn_bgemv_find(p->isa),
                  .settle = bnn_settle_find(p->isa),
                  .matrices = (size_t)matrices,
                  .m = (size_t)m,
                  .n = (size_t)n,
                  .k = (size_t)k,
                  .zero_one = step->node->attributes[ZERO_ONE] != 0};
    st->scale = (float *)(void *)((unsigned char *)step->state + bnn_size_align(sizeof(state)));
    st->bias = st->scale + padded; /* zeros */
    for (uint64_t i = 0; i < n; i++) st->scale[i] = scale_of(step->node);
    bnn_carver scratch = {0};
    bnn_carve(&scratch, table);
    st->base_at = scratch.used;
    bnn_carve(&scratch, table);
    st->zeros_at = scratch.used;
    bnn_carve(&scratch, bnn_words((size_t)k) * BNN_WORD_BYTES);
    step->scratch_bytes = scratch.used;
    step->macs = step->binary_macs = bnn_size_mul(bnn_spec_elements(a), n);
    step->family = "bgemv";
    step->isa = st->gemv->isa;
    step->run = run;
    step->bands = 1;
    step->band_pixels = 1;
    return BNN_OK;
}

const bnn_op bnn_op_binary_matmul = {"binary_matmul", 2, 1, 0, 2, check, prepare};
