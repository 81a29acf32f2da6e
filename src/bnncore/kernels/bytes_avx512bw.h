/* Vectors of bytes for the kernels of integers that are written once for AVX2 and AVX-512: AVX-512 BW. */
#ifndef BNN_BYTES_AVX512BW_H
#define BNN_BYTES_AVX512BW_H

#include "lanes_avx512bw.h"

#include <stdint.h>

typedef __m512i bytes;
typedef __m256i half_bytes;

#define BYTES          64
#define MANY_REGISTERS 1 /* 32 */

static inline bytes bytes_load(const void *at) { return _mm512_load_si512(at); }
static inline bytes bytes_load_any(const void *at) { return _mm512_loadu_si512(at); }
static inline void bytes_store(void *at, bytes a) { _mm512_store_si512(at, a); }
static inline void bytes_store_any(void *at, bytes a) { _mm512_storeu_si512(at, a); }
static inline bytes bytes_zero(void) { return _mm512_setzero_si512(); }
static inline bytes bytes_all(uint8_t x) { return _mm512_set1_epi8((char)x); }
static inline bytes bytes_and(bytes a, bytes b) { return _mm512_and_si512(a, b); }
static inline bytes bytes_add(bytes a, bytes b) { return _mm512_add_epi8(a, b); }
static inline bytes bytes_sub(bytes a, bytes b) { return _mm512_sub_epi8(a, b); }
static inline bytes bytes_mean(bytes a, bytes b) { return _mm512_avg_epu8(a, b); }
static inline bytes bytes_look(bytes table, bytes at) { return _mm512_shuffle_epi8(table, at); }
static inline bytes bytes_table(const void *at) { return _mm512_broadcast_i32x4(_mm_load_si128(at)); }
static inline bytes words_add(bytes a, bytes b) { return _mm512_add_epi16(a, b); }
static inline bytes words_sub(bytes a, bytes b) { return _mm512_sub_epi16(a, b); }
static inline bytes words_all(int16_t x) { return _mm512_set1_epi16(x); }
/* Unsigned bytes times signed ones, two products a word. */
static inline bytes words_dot(bytes a, bytes b) { return _mm512_maddubs_epi16(a, b); }
static inline bytes ints_add(bytes a, bytes b) { return _mm512_add_epi32(a, b); }
static inline bytes ints_of_words(half_bytes a) { return _mm512_cvtepi16_epi32(a); }
/* By a constant. */
#define words_left(a, bits)  _mm512_slli_epi16(a, bits)
#define words_right(a, bits) _mm512_srli_epi16(a, bits)

/* The low nibbles of 32 bytes, and then the high ones. */
static inline bytes bytes_of_nibbles(const void *at) {
    const bytes twice = _mm512_broadcast_i64x4(_mm256_load_si256(at));
    return bytes_and(_mm512_srlv_epi64(twice, _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4)), bytes_all(15));
}

static inline half_bytes bytes_low(bytes a) { return _mm512_castsi512_si256(a); }
static inline half_bytes bytes_high(bytes a) { return _mm512_extracti64x4_epi64(a, 1); }

/* Bit i: word i of low and then high > level[i]. */
static inline uint64_t words_above(bytes low, bytes high, const int16_t *level) {
    const uint64_t below32 = _mm512_cmpgt_epi16_mask(low, bytes_load_any(level));
    return below32 | (uint64_t)_mm512_cmpgt_epi16_mask(high, bytes_load_any(level + BYTES / 2)) << 32;
}

/* Words to floats. */
static inline lanes words_to_lanes(half_bytes x) { return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(x)); }

/* Adds all lanes of pop << shift. */
static inline void put_counts(int32_t *to, half_bytes pop, uint32_t shift) {
    const __m512i more = _mm512_sll_epi32(_mm512_cvtepu16_epi32(pop), _mm_cvtsi32_si128((int)shift));
    bytes_store_any(to, ints_add(bytes_load_any(to), more));
}

#endif
