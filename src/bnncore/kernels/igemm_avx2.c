/* uint8 pixels times +-1 weights, AVX2: 16 outputs in the 16-bit lanes, two products a step.
 *
 * vpmaddubsw multiplies a broadcast pair of pixel bytes with a pair of weights for each of 16 outputs and adds the two:
 * at most 510 either way, so 64 steps add up in 16 bits before they must be widened. A tile is 4 pixels x 32 outputs: a
 * step loads 2 weight vectors, broadcasts 4 pairs, and does 8 vpmaddubsw and 8 vpaddw for 256 products: 16 operations
 * on two multiply pipes (Zen 3, Skylake: 4 cycles, 64 products a cycle). llvm-mca 19 predicts 1.0 times the bound on
 * znver3 and 1.3 on skylake from gcc 12, where the additions share the multiplications' ports.
 */
#include "../kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 16, TILE_N = 32, TILE_P = 4, STEPS = 64 };

static size_t pairs(const bnn_igemm_shape *s) { return (size_t)(s->segment_bytes + 1) / 2; }

static size_t weights_bytes(const bnn_igemm_shape *s) {
    return bnn_round_up(s->outputs, TILE_N) * s->segments * pairs(s) * 2;
}

/* packed: [outputs / 32][segments][pairs][32][2], zeros past the outputs and past an odd segment's end */
static void weights_pack(const bnn_igemm_shape *s, const int8_t *rows, void *packed) {
    size_t depth = (size_t)s->segments * s->segment_bytes;
    int8_t *to = packed;
    for (size_t first = 0; first < s->outputs; first += TILE_N)
        for (size_t at = 0; at < s->segments; at++)
            for (size_t pair = 0; pair < pairs(s); pair++)
                for (size_t lane = 0; lane < TILE_N; lane++)
                    for (size_t i = pair * 2; i < pair * 2 + 2; i++) {
                        int used = first + lane < s->outputs && i < s->segment_bytes;
                        *to++ = used ? rows[(first + lane) * depth + at * s->segment_bytes + i] : 0;
                    }
}

static inline __m256i pair_at(const uint8_t *x) {
    int16_t pair;
    memcpy(&pair, x, sizeof pair);
    return _mm256_set1_epi16(pair);
}

/* 16 sums of 16 bits into memory, or onto what is there, in 32 bits. */
static inline void widen(int32_t *y, __m256i sum, int add) {
    __m256i low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sum));
    __m256i high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sum, 1));
    __m256i *to = (__m256i *)(void *)y;
    if (add) {
        low = _mm256_add_epi32(low, _mm256_loadu_si256(to));
        high = _mm256_add_epi32(high, _mm256_loadu_si256(to + 1));
    }
    _mm256_storeu_si256(to, low);
    _mm256_storeu_si256(to + 1, high);
}

/* `tile` pixels (a constant where this is inlined) and 32 outputs. */
static inline void run_tile(const bnn_igemm_shape *s, int tile, const uint8_t *x, size_t pixel_bytes,
                            const size_t *segment, const int8_t *w, int32_t *y, size_t y_stride) {
    __m256i sum[TILE_P][2];
    size_t steps = 0;
    int widened = 0;
    for (int p = 0; p < tile; p++) sum[p][0] = sum[p][1] = _mm256_setzero_si256();
    for (uint32_t at = 0; at < s->segments; at++) {
        const uint8_t *from = x + segment[at];
        for (size_t pair = 0; pair < pairs(s); pair++, from += 2, w += 2 * TILE_N) {
            __m256i w0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
            __m256i w1 = _mm256_loadu_si256((const __m256i *)(const void *)w + 1);
            for (int p = 0; p < tile; p++) {
                __m256i a = pair_at(from + (size_t)p * pixel_bytes);
                sum[p][0] = _mm256_add_epi16(sum[p][0], _mm256_maddubs_epi16(a, w0));
                sum[p][1] = _mm256_add_epi16(sum[p][1], _mm256_maddubs_epi16(a, w1));
            }
            if (++steps == STEPS) {
                for (int p = 0; p < tile; p++)
                    for (int half = 0; half < 2; half++) {
                        widen(y + (size_t)p * y_stride + half * LANES, sum[p][half], widened);
                        sum[p][half] = _mm256_setzero_si256();
                    }
                widened = 1;
                steps = 0;
            }
        }
    }
    for (int p = 0; p < tile; p++)
        for (int half = 0; half < 2; half++) widen(y + (size_t)p * y_stride + half * LANES, sum[p][half], widened);
}

static void run(const bnn_igemm_shape *s, const uint8_t *x, size_t pixel_bytes, size_t pixels, const size_t *segment,
                const void *packed, int32_t *y, size_t y_stride) {
    const int8_t *w = packed;
    size_t panel = s->segments * pairs(s) * 2 * TILE_N;
    for (size_t first = 0; first < s->outputs; first += TILE_N, w += panel) {
        size_t p = 0;
        for (; p + TILE_P <= pixels; p += TILE_P)
            run_tile(s, TILE_P, x + p * pixel_bytes, pixel_bytes, segment, w, y + p * y_stride + first, y_stride);
        for (; p < pixels; p++)
            run_tile(s, 1, x + p * pixel_bytes, pixel_bytes, segment, w, y + p * y_stride + first, y_stride);
    }
}

const bnn_igemm_kernel bnn_igemm_avx2 = {
    .isa = BNN_ISA_avx2, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
