/* Runs of bits from anywhere to anywhere. */
#ifndef BNN_BITS_COPY_H
#define BNN_BITS_COPY_H

#include "../layout.h"

/* n bits, from bit `from` of src to bit `to` of dst, where zeros lie. */
static inline void bnn_bits_copy(uint64_t *dst, size_t to, const uint64_t *src, size_t from, size_t n) {
    if (from % BNN_WORD_BITS == 0 && to % BNN_WORD_BITS == 0)
        for (; n >= BNN_WORD_BITS; n -= BNN_WORD_BITS, from += BNN_WORD_BITS, to += BNN_WORD_BITS)
            dst[to / BNN_WORD_BITS] = src[from / BNN_WORD_BITS];
    while (n) {
        size_t take = BNN_WORD_BITS - from % BNN_WORD_BITS < n ? BNN_WORD_BITS - from % BNN_WORD_BITS : n;
        if (take > BNN_WORD_BITS - to % BNN_WORD_BITS) take = BNN_WORD_BITS - to % BNN_WORD_BITS;
        uint64_t mask = take == BNN_WORD_BITS ? ~UINT64_C(0) : (UINT64_C(1) << take) - 1;
        dst[to / BNN_WORD_BITS] |= (src[from / BNN_WORD_BITS] >> from % BNN_WORD_BITS & mask) << to % BNN_WORD_BITS;
        to += take, from += take, n -= take;
    }
}

/* The first n bits of each of `pixels` pixels of whole words, from bit `to` of as many pixels of `words` words on,
 * where zeros lie; so are the pads of src. */
static inline void bnn_bits_merge(uint64_t *dst, size_t words, size_t to, const uint64_t *src, size_t n,
                                  size_t pixels) {
    const size_t src_words = bnn_words(n), shift = to % BNN_WORD_BITS;
    const size_t reach = bnn_words(shift + n); /* the words of dst that it takes */
    dst += to / BNN_WORD_BITS;
    for (size_t pixel = 0; pixel < pixels; pixel++, dst += words, src += src_words)
        for (size_t i = 0; i < src_words; i++) {
            dst[i] |= src[i] << shift;
            if (shift && i + 1 < reach) dst[i + 1] |= src[i] >> (BNN_WORD_BITS - shift);
        }
}

#endif
