/* Loads a network, plans it for an instruction set, and runs it once: for callgrind, which counts from bnn_session_run.
 *
 *     instructions FILE ISA
 */
#include "bnncore.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 1 << 22 };

static void fail(const bnn_error *error) {
    fprintf(stderr, "instructions: %s\n", error->message);
    exit(1);
}

static size_t bytes_of(const bnn_spec *spec) {
    size_t n = spec->dtype == BNN_UINT8 ? 1 : spec->dtype == BNN_INT64 ? 8 : 4;
    for (uint32_t i = 0; i < spec->rank; i++) n *= spec->dims[i];
    return n;
}

int main(int argc, char **argv) {
    static unsigned char file[ROOM];
    bnn_error error = {BNN_OK, ""};
    bnn_model *model;
    bnn_plan *plan;
    bnn_session *session;
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!in) return fprintf(stderr, "instructions: wanted FILE ISA, and a file that can be read\n"), 2;
    size_t size = fread(file, 1, ROOM, in);
    fclose(in);
    const bnn_plan_options options = {.isa = argv[2], .threads = 1};
    if (bnn_model_load(file, size, &model, &error) || bnn_plan_build(model, &options, &plan, &error) ||
        bnn_session_new(plan, &session, &error))
        fail(&error);
    const bnn_spec *first = bnn_model_value(model, 0), *last = bnn_model_value(model, bnn_model_output(model, 0));
    void *x = calloc(1, bytes_of(first)), *y = malloc(bytes_of(last));
    if (!x || !y) return 1;
    const void *inputs[] = {x};
    void *outputs[] = {y};
    bnn_session_run(session, 1, inputs, outputs, NULL);
    free(x), free(y);
    bnn_session_free(session);
    bnn_plan_free(plan);
    bnn_model_free(model);
    return 0;
}
