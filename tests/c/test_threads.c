/* Sessions of one plan that run at the same time, each with threads of its own, for ThreadSanitizer to watch.
 *
 *     test_threads [networks] [seed]
 */
#include "support/arrays.h"
#include "support/check.h"
#include "support/random_graph.h"
#include "support/random_net.h"

#include <pthread.h>

enum { CALLERS = 3, BATCH = 9, TIMES = 4 };

typedef struct caller {
    const bnn_plan *plan;
    const arrays *wanted;
    pthread_t thread;
    int good;
} caller;

/* A session of its own, from its making to its end. */
static void *call(void *argument) {
    caller *c = argument;
    bnn_session *session;
    CHECK(bnn_session_new(c->plan, &session, NULL) == BNN_OK);
    c->good = 1;
    for (int i = 0; i < TIMES; i++) {
        arrays a = arrays_twin(c->wanted, BATCH);
        arrays_run(&a, session, 0, BATCH);
        c->good &= arrays_equal(&a, c->wanted, 0, BATCH);
        arrays_free_outputs(&a);
    }
    bnn_session_free(session);
    return NULL;
}

static void test_network(rng *r, const bnn_model *model, uint32_t threads) {
    bnn_plan_options options = {.threads = threads, .share_from = rng_chance(r, 30) ? 2000 : 1};
    bnn_plan *alone, *plan;
    bnn_session *session;
    arrays wanted;
    CHECK(bnn_plan_build(model, &options, &plan, NULL) == BNN_OK);
    CHECK(bnn_plan_build(model, NULL, &alone, NULL) == BNN_OK);
    CHECK(bnn_session_new(alone, &session, NULL) == BNN_OK);
    if (arrays_new(&wanted, r, model, BATCH)) {
        caller callers[CALLERS];
        arrays_run(&wanted, session, 0, BATCH);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (caller){.plan = plan, .wanted = &wanted};
            CHECK(pthread_create(&callers[i].thread, NULL, call, &callers[i]) == 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            CHECK(pthread_join(callers[i].thread, NULL) == 0);
            CHECK(callers[i].good);
        }
        arrays_free(&wanted);
    }
    bnn_session_free(session);
    bnn_plan_free(alone);
    bnn_plan_free(plan);
}

int main(int argc, char **argv) {
    long networks = argc > 1 ? strtol(argv[1], NULL, 10) : 60;
    rng r = {argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
    for (long i = 0; i < networks;) {
        net n = i % 2 ? random_graph(&r, 8000) : random_net(&r, 8000);
        if (n.outputs) {
            size_t size;
            unsigned char *file = net_write(&n, &size);
            bnn_model *model;
            CHECK(bnn_model_load(file, size, &model, NULL) == BNN_OK);
            test_network(&r, model, 1 + (uint32_t)(i % 4));
            bnn_model_free(model);
            free(file);
            i++;
        }
        net_free(&n);
    }
    printf("test_threads: %ld networks, each by %d callers at once\n", networks, CALLERS);
    return 0;
}
