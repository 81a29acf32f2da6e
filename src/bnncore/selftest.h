/* Every kernel variant of an instruction set against the portable one, bit for bit, on the machine it runs on. */
#ifndef BNN_SELFTEST_H
#define BNN_SELFTEST_H

#include "kernels.h"

typedef struct bnn_selftest_report {
    uint32_t cases;      /* comparisons made */
    uint32_t mismatches; /* comparisons that differ, or wrote outside what they may write */
    char first[160];     /* the first mismatch: family, instruction set, sizes; empty where there is none */
} bnn_selftest_report;

/* Working memory that a run needs; the caller provides it, so that the test also runs where there is no malloc. */
size_t bnn_selftest_bytes(void);

/* Compares family ("bgemm", "bgemv", "pack", "pool", "fgemm", "igemm", "settle", "vector") on `isa` with ref, on
 * `rounds` random shapes after the fixed ones, from `seed`. `memory` is BNN_ALIGN-aligned. Returns 0, or -1 where the
 * family or the instruction set is unknown or cannot run here. A family that has no variant of its own for `isa`
 * compares the one that it falls back to.
 */
int bnn_selftest_run(const char *family, bnn_isa isa, uint32_t rounds, uint64_t seed, void *memory,
                     bnn_selftest_report *report);

#endif
