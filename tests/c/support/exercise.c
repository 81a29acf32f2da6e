#include "exercise.h"
#include "arrays.h"
#include "naive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const outcome_name[OUTCOMES] = {"format", "version", "model", "limit", "ran"};

enum { SAMPLES = 3 };

/* What some of the samples should give. */
typedef struct wanted {
    uint32_t sample[SAMPLES];
    naive_value *values[SAMPLES];
} wanted;

static int wrong(const char *what) {
    fprintf(stderr, "exercise: %s\n", what);
    return 0;
}

/* ---- refusals ---- */

static outcome refused(bnn_status status, const bnn_error *error, const void *made) {
    static const struct {
        bnn_status status;
        outcome is;
    } known[] = {{BNN_E_FORMAT, OUTCOME_FORMAT},
                 {BNN_E_VERSION, OUTCOME_VERSION},
                 {BNN_E_MODEL, OUTCOME_MODEL},
                 {BNN_E_LIMIT, OUTCOME_LIMIT}};
    if (error->status != status) wrong("the status returned is not the error's");
    if (made) wrong("refused, but something was made");
    if (!memchr(error->message, 0, sizeof error->message) || strlen(error->message) < 10) wrong("there is no message");
    if (error->status != status || made || strlen(error->message) < 10) return OUTCOME_WRONG;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status) return known[i].is;
    fprintf(stderr, "exercise: refused with status %d: %s\n", (int)status, error->message);
    return OUTCOME_WRONG;
}

/* Reads all that a model tells of itself, for the sanitizers to see. */
static uint32_t look(const bnn_model *m) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < bnn_model_value_count(m); i++) sum += (uint32_t)strlen(bnn_model_value(m, i)->name);
    for (uint32_t i = 0; i < bnn_model_node_count(m); i++) {
        bnn_node_info node;
        if (bnn_model_node(m, i, &node) != BNN_OK) return 0;
        sum += (uint32_t)strlen(node.name) + (uint32_t)strlen(node.op);
        for (int t = 0; t < 8; t++) sum += bnn_crc32c(node.tensor_data[t], node.tensor_bytes[t]) & 1;
    }
    for (uint32_t i = 0; i < bnn_model_metadata_count(m); i++) {
        const char *key, *value;
        size_t key_bytes, value_bytes;
        bnn_model_metadata(m, i, &key, &key_bytes, &value, &value_bytes);
        sum += (bnn_crc32c(key, key_bytes) ^ bnn_crc32c(value, value_bytes)) & 1;
    }
    return sum;
}

/* ---- comparison ---- */

static int same(double wanted, double got, naive_trust trust) {
    if (isnan(wanted) || isnan(got)) return isnan(wanted) && isnan(got);
    if (trust == NAIVE_EXACT) return wanted == got;
    return fabs(wanted - got) <= 1e-6 + 1e-5 * fabs(wanted);
}

/* Sample `s` of every output against the naive values. */
static int agree(exercise *e, const bnn_model *m, const arrays *a, uint32_t s, const naive_value *values,
                 const char *isa) {
    for (uint32_t o = 0; o < a->outputs; o++) {
        uint32_t id = bnn_model_output(m, o);
        const naive_value *v = &values[id];
        const unsigned char *data = (const unsigned char *)a->out[o] + s * a->out_bytes[o];
        if (v->trust == NAIVE_UNKNOWN) e->rounded += v->count;
        for (size_t i = 0; i < v->count && v->trust != NAIVE_UNKNOWN; i++, e->compared++) {
            bnn_dtype dtype = bnn_model_value(m, id)->dtype;
            double got = dtype == BNN_UINT8   ? data[i]
                         : dtype == BNN_INT64 ? (double)((const int64_t *)(const void *)data)[i]
                                              : (double)((const float *)(const void *)data)[i];
            if (same(v->x[i], got, v->trust)) continue;
            fprintf(stderr, "exercise: isa %s: value \"%s\", sample %u, element %zu: got %.9g, wanted %.9g\n", isa,
                    bnn_model_value(m, id)->name, (unsigned)s, i, got, v->x[i]);
            return 0;
        }
    }
    return 1;
}

