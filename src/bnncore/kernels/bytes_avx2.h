/* Vectors of bytes for the kernels of integers that are written once for AVX2 and AVX-512: AVX2. */
#ifndef BNN_BYTES_AVX2_H
#define BNN_BYTES_AVX2_H

#include "lanes_avx2.h"

#include <stdint.h>

typedef __m256i bytes;
typedef __m128i half_bytes;

#define BYTES          32
#define MANY_REGISTERS 0 /* 16 */

static inline bytes bytes_load(const void *at) { return _mm256_load_si256(at); }
static inline bytes bytes_load_any(const void *at) { return _mm256_loadu_si256(at); }
static inline void bytes_store(void *at, bytes a) { _mm256_store_si256(at, a); }
static inline void bytes_store_any(void *at, bytes a) { _mm256_storeu_si256(at, a); }
static inline bytes bytes_zero(void) { return _mm256_setzero_si256(); }
static inline bytes bytes_all(uint8_t x) { return _mm256_set1_epi8((char)x); }
static inline bytes bytes_and(bytes a, bytes b) { return _mm256_and_si256(a, b); }
static inline bytes bytes_add(bytes a, bytes b) { return _mm256_add_epi8(a, b); }
static inline bytes bytes_sub(bytes a, bytes b) { return _mm256_sub_epi8(a, b); }
static inline bytes bytes_mean(bytes a, bytes b) { return _mm256_avg_epu8(a, b); }
static inline bytes bytes_look(bytes table, bytes at) { return _mm256_shuffle_epi8(table, at); }
static inline bytes bytes_table(const void *at) { return _mm256_broadcastsi128_si256(_mm_load_si128(at)); }
static inline bytes words_add(bytes a, bytes b) { return _mm256_add_epi16(a, b); }
static inline bytes words_sub(bytes a, bytes b) { return _mm256_sub_epi16(a, b); }
static inline bytes words_all(int16_t x) { return _mm256_set1_epi16(x); }
/* Unsigned bytes times signed ones, two products a word. */
static inline bytes words_dot(bytes a, bytes b) { return _mm256_maddubs_epi16(a, b); }
static inline bytes ints_add(bytes a, bytes b) { return _mm256_add_epi32(a, b); }
static inline bytes ints_of_words(half_bytes a) { return _mm256_cvtepi16_epi32(a); }
/* By a constant. */
#define words_left(a, bits)  _mm256_slli_epi16(a, bits)
#define words_right(a, bits) _mm256_srli_epi16(a, bits)

/* The low nibbles of 16 bytes, and then the high ones. */
static inline bytes bytes_of_nibbles(const void *at) {
    const bytes twice = _mm256_broadcastsi128_si256(_mm_load_si128(at));
    return bytes_and(_mm256_srlv_epi32(twice, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), bytes_all(15));
}

static inline half_bytes bytes_low(bytes a) { return _mm256_castsi256_si128(a); }
static inline half_bytes bytes_high(bytes a) { return _mm256_extracti128_si256(a, 1); }

/* Bit i: word i of low and then high > level[i]. */
static inline uint32_t words_above(bytes low, bytes high, const int16_t *level) {
    low = _mm256_cmpgt_epi16(low, bytes_load_any(level));
    high = _mm256_cmpgt_epi16(high, bytes_load_any(level + BYTES / 2));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8));
}

/* Words to floats. */
static inline lanes words_to_lanes(half_bytes x) { return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(x)); }

/* Adds all lanes of pop << shift. */
static inline void put_counts(int32_t *to, half_bytes pop, uint32_t shift) {
    const __m256i more = _mm256_sll_epi32(_mm256_cvtepu16_epi32(pop), _mm_cvtsi32_si128((int)shift));
    bytes_store_any(to, ints_add(bytes_load_any(to), more));
}

#endif
