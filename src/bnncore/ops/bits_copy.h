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

/* Every `group` bits (2 to 64) turned by `by` (1 to group - 1): to bit i of a group comes its bit (i + by) % group.
 * `keep` and `wrap` are those bits of a pixel that come from above and from below; none comes from another pixel, but
 * the words before and behind x are read. */
static inline void bnn_bits_turn(const uint64_t *x, size_t pixels, size_t words, unsigned group, unsigned by,
                                 const uint64_t *keep, const uint64_t *wrap, uint64_t *to) {
    const unsigned down = group - by;
    if (BNN_WORD_BITS % group == 0) { /* no group crosses words, and all words are alike */
        const uint64_t above = keep[0], below = wrap[0];
        for (size_t i = 0; i < pixels * words; i++) to[i] = (x[i] >> by & above) | (x[i] << down & below);
        return;
    }
    for (size_t pixel = 0; pixel < pixels; pixel++, x += words, to += words)
        for (size_t w = 0; w < words; w++) {
            const uint64_t above = x[w] >> by | x[w + 1] << (BNN_WORD_BITS - by);
            const uint64_t below = x[w] << down | x[(ptrdiff_t)w - 1] >> (BNN_WORD_BITS - down);
            to[w] = (above & keep[w]) | (below & wrap[w]);
        }
}

#endif
