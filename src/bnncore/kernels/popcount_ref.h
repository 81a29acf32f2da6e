/* Ones in a word without a popcount instruction: counted in parallel inside the word, a dozen operations (Warren,
 * Hacker's Delight, 5-1). */
#ifndef BNN_POPCOUNT_REF_H
#define BNN_POPCOUNT_REF_H

#include <stdint.h>

static inline uint32_t bnn_popcount64(uint64_t x) {
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(x * UINT64_C(0x0101010101010101) >> 56);
}

#endif
