/* What bnncore.h promises of its functions, beside the numbers that test_exact.c is about.
 *
 *     test_core [networks] [seed]
 */
#include "arena.h"
#include "support/arrays.h"
#include "support/check.h"
#include "support/random_net.h"

#include <string.h>

/* A model of a network by chance; its file stays in *file. */
static bnn_model *random_model(rng *r, unsigned char **file, size_t *size) {
    for (;;) {
        net n = random_net(r, 3000);
        bnn_model *model = NULL;
        bnn_error error;
        if (n.outputs) {
            *file = net_write(&n, size);
            CHECK(bnn_model_load(*file, *size, &model, &error) == BNN_OK);
        }
        net_free(&n);
        if (model) return model;
    }
}

static void test_arguments(const bnn_model *model) {
    bnn_plan *plan = (bnn_plan *)1;
    bnn_error error = {0};
    bnn_plan_options options = {.isa = "sse2"};
    CHECK(bnn_plan_build(model, &options, &plan, &error) == BNN_E_ISA && plan == NULL);
    CHECK(error.status == BNN_E_ISA && strstr(error.message, "sse2"));
    options.isa = bnn_plan_build(model, &(bnn_plan_options){.isa = "neon"}, &plan, NULL) == BNN_OK ? "avx2" : "neon";
    bnn_plan_free(plan);
    CHECK(bnn_plan_build(model, &options, &plan, &error) == BNN_E_ISA && strstr(error.message, "cannot run"));
    options = (bnn_plan_options){.threads = 257};
    CHECK(bnn_plan_build(model, &options, &plan, &error) == BNN_E_ARGUMENT && strstr(error.message, "257"));
    CHECK(plan == NULL);

    CHECK(bnn_plan_build(model, NULL, &plan, NULL) == BNN_OK);
    bnn_plan_info info;
    bnn_step_info step;
    bnn_node_info node;
    bnn_plan_get_info(plan, &info);
    CHECK(info.threads == 1 && info.steps == bnn_model_node_count(model) && info.chunk >= 1);
    for (uint32_t i = 0; i < info.steps; i++) {
        CHECK(bnn_plan_step(plan, i, &step) == BNN_OK && bnn_model_node(model, i, &node) == BNN_OK);
        CHECK(strcmp(step.name, node.name) == 0 && strcmp(step.op, node.op) == 0);
        CHECK(!step.family[0] == !step.isa[0] && step.binary_macs <= step.macs);
    }
    CHECK(bnn_plan_step(plan, info.steps, &step) == BNN_E_ARGUMENT);
    CHECK(bnn_model_node(model, info.steps, &node) == BNN_E_ARGUMENT);
    bnn_plan_free(plan);
    bnn_session_free(NULL);
    bnn_plan_free(NULL);
    bnn_model_free(NULL);
}

static void test_bytes(const bnn_model *model, unsigned char *file, size_t size) {
    size_t kept;
    const void *bytes = bnn_model_bytes(model, &kept);
    CHECK(bytes != file && kept == size && memcmp(bytes, file, size) == 0);
    bnn_model *again = (bnn_model *)1;
    bnn_error error;
    CHECK(bnn_model_load(NULL, 0, &again, &error) == BNN_E_FORMAT && again == NULL);
    CHECK(bnn_model_load(file, size - 1, &again, NULL) == BNN_E_FORMAT && again == NULL);
}

/* Batches on both sides of the chunk give what its samples give one by one, from any address that suits the type. */
static void test_batches(rng *r, const bnn_model *model, uint32_t threads) {
    bnn_plan_options options = {.threads = threads, .share_from = rng_chance(r, 50)};
    bnn_plan *plan;
    bnn_session *session, *other;
    bnn_plan_info info;
    arrays a;
    CHECK(bnn_plan_build(model, &options, &plan, NULL) == BNN_OK);
    CHECK(bnn_session_new(plan, &session, NULL) == BNN_OK && bnn_session_new(plan, &other, NULL) == BNN_OK);
    bnn_plan_get_info(plan, &info);
    uint32_t batch = 2 * info.chunk + 3;
    if (arrays_new(&a, r, model, batch)) {
        arrays twin = arrays_twin(&a, batch);
        arrays_run(&twin, other, 0, batch);
        for (uint32_t part = info.chunk - 1; part <= info.chunk + 1; part++) {
            arrays_run(&a, session, 1, part); /* from sample 1: addresses that are no multiples of 64 */
            arrays_run(&a, session, 0, 1);
            arrays_run(&a, session, part + 1, batch - part - 1);
            CHECK(arrays_equal(&a, &twin, 0, batch));
        }
        for (uint32_t s = 0; s < batch; s += 1 + rng_below(r, batch / 8)) {
            arrays_run(&a, session, s, 1);
            CHECK(arrays_equal(&a, &twin, s, 1));
        }
        arrays_free_outputs(&twin);
        arrays_free(&a);
    }
    bnn_session_free(other);
    bnn_session_free(session);
    bnn_plan_free(plan);
}

