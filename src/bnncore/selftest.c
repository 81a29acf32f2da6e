/* Each case draws a shape, fills the operands, runs ref and the variant into buffers with guard zones before and after
 * what they may write, and compares the two buffers whole, guards included. Fixed shapes come first: one bit, one word
 * less and one more, a full block of outputs and one more, one pixel, two, three. Where a family returns floats whose
 * products may be fused (fgemm), small integers stand in, so that the sums are exact and must be equal too. */
#include "selftest_rig.h"

size_t bnn_selftest_bytes(void) { return (size_t)REGION * REGIONS; }

/* The family of that name, if it is one of those. */
static const test_family *find_in(const test_family *families, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(families[i].name, name) == 0) return &families[i];
    return NULL;
}

#define FIND_IN(families, name) find_in(families, sizeof(families) / sizeof *(families), name)

static const test_family *find(const char *name) {
    const test_family *found = FIND_IN(bnn_selftest_gemm, name);
    if (!found) found = FIND_IN(bnn_selftest_bits, name);
    if (!found) found = FIND_IN(bnn_selftest_floats, name);
    return found ? found : FIND_IN(bnn_selftest_windows, name);
}

int bnn_selftest_run(const char *family, bnn_isa isa, uint32_t rounds, uint64_t seed, void *memory,
                     bnn_selftest_report *report) {
    const test_family *found = find(family);
    memset(report, 0, sizeof *report);
    if (!found || !bnn_isa_supported(isa)) return -1;
    test t = {.isa = isa, .state = seed | 1, .report = report};
    for (size_t i = 0; i < REGIONS; i++) t.region[i] = (unsigned char *)memory + i * REGION;
    for (uint32_t round = 0; round < found->fixed + rounds; round++) found->one(&t, round);
    return 0;
}
