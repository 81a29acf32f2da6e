/* float32 rows times float32 weights, AVX2 with FMA.
 *
 * Weights are packed in panels of 16 outputs, [n / 16][1 + k][16], the bias first, zeros past n. A tile of 6 rows x 16
 * outputs keeps its 12 sums in registers: each step of k loads two weight vectors, broadcasts six inputs and issues 12
 * FMAs, so 8 loads and 12 FMAs on ports that do two of each a cycle: bound by the FMAs, 16 products a cycle. Fewer rows
 * take more panels side by side, to keep enough chains in flight (an FMA's result takes 4 or 5 cycles). Every output is
 * one chain of FMAs in the order of k, whatever the tile. Measured on a Zen 5 core: 15.1 to 16.0 products a cycle from
 * 16 rows up. Where a panel has 8 outputs or less, as in convolutions of small groups, 12 or 8 rows x 1 vector take its
 * place: 13 loads for 12 FMAs, 14.8 products a cycle at most, instead of half of 16.
 */
#include "../kernels.h"
#include "unroll.h"

#include <immintrin.h>

enum { PANEL = 16, LANES = 8, MAX_VECTORS = 8, MAX_ROWS = 6, MOST_ROWS = 12 };

static size_t weights_bytes(size_t k, size_t n) { return bnn_round_up(n, PANEL) * (k + 1) * sizeof(float); }

static void weights_pack(const float *rows, const float *bias, size_t k, size_t n, float *packed) {
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t lane = 0; lane < PANEL; lane++) *packed++ = bias && first + lane < n ? bias[first + lane] : 0.0f;
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < PANEL; lane++)
                *packed++ = first + lane < n ? rows[(first + lane) * k + i] : 0.0f;
    }
}

/* The first `lanes` (1 to 8) lanes. */
static inline __m256i lane_mask(size_t lanes) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), lane);
}

/* `rows` rows times `vectors` vectors of neighbouring panels, of which `outputs` outputs exist; rows and vectors are
 * constants. */
UNROLLED void tile(size_t rows, size_t vectors, const bnn_fgemm_rows *a, const float *x, const float *packed,
                   size_t outputs, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k, x_stride = a->x_stride;
    __m256 sum[MOST_ROWS][MAX_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] =
            _mm256_loadu_ps(packed + v / 2 * (k + 1) * PANEL + v % 2 * LANES);
    }
    for (size_t s = 0, i = 0; s < a->segments; s++) {
        const float *at = x + a->segment[s];
        for (size_t j = 0; j < a->segment_k; j++, i++) {
            __m256 w[MAX_VECTORS];
            UNROLL for (size_t v = 0; v < vectors; v++) w[v] =
                _mm256_loadu_ps(packed + (v / 2 * (k + 1) + 1 + i) * PANEL + v % 2 * LANES);
            UNROLL for (size_t r = 0; r < rows; r++) {
                const __m256 one = _mm256_broadcast_ss(at + r * x_stride + j);
                UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] = _mm256_fmadd_ps(one, w[v], sum[r][v]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            float *at = y + r * y_stride + v * LANES;
            if (outputs >= (v + 1) * LANES)
                _mm256_storeu_ps(at, sum[r][v]);
            else if (outputs > v * LANES)
                _mm256_maskstore_ps(at, lane_mask(outputs - v * LANES), sum[r][v]);
        }
    }
}

static void tile_1x4(const bnn_fgemm_rows *a, const float *x, const float *w, size_t outputs, float *y, size_t ys) {
    tile(1, 8, a, x, w, outputs, y, ys);
}

static void tile_2x2(const bnn_fgemm_rows *a, const float *x, const float *w, size_t outputs, float *y, size_t ys) {
    tile(2, 4, a, x, w, outputs, y, ys);
}

#define TILE_ROWS(rows)                                                                                                \
    static void tile_##rows##x1(const bnn_fgemm_rows *a, const float *x, const float *w, size_t outputs, float *y,     \
                                size_t ys) {                                                                           \
        tile(rows, 2, a, x, w, outputs, y, ys);                                                                        \
    }
TILE_ROWS(1)
TILE_ROWS(2)
TILE_ROWS(3)
TILE_ROWS(4)
TILE_ROWS(5)
TILE_ROWS(6)

static void tile_8_half(const bnn_fgemm_rows *a, const float *x, const float *w, size_t outputs, float *y, size_t ys) {
    tile(8, 1, a, x, w, outputs, y, ys);
}

static void tile_12_half(const bnn_fgemm_rows *a, const float *x, const float *w, size_t outputs, float *y, size_t ys) {
    tile(12, 1, a, x, w, outputs, y, ys);
}

typedef void tile_function(const bnn_fgemm_rows *, const float *, const float *, size_t, float *, size_t);

static void run(const bnn_fgemm_rows *a, const float *packed, size_t n, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k, m = a->m;
    static tile_function *const one_panel[MAX_ROWS + 1] = {NULL,     tile_1x1, tile_2x1, tile_3x1,
                                                           tile_4x1, tile_5x1, tile_6x1};
    for (size_t first = 0, panels; first < n; first += panels * PANEL) {
        size_t outputs = n - first, left = (outputs + PANEL - 1) / PANEL;
        panels = m == 1 && left >= 4 ? 4 : m == 2 && left >= 2 ? 2 : 1;
        for (size_t row = 0, rows; row < m; row += rows) {
            const size_t tiles = (m - row + MAX_ROWS - 1) / MAX_ROWS;
            rows = (m - row + tiles - 1) / tiles; /* 7 rows as 4 and 3, not as 6 and 1 */
            tile_function *f = panels == 4 ? tile_1x4 : panels == 2 ? tile_2x2 : one_panel[rows];
            if (outputs <= LANES && m - row >= 8) {
                rows = m - row >= 12 && m - row != 16 ? 12 : 8;
                f = rows == 12 ? tile_12_half : tile_8_half;
            }
            size_t count = outputs < panels * PANEL ? outputs : panels * PANEL;
            f(a, a->x + row * a->x_stride, packed + first * (k + 1), count, y + row * y_stride + first, y_stride);
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_avx2 = {
    .isa = BNN_ISA_avx2, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
