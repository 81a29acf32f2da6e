#include "arrays.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 22, UNWRITTEN = 0xA5 };

static size_t bytes_of(const bnn_spec *s) {
    size_t n = s->dtype == BNN_UINT8 ? 1 : s->dtype == BNN_INT64 ? 8 : 4;
    for (uint32_t i = 0; i < s->rank; i++) n *= s->dims[i];
    return n;
}

/* A NaN with bits of its own, which no arithmetic on them may trip over. */
static float random_nan(rng *r) {
    uint32_t bits = 0x7fc00000u | rng_below(r, 0x400000);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float random_float(rng *r, int whole) {
    static const float odd[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1e-42f, 3e38f, -3e38f, 0.3f};
    if (!whole && rng_chance(r, 1)) return random_nan(r);
    if (!whole && rng_chance(r, 20)) return odd[rng_below(r, sizeof odd / sizeof *odd)];
    return whole ? (float)rng_between(r, -8, 8) : (float)rng_between(r, -99999, 99999) / 4096.0f;
}

static void fill(rng *r, const bnn_spec *spec, void *data, size_t samples) {
    size_t count = bytes_of(spec) * samples / (spec->dtype == BNN_UINT8 ? 1 : 4);
    uint32_t kind = rng_below(r, 4); /* whole numbers for the most part: their sums are exact */
    for (size_t i = 0; i < count; i++)
        if (spec->dtype == BNN_UINT8)
            ((uint8_t *)data)[i] = (uint8_t)(kind == 0 ? 255 * rng_below(r, 2) : rng_below(r, 256));
        else
            ((float *)data)[i] = random_float(r, kind > 0);
}

static void new_outputs(arrays *a, uint32_t batch) {
    for (uint32_t o = 0; o < a->outputs; o++) {
        a->out[o] = malloc(batch * a->out_bytes[o]);
        memset(a->out[o], UNWRITTEN, batch * a->out_bytes[o]);
    }
}

int arrays_new(arrays *a, rng *r, const bnn_model *m, uint32_t batch) {
    size_t total = 0;
    memset(a, 0, sizeof *a);
    if (bnn_model_input_count(m) > ARRAYS_MOST || bnn_model_output_count(m) > ARRAYS_MOST) return 0;
    for (uint32_t i = 0; i < bnn_model_input_count(m); i++) total += a->in_bytes[i] = bytes_of(bnn_model_value(m, i));
    for (uint32_t i = 0; i < bnn_model_output_count(m); i++)
        total += a->out_bytes[i] = bytes_of(bnn_model_value(m, bnn_model_output(m, i)));
    if (total > MOST_BYTES) return 0;
    for (; a->inputs < bnn_model_input_count(m); a->inputs++) {
        a->in[a->inputs] = malloc(batch * a->in_bytes[a->inputs]);
        fill(r, bnn_model_value(m, a->inputs), a->in[a->inputs], batch);
    }
    a->outputs = bnn_model_output_count(m);
    new_outputs(a, batch);
    return 1;
}

void arrays_free_outputs(arrays *a) {
    for (uint32_t o = 0; o < a->outputs; o++) free(a->out[o]);
}

void arrays_free(arrays *a) {
    for (uint32_t i = 0; i < a->inputs; i++) free(a->in[i]);
    arrays_free_outputs(a);
}

arrays arrays_twin(const arrays *a, uint32_t batch) {
    arrays twin = *a;
    new_outputs(&twin, batch);
    return twin;
}

int arrays_equal(const arrays *a, const arrays *b, uint32_t first, uint32_t batch) {
    for (uint32_t o = 0; o < a->outputs; o++) {
        size_t from = first * a->out_bytes[o];
        if (memcmp((char *)a->out[o] + from, (char *)b->out[o] + from, batch * a->out_bytes[o]) != 0) return 0;
    }
    return 1;
}

void arrays_run(const arrays *a, bnn_session *session, uint32_t first, uint32_t batch) {
    const void *in[ARRAYS_MOST];
    void *out[ARRAYS_MOST];
    for (uint32_t i = 0; i < a->inputs; i++) in[i] = (const unsigned char *)a->in[i] + first * a->in_bytes[i];
    for (uint32_t o = 0; o < a->outputs; o++) out[o] = (unsigned char *)a->out[o] + first * a->out_bytes[o];
    bnn_session_run(session, batch, in, out, NULL);
}
