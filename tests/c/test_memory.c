/* Memory, by a linker that puts this file's allocator in front (-Wl,--wrap=NAME for each of the names below): every
 * allocation and thread that the core asks for fails once, and nothing is lost; limits hold; running allocates nothing.
 *
 *     test_memory [networks] [seed]
 */
#include "support/arrays.h"
#include "support/check.h"
#include "support/random_graph.h"
#include "support/random_net.h"

#include <pthread.h>
#include <string.h>

/* ---- the allocator ---- */

static struct {
    int counts;        /* whether calls are counted, and may fail */
    long calls, fails; /* which call fails, from 1; 0 for none */
    long live;         /* blocks that are not yet given back */
    uint64_t aligned;  /* bytes asked of aligned_alloc */
} memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *block);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*body)(void *), void *argument);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *block);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*body)(void *), void *argument);

static int refuses(void) { return memory.counts && ++memory.calls == memory.fails; }

static void *counted(void *block) {
    if (memory.counts && block) memory.live++;
    return block;
}

void *__wrap_malloc(size_t size) { return refuses() ? NULL : counted(__real_malloc(size)); }
void *__wrap_calloc(size_t count, size_t size) { return refuses() ? NULL : counted(__real_calloc(count, size)); }
void *__wrap_realloc(void *block, size_t size) { return refuses() ? NULL : __real_realloc(block, size); }

void *__wrap_aligned_alloc(size_t align, size_t size) {
    if (refuses()) return NULL;
    if (memory.counts) memory.aligned += size;
    return counted(__real_aligned_alloc(align, size));
}

void __wrap_free(void *block) {
    if (memory.counts && block) memory.live--;
    __real_free(block);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*body)(void *), void *argument) {
    return refuses() ? 11 : __real_pthread_create(t, a, body, argument);
}

static void count(long fails) {
    memory.counts = 1;
    memory.calls = 0, memory.fails = fails, memory.live = 0, memory.aligned = 0;
}

static void count_no_more(void) { memory.counts = 0; }

/* ---- the tests ---- */

typedef struct network {
    unsigned char *file;
    size_t size;
} network;

static network random_network(rng *r, uint32_t macs) {
    network w = {NULL, 0};
    while (!w.file) {
        net n = rng_chance(r, 50) ? random_graph(r, macs) : random_net(r, macs);
        if (n.outputs) w.file = net_write(&n, &w.size);
        net_free(&n);
    }
    return w;
}

/* Load, plan, session, and all of it given back; the first failure, and whether it was told. */
static bnn_status whole_life(const network *w, const bnn_plan_options *options, bnn_error *error) {
    bnn_model *model = NULL;
    bnn_plan *plan = NULL;
    bnn_session *session = NULL;
    bnn_status status = bnn_model_load(w->file, w->size, &model, error);
    CHECK((status == BNN_OK) == (model != NULL));
    if (model) status = bnn_plan_build(model, options, &plan, error);
    CHECK((status == BNN_OK) == (plan != NULL));
    if (plan) status = bnn_session_new(plan, &session, error);
    CHECK((status == BNN_OK) == (session != NULL));
    bnn_session_free(session);
    bnn_plan_free(plan);
    bnn_model_free(model);
    return status;
}

/* Each call fails in turn, until none does; returns how many there were. */
static long test_failures(const network *w, const char *isa) {
    bnn_plan_options options = {.isa = isa, .threads = 3};
    for (long fails = 1;; fails++) {
        bnn_error error = {0};
        count(fails);
        bnn_status status = whole_life(w, &options, &error);
        count_no_more();
        CHECK(memory.live == 0);
        if (status == BNN_OK) {
            CHECK(memory.calls == fails - 1);
            return memory.calls;
        }
        CHECK(status == BNN_E_MEMORY && error.status == status && strstr(error.message, "no memory"));
        count(fails);
        CHECK(whole_life(w, &options, NULL) == BNN_E_MEMORY);
        count_no_more();
        CHECK(memory.live == 0);
    }
}

