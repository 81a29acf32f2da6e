/* One binary row against all weights, portable C: the definition that the other variants are compared with. */
#include "../kernels.h"
#include "popcount_ref.h"

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    for (size_t n = 0; n < outputs; n++, rows += words) {
        uint32_t sum = 0;
        for (size_t w = 0; w < words; w++) sum += bnn_popcount64(a[w] ^ rows[w]);
        pop[n] = sum;
    }
}

const bnn_bgemv_kernel bnn_bgemv_ref = {.isa = BNN_ISA_ref, .run = run};
