/* Products of two binary activations. Where the first has a few rows or more, the second is packed as the weights of a
 * bgemm kernel; else each row is a matrix-vector product (bgemv) that reads both as they lie. Threads share the pairs
 * of matrices, or the rows where there are few pairs. */
#include "binary_sum.h"
#include "../error.h"
#include "../memory.h"

#include <math.h>
#include <string.h>

enum { ZERO_ONE, SCALE };
enum { BAND_BYTES = 24 << 10, BAND_ROWS = 16 };

typedef struct state {
    const bnn_bgemm_kernel *gemm; /* NULL where bgemv works */
    const bnn_bgemv_kernel *gemv;
    const bnn_settle_kernel *settle;
    bnn_bgemm_shape shape;
    size_t matrices, m, n, k, padded; /* of one sample: pairs of matrices, rows of the first and of the second, bits */
    size_t band;                      /* rows in one go */
    int zero_one;
    float *scale, *bias;                               /* [padded], all alike */
    uint16_t *no_class;                                /* [band], zeros */
    uint64_t counts_at, zeros_at, packed_at, level_at; /* in scratch: [padded], a row of zeros, ... */
    uint64_t cells_at, kernel_at;
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
static void fill_base(const state *st, const uint64_t *b, unsigned char *scratch, int32_t *base) {
    uint64_t *zeros = (uint64_t *)(void *)(scratch + st->zeros_at);
    memset(zeros, 0, bnn_words(st->k) * BNN_WORD_BYTES);
    if (st->zero_one)
        st->gemv->run(zeros, b, bnn_words(st->k), st->n, (uint32_t *)base);
    else
        for (size_t i = 0; i < st->n; i++) base[i] = (int32_t)st->k;
}

/* bgemm takes twice the counts from its levels: where the sum takes them once, levels are doubled and scales halved. */
static void pack(const state *st, const uint64_t *b, unsigned char *scratch) {
    int32_t *base = (int32_t *)(void *)(scratch + st->counts_at);
    int16_t *level = (int16_t *)(void *)(scratch + st->level_at);
    fill_base(st, b, scratch, base);
    for (size_t i = 0; i < st->n; i++) level[i] = (int16_t)(base[i] << st->zero_one);
    st->gemm->weights_pack(&st->shape, b, scratch + st->packed_at);
}

static void run_band(const state *st, const uint64_t *a, uint32_t rows, unsigned char *scratch, float *y) {
    static const size_t segment = 0;
    const bnn_bgemm_kernel *k = st->gemm;
    size_t cell = k->cell_bytes(&st->shape);
    uint32_t per_cell = k->pixels_per_cell;
    if (k->cells_fill)
        k->cells_fill(&st->shape, a, rows, 1, per_cell, scratch + st->cells_at, (rows + per_cell - 1) / per_cell);
    k->run(&(bnn_bgemm_run){.shape = &st->shape,
                            .weights = scratch + st->packed_at,
                            .cells = k->cells_fill ? (const void *)(scratch + st->cells_at) : a,
                            .tile_bytes = k->cells_fill ? cell : per_cell * cell,
                            .rows = 1,
                            .cols = rows,
                            .segment = &segment,
                            .segments = 1,
                            .segment_taps = 1,
                            .n_end = st->shape.outputs,
                            .scratch = scratch + st->kernel_at,
                            .out = {.kind = BNN_OUT_FLOAT,
                                    .level = (const int16_t *)(const void *)(scratch + st->level_at),
                                    .row_class = st->no_class,
                                    .col_class = st->no_class,
                                    .scale = st->scale,
                                    .bias = st->bias,
                                    .data = y,
                                    .row_stride = st->n,
                                    .stride = st->n}});
}

static void run_row(const state *st, const uint64_t *a, const uint64_t *b, unsigned char *scratch, float *y) {
    int32_t *base = (int32_t *)(void *)(scratch + st->counts_at);
    uint32_t *counts = (uint32_t *)base + st->padded, factor = st->zero_one ? 1 : 2;
    st->gemv->run(a, b, bnn_words(st->k), st->n, counts);
    for (size_t i = 0; i < st->n; i++) counts[i] = (uint32_t)base[i] - factor * counts[i];
    st->settle->floats((const int32_t *)counts, 1, st->n, st->scale, st->bias, y);
}

static void run(const bnn_step *step, const bnn_job *job) {
    const state *st = step->state;
    size_t words = bnn_words(st->k), pairs = st->matrices * job->batch, begin, end, packed = SIZE_MAX;
    bnn_share(job, pairs * st->m, pairs >= job->threads ? st->m : BNN_BLOCK, &begin, &end);
    for (size_t row = begin, rows; row < end; row += rows) {
        size_t pair = row / st->m, left = (pair + 1) * st->m - row;
        const uint64_t *a = (const uint64_t *)job->in[0] + row * words;
        const uint64_t *b = (const uint64_t *)job->in[1] + pair * st->n * words;
        float *y = (float *)job->out[0] + (step->local_out ? 0 : row * st->n);
        rows = left < st->band ? left : st->band;
        if (rows > end - row) rows = end - row;
        if (pair != packed && st->gemm) pack(st, b, job->scratch);
        if (pair != packed && !st->gemm)
            fill_base(st, b, job->scratch, (int32_t *)(void *)(job->scratch + st->counts_at));
        packed = pair;
        if (st->gemm)
            run_band(st, a, (uint32_t)rows, job->scratch, y);
        else
            run_row(st, a, b, job->scratch, y);
        bnn_follow(job, &(bnn_part){row, rows, 0, (uint32_t)st->n});
    }
}

static uint64_t lay_scratch(state *st) {
    const bnn_bgemm_kernel *k = st->gemm;
    bnn_carver scratch = {0};
    st->counts_at = scratch.used;
    bnn_carve(&scratch, 2 * (uint64_t)st->padded * sizeof(uint32_t));
    st->zeros_at = scratch.used;
    bnn_carve(&scratch, (uint64_t)bnn_words(st->k) * BNN_WORD_BYTES);
    if (!k) return scratch.used;
    st->packed_at = scratch.used;
    bnn_carve(&scratch, k->weights_bytes(&st->shape));
    st->level_at = scratch.used;
    bnn_carve(&scratch, (uint64_t)st->padded * sizeof(int16_t));
    st->cells_at = scratch.used;
    if (k->cells_fill) bnn_carve(&scratch, bnn_size_mul(st->band, k->cell_bytes(&st->shape)));
    st->kernel_at = scratch.used;
    if (k->scratch_bytes) bnn_carve(&scratch, k->scratch_bytes(&st->shape, 1, (uint32_t)st->band));
    return scratch.used;
}

static bnn_status prepare(bnn_prepare *p) {
    bnn_step *step = p->step;
    const bnn_spec *a = step->in[0], *b = step->in[1];
    uint32_t k = a->dims[a->rank - 1], m = a->dims[a->rank - 2], n = b->dims[b->rank - 2];
    state st = {.gemm = m > p->choices->matmul_rows && k <= BNN_BGEMM_MAX_K ? bnn_bgemm_find(p->isa) : NULL,
                .gemv = bnn_bgemv_find(p->isa),
                .settle = bnn_settle_find(p->isa),
                .shape = {k, 1, n},
                .matrices = (size_t)(bnn_spec_elements(a) / k / m),
                .m = m,
                .n = n,
                .k = k,
                .padded = bnn_round_up(n, BNN_BLOCK),
                .band = 1,
                .zero_one = step->node->attributes[ZERO_ONE] != 0};
    if (st.gemm) st.band = bnn_round_up(BAND_BYTES / sizeof(float) / n + 1, BAND_ROWS);
    uint64_t table = (uint64_t)st.padded * sizeof(float), own = bnn_size_align(sizeof st);
    BNN_TRY(bnn_prepare_state(p, own + 2 * table + st.band * sizeof *st.no_class));
    st.scale = (float *)(void *)((unsigned char *)step->state + own);
    st.bias = st.scale + st.padded; /* zeros */
    st.no_class = (uint16_t *)(void *)(st.bias + st.padded);
    for (uint32_t i = 0; i < n; i++) st.scale[i] = scale_of(step->node) * (st.gemm && st.zero_one ? 0.5f : 1.0f);
    step->scratch_bytes = lay_scratch(&st);
    memcpy(step->state, &st, sizeof st);
    step->macs = step->binary_macs = bnn_size_mul(bnn_spec_elements(a), n);
    step->family = st.gemm ? "bgemm" : "bgemv";
    step->isa = st.gemm ? st.gemm->isa : st.gemv->isa;
    step->run = run;
    step->bands = 1;
    step->band_pixels = st.band;
    return BNN_OK;
}

const bnn_op bnn_op_binary_matmul = {"binary_matmul", 2, 1, 0, 2, check, prepare};
