/* Sound networks by chance, on every instruction set of this machine, against the plainest evaluation.
 *
 *     test_exact [networks] [seed]
 */
#include "support/exercise.h"
#include "support/random_net.h"

#include <stdio.h>
#include <stdlib.h>

static void save(const unsigned char *file, size_t size) {
    FILE *f = fopen("wrong.bnn", "wb");
    if (f) fwrite(file, 1, size, f), fclose(f);
}

int main(int argc, char **argv) {
    uint64_t networks = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000,
             seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    exercise e = {.limits = {.max_bytes = 1u << 28, .max_macs = 1u << 22}, .batch = 3};
    for (uint64_t i = 0; i < networks; i++) {
        rng r = {seed * 1000003 + i};
        net n = random_net(&r, 40000);
        size_t size;
        unsigned char *file = net_write(&n, &size);
        e.threads = i % 8 == 0 ? 2 + (uint32_t)(i / 8 % 3) : 0;
        e.batch = i % 50 == 7 ? 300 : 1 + (uint32_t)(i % 4);
        outcome is = n.outputs ? exercise_file(&e, &r, file, size) : OUTCOME_RAN;
        if (is != OUTCOME_RAN) {
            fprintf(stderr, "test_exact: network %llu of seed %llu: %s, in wrong.bnn\n", (unsigned long long)i,
                    (unsigned long long)seed, is == OUTCOME_WRONG ? "wrong" : outcome_name[is]);
            save(file, size);
            return 1;
        }
        free(file);
        net_free(&n);
    }
    printf("test_exact: %llu networks, %llu numbers as wanted, %llu left to rounding\n", (unsigned long long)networks,
           (unsigned long long)e.compared, (unsigned long long)e.rounded);
    return e.compared < networks;
}