static void test_run_allocates_nothing(rng *r, const network *w, uint32_t threads) {
    bnn_plan_options options = {.threads = threads, .share_from = 1, .fast_math = 1};
    bnn_model *model;
    bnn_plan *plan;
    bnn_session *session;
    arrays a;
    CHECK(bnn_model_load(w->file, w->size, &model, NULL) == BNN_OK);
    CHECK(bnn_plan_build(model, &options, &plan, NULL) == BNN_OK);
    CHECK(bnn_session_new(plan, &session, NULL) == BNN_OK);
    if (arrays_new(&a, r, model, 20)) {
        uint64_t ns[NET_VALUES];
        count(0);
        for (uint32_t batch = 0; batch <= 20; batch += 5)
            bnn_session_run(session, batch, (const void *const *)a.in, a.out, batch % 2 ? ns : NULL);
        count_no_more();
        CHECK(memory.calls == 0 && memory.live == 0);
        arrays_free(&a);
    }
    bnn_session_free(session);
    bnn_plan_free(plan);
    bnn_model_free(model);
}

/* Whether a plan may be built with these limits; where not, they are named as the reason. */
static int allowed(const bnn_model *model, bnn_plan_options options, uint64_t max_bytes, uint64_t max_macs) {
    bnn_plan *plan;
    bnn_error error = {0};
    options.limits = (bnn_limits){max_bytes, max_macs};
    bnn_status status = bnn_plan_build(model, &options, &plan, &error);
    CHECK((status == BNN_OK) == (plan != NULL));
    CHECK(status == BNN_OK || (status == BNN_E_LIMIT && error.status == status && strstr(error.message, "limit")));
    bnn_plan_free(plan);
    return status == BNN_OK;
}

/* A plan, and a session, take no more than max_bytes; a byte less than they need is refused, and so is work. */
static void test_limits(const network *w, const char *isa) {
    bnn_model *model;
    bnn_plan *plan;
    bnn_session *session;
    bnn_plan_info info;
    bnn_plan_options options = {.isa = isa, .threads = 2};
    CHECK(bnn_model_load(w->file, w->size, &model, NULL) == BNN_OK);
    CHECK(bnn_plan_build(model, &options, &plan, NULL) == BNN_OK);
    bnn_plan_get_info(plan, &info);
    CHECK(info.arena_bytes >= info.arena_bound);
    uint64_t macs = 0;
    int pools = 0;
    for (uint32_t i = 0; i < info.steps; i++) {
        bnn_step_info step;
        CHECK(bnn_plan_step(plan, i, &step) == BNN_OK);
        macs += step.macs;
        pools |= strstr(step.op, "pool") != NULL;
    }
    count(0);
    CHECK(bnn_session_new(plan, &session, NULL) == BNN_OK);
    uint64_t session_bytes = info.arena_bytes * info.chunk + info.scratch_bytes * info.threads;
    CHECK(memory.aligned >= session_bytes && memory.aligned <= session_bytes + 2 * 64); /* no block is empty */
    count_no_more();
    bnn_session_free(session);
    bnn_plan_free(plan);

    uint64_t bytes = session_bytes > info.weight_bytes ? session_bytes : info.weight_bytes;
    if (bytes) CHECK(allowed(model, options, bytes, 0));
    if (bytes > 1) CHECK(!allowed(model, options, bytes - 1, 0));
    uint64_t least = 1, most = UINT64_C(1) << 32; /* the least work that is allowed */
    while (least < most) {
        uint64_t middle = least + (most - least) / 2;
        if (allowed(model, options, 0, middle))
            most = middle;
        else
            least = middle + 1;
    }
    CHECK(pools || macs == 0 ? least >= macs : least == macs);
    bnn_model_free(model);
}

int main(int argc, char **argv) {
    static const char *const isas[] = {"ref", NULL};
    long networks = argc > 1 ? strtol(argv[1], NULL, 10) : 100, calls = 0;
    rng r = {argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
    for (long i = 0; i < networks; i++) {
        network w = random_network(&r, 20000);
        calls += test_failures(&w, isas[i % 2]);
        test_run_allocates_nothing(&r, &w, 1 + (uint32_t)(i % 3));
        test_limits(&w, isas[i % 2]);
        free(w.file);
    }
    printf("test_memory: %ld networks, each of %ld allocations failed in its turn\n", networks, calls);
    return calls < 5 * networks;
}