static void test_times(rng *r, const bnn_model *model) {
    bnn_plan *plan;
    bnn_session *session;
    arrays a;
    uint64_t ns[NET_VALUES], sum = 0;
    CHECK(bnn_plan_build(model, NULL, &plan, NULL) == BNN_OK && bnn_session_new(plan, &session, NULL) == BNN_OK);
    if (arrays_new(&a, r, model, 50)) {
        memset(ns, 0xff, sizeof ns);
        bnn_session_run(session, 50, (const void *const *)a.in, a.out, ns);
        for (uint32_t i = 0; i < bnn_model_node_count(model); i++) {
            CHECK(ns[i] < UINT64_C(60000000000));
            sum += ns[i];
        }
        CHECK(sum > 0);
        arrays_free(&a);
    }
    bnn_session_free(session);
    bnn_plan_free(plan);
}

/* ---- the arena ---- */

enum { LIVES = 16384 };

static void place(bnn_lifetime *lives, uint32_t count, uint32_t steps, int check) {
    uint32_t *order = calloc(2 * (size_t)count, sizeof *order);
    uint64_t *alive = calloc(steps + 1, sizeof *alive);
    uint64_t bound = bnn_arena_bound(lives, count, alive, steps);
    uint64_t arena = bnn_arena_place(lives, order, count, bound);
    CHECK(arena >= bound);
    CHECK(!check || arena * 10 <= bound * 13);
    for (uint32_t i = 0; i < count && check; i++)
        for (uint32_t j = 0; j <= i; j++) {
            const bnn_lifetime *a = &lives[i], *b = &lives[j];
            CHECK(a->offset + a->bytes <= arena);
            if (i == j || a->first > b->last || b->first > a->last) continue;
            CHECK(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
        }
    free(order);
    free(alive);
}

/* Values of which no two overlap in time and place; and a graph for which walking the placed ones again after each step
 * upwards would take hours: a staircase of falling offsets that every later value has to climb. */
static void test_arena(rng *r) {
    static bnn_lifetime lives[LIVES];
    for (int tries = 0; tries < 200; tries++) {
        uint32_t count = 1 + rng_below(r, 60), steps = 1 + rng_below(r, 40);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t first = rng_below(r, steps), last = first + rng_below(r, steps - first);
            lives[i] = (bnn_lifetime){64 * (uint64_t)rng_below(r, 20), first, last, 0};
        }
        place(lives, count, steps, 1);
    }
    const uint32_t third = LIVES / 3, end = 2 * third;
    for (uint32_t i = 0; i < third; i++) {
        uint64_t offset = (uint64_t)(third - i) * 128;
        lives[3 * i] = (bnn_lifetime){offset + 1000000, i, i, 0};       /* holds the place below */
        lives[3 * i + 1] = (bnn_lifetime){128, i, end, 0};              /* a stair */
        lives[3 * i + 2] = (bnn_lifetime){64, third + i, third + i, 0}; /* climbs them all */
    }
    lives[3 * third] = (bnn_lifetime){1000000 + 128, third, end, 0}; /* from the lowest one upwards */
    place(lives, 3 * third + 1, end + 1, 0);
}

int main(int argc, char **argv) {
    long networks = argc > 1 ? strtol(argv[1], NULL, 10) : 50;
    rng r = {argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
    for (long i = 0; i < networks; i++) {
        unsigned char *file;
        size_t size;
        bnn_model *model = random_model(&r, &file, &size);
        test_bytes(model, file, size);
        free(file);
        test_arguments(model);
        test_batches(&r, model, 1 + (uint32_t)(i % 3));
        test_times(&r, model);
        bnn_model_free(model);
    }
    test_arena(&r);
    printf("test_core: %ld networks\n", networks);
    return 0;
}
