/* Graphs by chance on every instruction set, number of threads and road, bit for bit against portable C that leaves
 * nothing out: there every value leaves the network, so that none is linked, held in scratch or written over.
 *
 *     test_graphs [networks] [seed]
 */
#include "support/arrays.h"
#include "support/check.h"
#include "support/random_graph.h"
#include "support/random_layers.h"

#include <math.h>
#include <string.h>

/* Roads that measured choices seldom take. */
static bnn_choices random_choices(rng *r) {
    static const uint32_t rows[] = {0, 1, 4, UINT32_MAX};
    return (bnn_choices){.vector_rows = rows[rng_below(r, 4)],
                         .narrow_rows = rows[rng_below(r, 4)],
                         .narrow_outputs = rng_below(r, 100),
                         .vector_words = rng_below(r, 4),
                         .matmul_rows = rows[rng_below(r, 4)],
                         .byte_depth = rng_below(r, 3) * 60,
                         .winograd_width = 1,
                         .winograd_depth = 1,
                         .winograd_kib = 1 << 14,
                         .thin_channels = rng_chance(r, 50) ? 64 : rng_below(r, 8)};
}

typedef struct network {
    unsigned char *file;
    size_t size;
    bnn_model *model;
} network;

static network load(const net *n) {
    network made;
    bnn_error error;
    made.file = net_write(n, &made.size);
    if (bnn_model_load(made.file, made.size, &made.model, &error) == BNN_OK) return made;
    fprintf(stderr, "test_graphs: %s\n", error.message);
    exit(1);
}

static void save(const network *made) {
    FILE *f = fopen("wrong.bnn", "wb");
    if (f) fwrite(made->file, 1, made->size, f), fclose(f);
}

static void unload(network *made) {
    bnn_model_free(made->model);
    free(made->file);
}

static int same(bnn_dtype dtype, const void *a, const void *b, size_t bytes) {
    const float *x = a, *y = b;
    if (memcmp(a, b, bytes) == 0) return 1;
    if (dtype != BNN_FLOAT32) return 0;
    for (size_t i = 0; i < bytes / sizeof *x; i++)
        if (memcmp(x + i, y + i, sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i]))) {
            fprintf(stderr, "test_graphs: element %zu: got %.9g, wanted %.9g\n", i, (double)x[i], (double)y[i]);
            return 0;
        }
    return 1;
}

/* Whether each output is what the other model made of the same value. */
static int agree(const bnn_model *m, const arrays *got, const bnn_model *all, const arrays *wanted, uint32_t first,
                 uint32_t batch) {
    for (uint32_t o = 0; o < got->outputs; o++) {
        uint32_t k = 0, id = bnn_model_output(m, o);
        while (bnn_model_output(all, k) != id) k++;
        size_t bytes = got->out_bytes[o];
        if (same(bnn_model_value(m, id)->dtype, (char *)got->out[o] + first * bytes,
                 (char *)wanted->out[k] + first * bytes, batch * bytes))
            continue;
        fprintf(stderr, "test_graphs: value %u, samples %u to %u\n", (unsigned)id, (unsigned)first,
                (unsigned)(first + batch - 1));
        return 0;
    }
    return 1;
}

/* All at once, then a few of them over what was left in memory, then the last alone. */
static int run(const bnn_model *m, const bnn_plan_options *options, const arrays *in, const bnn_model *all,
               const arrays *wanted, uint32_t batch) {
    bnn_plan *plan;
    bnn_session *session;
    bnn_error error;
    bnn_status status = bnn_plan_build(m, options, &plan, &error);
    if (status == BNN_E_ISA) return 1;
    if (status != BNN_OK) return fprintf(stderr, "test_graphs: %s\n", error.message), 0;
    CHECK(bnn_session_new(plan, &session, NULL) == BNN_OK);
    arrays got = arrays_twin(in, batch);
    arrays_run(&got, session, 0, batch);
    int good = agree(m, &got, all, wanted, 0, batch);
    arrays_free_outputs(&got);
    got = arrays_twin(in, batch);
    arrays_run(&got, session, batch / 2, batch - batch / 2);
    arrays_run(&got, session, 0, 1);
    good = good && agree(m, &got, all, wanted, batch / 2, batch - batch / 2) && agree(m, &got, all, wanted, 0, 1);
    arrays_free_outputs(&got);
    bnn_session_free(session);
    bnn_plan_free(plan);
    return good;
}

/* A session's answers to the samples, one by one. */
static void ask(const bnn_model *m, const bnn_plan_options *options, arrays *a, uint32_t batch) {
    bnn_plan *plan;
    bnn_session *session;
    CHECK(bnn_plan_build(m, options, &plan, NULL) == BNN_OK);
    CHECK(bnn_session_new(plan, &session, NULL) == BNN_OK);
    for (uint32_t s = 0; s < batch; s++) arrays_run(a, session, s, 1);
    bnn_session_free(session);
    bnn_plan_free(plan);
}

