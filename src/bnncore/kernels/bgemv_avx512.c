/* One binary row against all weights, AVX-512: pop[n] = popcount(a XOR rows[n]).
 *
 * The weights are read once, as they lie in the file, eight words a vector; a row's last vector is masked. Eight rows
 * go side by side, so that `a` is loaded once for the eight, and a tree of shuffles adds the lanes of their eight sums
 * into one vector of eight counts, stored at once. XOR with a load, vpopcntq and vpaddq count 512 bits: 341 a cycle on
 * two vector ports (llvm-mca 340 on icelake-server, sapphirerapids and znver4), which is more than a cache beyond L1
 * delivers. On Zen 5 580 bits a cycle were measured from L1, and 227, 28 bytes, for 2 MiB of weights from L3;
 * prefetching a block of rows ahead changed nothing.
 */
#include "../kernels.h"
#include "rows_avx512bw.h"

static inline __m512i count(__m512i sum, __m512i a, __m512i row) {
    return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(a, row)));
}

/* Counts of the first `n` of eight rows; those past n are taken as the row before them. */
UNROLLED void eight_rows(const uint64_t *a, const uint64_t *rows, size_t words, size_t n, uint32_t *pop) {
    const uint64_t *row[ROWS];
    __m512i sum[ROWS];
    UNROLL for (size_t i = 0; i < ROWS; i++) {
        row[i] = rows + (i < n ? i : n - 1) * words;
        sum[i] = _mm512_setzero_si512();
    }
    size_t w = 0;
    for (; w + STEP <= words; w += STEP) {
        const __m512i x = _mm512_loadu_si512(a + w);
        UNROLL for (size_t i = 0; i < ROWS; i++) sum[i] = count(sum[i], x, _mm512_loadu_si512(row[i] + w));
    }
    if (w < words) {
        const __mmask8 lanes = first_lanes(words - w);
        const __m512i x = _mm512_maskz_loadu_epi64(lanes, a + w);
        UNROLL for (size_t i = 0; i < ROWS; i++) sum[i] = count(sum[i], x, _mm512_maskz_loadu_epi64(lanes, row[i] + w));
    }
    _mm512_mask_cvtepi64_storeu_epi32(pop, first_lanes(n), add_lanes(sum));
}

/* Rows of one word: eight of them are a vector. */
static void run_words(uint64_t a, const uint64_t *rows, size_t outputs, uint32_t *pop) {
    const __m512i x = _mm512_set1_epi64((long long)a);
    for (size_t n = 0; n < outputs; n += ROWS) {
        const __mmask8 lanes = first_lanes(outputs - n < ROWS ? outputs - n : ROWS);
        const __m512i row = _mm512_maskz_loadu_epi64(lanes, rows + n);
        _mm512_mask_cvtepi64_storeu_epi32(pop + n, lanes, _mm512_popcnt_epi64(_mm512_xor_si512(x, row)));
    }
}

static void run(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop) {
    if (words == 1) {
        run_words(*a, rows, outputs, pop);
        return;
    }
    size_t n = 0;
    for (; n + ROWS <= outputs; n += ROWS) eight_rows(a, rows + n * words, words, ROWS, pop + n);
    if (n < outputs) eight_rows(a, rows + n * words, words, outputs - n, pop + n);
}

const bnn_bgemv_kernel bnn_bgemv_avx512 = {.isa = BNN_ISA_avx512, .run = run};