static int agree_all(exercise *e, const bnn_model *m, const arrays *a, const wanted *w, const char *isa) {
    for (int s = 0; s < SAMPLES; s++)
        if (!agree(e, m, a, w->sample[s], w->values[s], isa)) return 0;
    return 1;
}

/* Chooses the first sample, the last, and one more. */
static void foretell(const exercise *e, rng *r, const bnn_model *m, const arrays *a, wanted *w) {
    for (int s = 0; s < SAMPLES; s++) {
        const void *in[ARRAYS_MOST];
        w->sample[s] = s == 0 ? 0 : s == 1 ? e->batch - 1 : rng_below(r, e->batch);
        for (uint32_t i = 0; i < a->inputs; i++)
            in[i] = (const unsigned char *)a->in[i] + w->sample[s] * a->in_bytes[i];
        w->values[s] = naive_run(m, in);
    }
}

/* ---- runs ---- */

/* All at once, and then one by one from the last: no sample may depend on another, or on what was there before. */
static int run(bnn_session *session, const arrays *a, uint32_t batch) {
    arrays single = arrays_twin(a, batch);
    bnn_session_run(session, 0, NULL, NULL, NULL);
    arrays_run(a, session, 0, batch);
    for (uint32_t s = batch; s--;) arrays_run(&single, session, s, 1);
    int good = arrays_equal(a, &single, 0, batch) || wrong("a batch differs from its samples");
    arrays_free_outputs(&single);
    return good;
}

static outcome try_isa(exercise *e, rng *r, const bnn_model *m, const arrays *a, wanted *w, const char *isa,
                       uint32_t threads) {
    bnn_plan_options options = {.isa = isa, .threads = threads, .share_from = 1, .limits = e->limits};
    bnn_error error = {0};
    bnn_plan *plan = NULL;
    bnn_session *session = NULL;
    bnn_status status = bnn_plan_build(m, &options, &plan, &error);
    if (status == BNN_E_ISA) return OUTCOME_RAN; /* not on this machine */
    if (status != BNN_OK) return refused(status, &error, plan);
    status = bnn_session_new(plan, &session, &error);
    outcome is = OUTCOME_RAN;
    if (status == BNN_OK && !w->values[0]) foretell(e, r, m, a, w); /* within the limits, so it will not take long */
    if (status != BNN_OK)
        is = refused(status, &error, session);
    else if (!run(session, a, e->batch) || !agree_all(e, m, a, w, isa ? isa : "best"))
        is = OUTCOME_WRONG;
    bnn_session_free(session);
    bnn_plan_free(plan);
    return is;
}

static outcome try_all(exercise *e, rng *r, const bnn_model *m, const arrays *a, wanted *w) {
    static const char *const isas[] = {"ref", "avx2", "avx512bw", "avx512", "neon"};
    outcome least = OUTCOME_RAN;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        outcome is = try_isa(e, r, m, a, w, isas[i], 1);
        if (is == OUTCOME_WRONG) return is;
        if (is < least) least = is;
    }
    if (e->threads && least == OUTCOME_RAN) return try_isa(e, r, m, a, w, NULL, e->threads);
    return least;
}

outcome exercise_file(exercise *e, rng *r, const unsigned char *file, size_t size) {
    bnn_error error = {0};
    bnn_model *model = NULL;
    unsigned char *bytes = malloc(size ? size : 1); /* just its size, and gone before the model is used */
    if (size) memcpy(bytes, file, size);
    bnn_status status = bnn_model_load(bytes, size, &model, &error);
    memset(bytes, 0xEE, size);
    free(bytes);
    if (status != BNN_OK) {
        outcome is = refused(status, &error, model);
        return is == OUTCOME_LIMIT ? OUTCOME_WRONG : is; /* limits belong to plans */
    }
    arrays a;
    outcome is = OUTCOME_LIMIT;
    if (look(model) == 0) is = OUTCOME_WRONG;
    if (is == OUTCOME_LIMIT && arrays_new(&a, r, model, e->batch)) {
        wanted w = {{0}, {NULL}};
        is = try_all(e, r, model, &a, &w);
        for (int s = 0; s < SAMPLES; s++) naive_free(model, w.values[s]);
        arrays_free(&a);
    }
    bnn_model_free(model);
    return is;
}