/* Sums that fast_math rounds in other places: neither the batch nor threads may change where. */
static int test_fast(rng *r, const bnn_model *m, const arrays *in, uint32_t batch) {
    bnn_choices choices = random_choices(r);
    bnn_plan_options options = {.fast_math = 1, .choices = &choices};
    arrays wanted = arrays_twin(in, batch);
    ask(m, &options, &wanted, batch);
    options.threads = 3, options.share_from = 1;
    int good = run(m, &options, in, m, &wanted, batch);
    arrays_free_outputs(&wanted);
    return good || (fprintf(stderr, "test_graphs: fast_math, batch %u\n", (unsigned)batch), 0);
}

static int test_all(rng *r, const bnn_model *m, const bnn_model *all, const arrays *wanted, uint32_t batch) {
    static const char *const isas[] = {"ref", "avx2", "avx512bw", "avx512", "neon"};
    arrays in;
    CHECK(arrays_new(&in, r, m, 1)); /* for its counts and sizes; the inputs are the other's */
    arrays_free(&in);
    memcpy(in.in, wanted->in, sizeof in.in);
    for (int i = 0; i < 10; i++) {
        bnn_choices choices = random_choices(r);
        bnn_plan_options options = {.isa = isas[i / 2],
                                    .threads = i % 2 ? (uint32_t)rng_between(r, 2, 4) : 1,
                                    .share_from = rng_chance(r, 80) ? 1 : 20000,
                                    .choices = rng_chance(r, 50) ? &choices : NULL};
        if (run(m, &options, &in, all, wanted, batch)) continue;
        fprintf(stderr, "test_graphs: isa %s, %u threads, batch %u\n", options.isa, (unsigned)options.threads,
                (unsigned)batch);
        return 0;
    }
    return test_fast(r, m, &in, batch);
}

static int test_graph(rng *r, net *n, uint32_t batch) {
    network some = load(n), all;
    net_show_all(n);
    all = load(n);
    arrays wanted;
    int good = 1;
    if (arrays_new(&wanted, r, all.model, batch)) {
        ask(all.model, &(bnn_plan_options){.isa = "ref"}, &wanted, batch);
        good = test_all(r, some.model, all.model, &wanted, batch);
        arrays_free(&wanted);
    }
    if (!good) save(&some);
    unload(&some);
    unload(&all);
    return good;
}

/* Whether a convolution feeds a pool with what two steps made of it; or, `unread`, what the second one made, while
 * nobody reads the first. */
static int feeds(rng *r, int unread) {
    const net_spec image = {BNN_FLOAT32, 3, {70, 32, 36}};
    net n = {.inputs = 1,
             .nodes = 4,
             .outputs = 1,
             .values = {{BNN_FLOAT32, 3, {70, 32, 2}}, image, image, image, {BNN_FLOAT32, 3, {69, 31, 36}}},
             .node = {{.op = OP_CONV2D, .attributes = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
                      {.op = OP_SCALE_BIAS, .input = 1},
                      {.op = OP_PRELU, .input = unread ? 1 : 2},
                      {.op = OP_MAX_POOL2D, .input = 3, .attributes = {2, 2, 1, 1, 1, 1}}},
             .output = {4}};
    net_tensor_new(&n.node[0], 0, (net_spec){BNN_FLOAT32, 4, {36, 3, 3, 2}});
    for (uint32_t slot = 0; slot < 3; slot++) random_floats(r, &n.node[1 + slot / 2], slot % 2, 36, 4, 0);
    network made = load(&n);
    bnn_plan *plan;
    bnn_step_info pool;
    CHECK(bnn_plan_build(made.model, NULL, &plan, NULL) == BNN_OK);
    CHECK(bnn_plan_step(plan, 3, &pool) == BNN_OK);
    bnn_plan_free(plan);
    unload(&made);
    net_free(&n);
    return pool.pass == 0;
}

/* A row that a pool is fed may be made twice, by two threads, so an image of its own may not be written there. */
static void test_a_pool_is_not_fed_what_leaves_a_value_unread(void) {
    rng r = {1};
    CHECK(feeds(&r, 0));
    CHECK(!feeds(&r, 1));
}

int main(int argc, char **argv) {
    uint64_t networks = argc > 1 ? strtoull(argv[1], NULL, 10) : 500, seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    test_a_pool_is_not_fed_what_leaves_a_value_unread();
    for (uint64_t i = 0; i < networks; i++) {
        rng r = {seed * 1000003 + i};
        net n = random_graph(&r, i % 12 == 5 ? 1000000 : 30000);
        int many = i % 60 == 7 && net_elements(&n.values[0]) < 1000;
        int good = test_graph(&r, &n, many ? 270 : (uint32_t)rng_between(&r, 1, 9));
        net_free(&n);
        if (good) continue;
        fprintf(stderr, "test_graphs: network %llu of seed %llu, in wrong.bnn\n", (unsigned long long)i,
                (unsigned long long)seed);
        return 1;
    }
    printf("test_graphs: %llu networks\n", (unsigned long long)networks);
    return 0;
}
