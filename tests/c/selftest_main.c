/* Runs the core's self-test outside Python, for machines that are only emulated.
 *
 *   selftest EXPECTED_ISA [rounds [seed]]
 *
 * Prints the instruction set that this CPU binds, and for each variant of a supported set the comparisons made and
 * those that differ. Exit status: 0 when the bound set is the expected one and nothing differs, 1 when not, 2 on usage.
 */
#include "../../src/bnncore/selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *family;
    bnn_isa isa;
} variants[] = {
#define BNN_KERNEL(family, isa) {#family, BNN_ISA_##isa},
#include "../../src/bnncore/kernels/kernels.def"
#undef BNN_KERNEL
};

/* Returns 1 where the family agrees with ref on `isa`. */
static int agrees(const char *family, bnn_isa isa, uint32_t rounds, uint64_t seed, void *memory) {
    bnn_selftest_report report;
    if (bnn_selftest_run(family, isa, rounds, seed, memory, &report) != 0) {
        printf("%s %s: the self-test does not know it\n", family, bnn_isa_name(isa));
        return 0;
    }
    printf("%s %s: %u cases, %u differ%s%s\n", family, bnn_isa_name(isa), (unsigned)report.cases,
           (unsigned)report.mismatches, report.mismatches ? ", first: " : "", report.first);
    return report.cases > 0 && report.mismatches == 0;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 4 || bnn_isa_from_name(argv[1]) < 0) {
        fprintf(stderr, "usage: %s EXPECTED_ISA [rounds [seed]]\n", argv[0]);
        return 2;
    }
    const uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 100;
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    const bnn_isa bound = bnn_isa_best();
    int good = strcmp(bnn_isa_name(bound), argv[1]) == 0;
    printf("bound: %s%s%s\n", bnn_isa_name(bound), good ? "" : ", but expected ", good ? "" : argv[1]);
    void *memory = aligned_alloc(BNN_ALIGN, bnn_round_up(bnn_selftest_bytes(), BNN_ALIGN));
    if (!memory) return 2;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        if (bnn_isa_supported(variants[v].isa))
            good &= agrees(variants[v].family, variants[v].isa, rounds, seed, memory);
    free(memory);
    return good ? 0 : 1;
}
