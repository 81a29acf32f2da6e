/* int32 sums to bits, for instruction sets that compare many at once: settle_<isa>.c says how 64 outputs become a word,
 * bits64, and includes this.
 */
#ifndef BNN_SETTLE_BODY_H
#define BNN_SETTLE_BODY_H

#include "../kernels.h"

static void bits(const int32_t *acc, size_t pixels, size_t n, const int32_t *least, const uint64_t *flip,
                 uint64_t *out) {
    const size_t words = bnn_words(n);
    const uint64_t last = bnn_tail_mask(n);
    for (size_t p = 0; p < pixels; p++)
        for (size_t w = 0; w < words; w++, acc += BNN_WORD_BITS) {
            const uint64_t word = bits64(acc, least + w * BNN_WORD_BITS);
            *out++ = (w + 1 == words ? word & last : word) ^ flip[w];
        }
}

#endif
