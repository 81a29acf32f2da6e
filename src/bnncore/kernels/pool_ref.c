/* Maximum of +-1 values as OR of words, portable C: the definition that the other variants are compared with. */
#include "../kernels.h"

static void or_rows(const uint64_t *const *src, size_t count, size_t words, const uint64_t *flip, uint64_t *dst) {
    for (size_t w = 0; w < words; w++) {
        uint64_t any = src[0][w];
        for (size_t i = 1; i < count; i++) any |= src[i][w];
        dst[w] = flip ? any ^ flip[w] : any;
    }
}

const bnn_pool_kernel bnn_pool_ref = {.isa = BNN_ISA_ref, .or_rows = or_rows};
