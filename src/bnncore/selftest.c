/* Each case draws a shape, fills the operands, runs ref and the variant into buffers with guard zones before and after
 * what they may write, and compares the two buffers whole, guards included. Fixed shapes come first: one bit, one word
 * less and one more, a full block of outputs and one more, one pixel, two, three. Where a family returns floats whose
 * products may be fused (fgemm), small integers stand in, so that the sums are exact and must be equal too. */
#include "selftest_rig.h"

size_t bnn_selftest_bytes(void) { return (size_t)REGION * REGIONS; }

static const test_family *find(const char *family) {
    for (size_t i = 0; i < sizeof bnn_selftest_bits / sizeof *bnn_selftest_bits; i++)
        if (strcmp(bnn_selftest_bits[i].name, family) == 0) return &bnn_selftest_bits[i];
    for (size_t i = 0; i < sizeof bnn_selftest_floats / sizeof *bnn_selftest_floats; i++)
        if (strcmp(bnn_selftest_floats[i].name, family) == 0) return &bnn_selftest_floats[i];
    for (size_t i = 0; i < sizeof bnn_selftest_windows / sizeof *bnn_selftest_windows; i++)
        if (strcmp(bnn_selftest_windows[i].name, family) == 0) return &bnn_selftest_windows[i];
    return NULL;
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
