/* Eight rows of words, and the sums of their lanes, for bgemv in AVX-512. */
#ifndef BNN_ROWS_AVX512BW_H
#define BNN_ROWS_AVX512BW_H

#include "unroll.h"

#include <immintrin.h>

enum { STEP = 8, ROWS = 8 }; /* words in a vector, rows side by side */

/* The first n lanes, n up to 8. */
static inline __mmask8 first_lanes(size_t n) { return (__mmask8)((1u << n) - 1); }

/* Of each pair of lanes the sums: those of a in the even lanes, those of b in the odd ones. */
static inline __m512i add_pairs(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Lane i: the sum of the lanes of s[i]. */
UNROLLED __m512i add_lanes(const __m512i s[ROWS]) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
                  high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512i pair[4], quad[2];
    UNROLL for (int i = 0; i < 4; i++) pair[i] = add_pairs(s[2 * i], s[2 * i + 1]);
    UNROLL for (int i = 0; i < 2; i++) quad[i] =
        _mm512_add_epi64(_mm512_permutex2var_epi64(pair[2 * i], low, pair[2 * i + 1]),
                         _mm512_permutex2var_epi64(pair[2 * i], high, pair[2 * i + 1]));
    return _mm512_add_epi64(_mm512_shuffle_i64x2(quad[0], quad[1], 0x44), _mm512_shuffle_i64x2(quad[0], quad[1], 0xEE));
}

#endif
