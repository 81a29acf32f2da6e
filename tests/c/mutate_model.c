/* Structure-aware mutations of sound files, signed again: each must be refused as bnncore.h says, or run to its end and
 * give what the plain evaluation gives, on every instruction set of this machine.
 *
 *     mutate_model [mutations] [seed] [more.bnn ...]     prints what became of them
 *     mutate_model --seeds FOLDER COUNT                  writes sound files, for a fuzzer to start from
 */
#include "support/exercise.h"
#include "support/mutator.h"
#include "support/random_graph.h"
#include "support/random_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 500, ROOM = 1 << 18, SMALL = 6000 };

typedef struct sound_file {
    unsigned char *bytes;
    size_t size;
} sound_file;

static sound_file random_file(rng *r) {
    for (;;) { /* small ones: a mutation then meets what matters */
        sound_file f = {NULL, 0};
        net n = rng_chance(r, 50) ? random_graph(r, 2000) : random_net(r, 2000);
        if (n.outputs) f.bytes = net_write(&n, &f.size);
        net_free(&n);
        if (f.bytes && f.size <= SMALL) return f;
        free(f.bytes);
    }
}

static sound_file load_file(const char *path) {
    sound_file f = {malloc(ROOM), 0};
    FILE *in = fopen(path, "rb");
    if (!in) fprintf(stderr, "mutate_model: cannot read %s\n", path), exit(2);
    f.size = fread(f.bytes, 1, ROOM, in);
    fclose(in);
    return f;
}

static int save(const char *path, const unsigned char *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    int good = f && fwrite(bytes, 1, size, f) == size;
    if (f) fclose(f);
    return good;
}

static int write_seeds(const char *folder, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        rng r = {i};
        char path[4096];
        sound_file f = random_file(&r);
        snprintf(path, sizeof path, "%s/%llu.bnn", folder, (unsigned long long)i);
        if (!save(path, f.bytes, f.size)) return fprintf(stderr, "mutate_model: cannot write %s\n", path), 1;
        free(f.bytes);
    }
    return 0;
}

static int report(uint64_t (*counts)[OUTCOMES], const exercise *e) {
    uint64_t total[OUTCOMES] = {0}, refused = 0;
    int good = 1;
    printf("%-10s", "mutation");
    for (int o = 0; o < OUTCOMES; o++) printf("%10s", outcome_name[o]);
    for (int m = 0; m < MUTATIONS; m++) {
        uint64_t all = 0;
        printf("\n%-10s", mutation_name[m]);
        for (int o = 0; o < OUTCOMES; o++) {
            printf("%10llu", (unsigned long long)counts[m][o]);
            total[o] += counts[m][o];
            all += counts[m][o];
        }
        if (all == counts[m][OUTCOME_RAN]) good = 0; /* a kind that is never refused tests nothing */
    }
    printf("\n%-10s", "all");
    for (int o = 0; o < OUTCOMES; o++) {
        printf("%10llu", (unsigned long long)total[o]);
        if (o != OUTCOME_RAN) refused += total[o];
        if (total[o] == 0) good = 0;
    }
    printf("\n%llu refused, %llu ran; %llu numbers as wanted, %llu left to rounding\n", (unsigned long long)refused,
           (unsigned long long)total[OUTCOME_RAN], (unsigned long long)e->compared, (unsigned long long)e->rounded);
    if (!good) fprintf(stderr, "mutate_model: a kind of mutation, or of outcome, did not occur: nothing is proven\n");
    return good && e->compared > total[OUTCOME_RAN] ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) return write_seeds(argv[2], strtoull(argv[3], NULL, 10));
    uint64_t mutations = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000,
             seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    static uint64_t counts[MUTATIONS][OUTCOMES];
    static sound_file files[SEEDS + 16];
    uint32_t file_count = 0;
    rng r = {seed};
    exercise e = {.limits = {.max_bytes = 1u << 24, .max_macs = 1u << 16}, .batch = 2};
    for (int i = 3; i < argc && file_count < 16; i++) files[file_count++] = load_file(argv[i]);
    while (file_count < SEEDS) files[file_count++] = random_file(&r);
    unsigned char *file = malloc(ROOM);
    for (uint64_t i = 0; i < mutations; i++) {
        const sound_file *from = &files[rng_below(&r, file_count)];
        mutation kind = (mutation)rng_below(&r, MUTATIONS);
        size_t size = from->size;
        memcpy(file, from->bytes, size);
        for (uint32_t times = rng_chance(&r, 70) ? 1 : 2; times--;) size = mutate(&r, kind, file, size, ROOM);
        outcome is = exercise_file(&e, &r, file, size);
        if (is == OUTCOME_WRONG) {
            fprintf(stderr, "mutate_model: mutation %llu of seed %llu (%s): wrong, in wrong.bnn\n",
                    (unsigned long long)i, (unsigned long long)seed, mutation_name[kind]);
            save("wrong.bnn", file, size);
            return 1;
        }
        counts[kind][is]++;
    }
    free(file);
    while (file_count) free(files[--file_count].bytes);
    return report(counts, &e);
}
