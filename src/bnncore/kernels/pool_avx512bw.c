/* Maximum pooling of +-1 values, AVX-512: the OR of packed rows.
 *
 * Up to 32 words (four vectors) of every row stay in registers while the rows pass, so each row is read once and the
 * result is written once; the last vector is masked. A load with its OR is one instruction and two 64-byte loads run in
 * a cycle: 16 words a cycle from L1, and the loads are all there is. llvm-mca, for four rows: 10.4 (Sapphire Rapids) to
 * 15.4 (znver4); measured on Zen 5: 9.6.
 */
#include "../kernels.h"

#include <immintrin.h>

enum { STEP = 8, WIDE = 4 }; /* words in a vector, vectors at once */

static inline __m512i load(const uint64_t *words) { return _mm512_loadu_si512(words); }

static void or_rows(const uint64_t *const *src, size_t count, size_t words, const uint64_t *flip, uint64_t *dst) {
    size_t w = 0;
    for (; w + WIDE * STEP <= words; w += WIDE * STEP) {
        __m512i any[WIDE];
        for (size_t v = 0; v < WIDE; v++) any[v] = load(src[0] + w + v * STEP);
        for (size_t i = 1; i < count; i++)
            for (size_t v = 0; v < WIDE; v++) any[v] = _mm512_or_si512(any[v], load(src[i] + w + v * STEP));
        for (size_t v = 0; v < WIDE; v++) {
            if (flip) any[v] = _mm512_xor_si512(any[v], load(flip + w + v * STEP));
            _mm512_storeu_si512(dst + w + v * STEP, any[v]);
        }
    }
    for (; w < words; w += STEP) {
        const __mmask8 lanes = (__mmask8)(words - w < STEP ? (1u << (words - w)) - 1 : 0xff);
        __m512i any = _mm512_maskz_loadu_epi64(lanes, src[0] + w);
        for (size_t i = 1; i < count; i++) any = _mm512_or_si512(any, _mm512_maskz_loadu_epi64(lanes, src[i] + w));
        if (flip) any = _mm512_xor_si512(any, _mm512_maskz_loadu_epi64(lanes, flip + w));
        _mm512_mask_storeu_epi64(dst + w, lanes, any);
    }
}

const bnn_pool_kernel bnn_pool_avx512bw = {.isa = BNN_ISA_avx512bw, .or_rows = or_rows};
