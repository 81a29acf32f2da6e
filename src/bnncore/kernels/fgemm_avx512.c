/* float32 rows times float32 weights, AVX-512.
 *
 * Weights are packed in panels of 16 outputs (one vector), [n / 16][1 + k][16], the bias first, zeros past n. A tile of
 * 12 rows x 2 panels keeps its 24 sums in registers: each step of k loads two weight vectors, broadcasts 12 inputs and
 * issues 24 FMAs, so 14 loads and 24 FMAs on ports that do two of each a cycle: bound by the FMAs, 32 products a cycle,
 * of which 29 to 31 were measured on Zen 5 (Ice Lake and later servers have the two FMA ports too; llvm-mca models one,
 * so it says 16). Fewer rows take more panels side by side, to keep enough chains in flight (an FMA's result takes 4
 * cycles). Every output is one chain of FMAs in the order of k, whatever the tile.
 */
#include "../kernels.h"

#include <immintrin.h>

enum { PANEL = 16, MAX_ROWS = 12, MAX_PANELS = 8 };

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 12") /* a loop that gcc leaves keeps the sums in memory */
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

static size_t weights_bytes(size_t k, size_t n) { return bnn_round_up(n, PANEL) * (k + 1) * sizeof(float); }

static void weights_pack(const float *rows, const float *bias, size_t k, size_t n, float *packed) {
    for (size_t first = 0; first < n; first += PANEL) {
        for (size_t lane = 0; lane < PANEL; lane++) *packed++ = bias && first + lane < n ? bias[first + lane] : 0.0f;
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < PANEL; lane++)
                *packed++ = first + lane < n ? rows[(first + lane) * k + i] : 0.0f;
    }
}

/* `rows` rows times `panels` neighbouring panels, of which `outputs` outputs exist; rows and panels are constants. */
UNROLLED void tile(const size_t rows, const size_t panels, const bnn_fgemm_rows *a, const float *x, const float *packed,
                   size_t outputs, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k, x_stride = a->x_stride;
    __m512 sum[MAX_ROWS][MAX_PANELS];
    UNROLL for (size_t r = 0; r < rows; r++) UNROLL for (size_t v = 0; v < panels; v++) sum[r][v] =
        _mm512_loadu_ps(packed + v * (k + 1) * PANEL);
    for (size_t s = 0, i = 0; s < a->segments; s++) {
        const float *at = x + a->segment[s];
        for (size_t j = 0; j < a->segment_k; j++, i++) {
            __m512 w[MAX_PANELS];
            UNROLL for (size_t v = 0; v < panels; v++) w[v] = _mm512_loadu_ps(packed + (v * (k + 1) + 1 + i) * PANEL);
            UNROLL for (size_t r = 0; r < rows; r++) {
                const __m512 one = _mm512_set1_ps(at[r * x_stride + j]);
                UNROLL for (size_t v = 0; v < panels; v++) sum[r][v] = _mm512_fmadd_ps(one, w[v], sum[r][v]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) UNROLL for (size_t v = 0; v < panels; v++) {
        const size_t left = outputs - v * PANEL;
        const __mmask16 lanes = (__mmask16)(left < PANEL ? (1u << left) - 1 : 0xffff);
        _mm512_mask_storeu_ps(y + r * y_stride + v * PANEL, lanes, sum[r][v]);
    }
}

typedef void tile_function(const bnn_fgemm_rows *, const float *, const float *, size_t, float *, size_t);

#define TILE(rows, panels)                                                                                             \
    static void tile_##rows##x##panels(const bnn_fgemm_rows *a, const float *x, const float *w, size_t outputs,        \
                                       float *y, size_t ys) {                                                          \
        tile(rows, panels, a, x, w, outputs, y, ys);                                                                   \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
TILE(1, 4)
TILE(1, 8)
TILE(2, 4)
TILE(3, 4)

#define ROW(rows) {tile_##rows##x1, tile_##rows##x2}

static tile_function *const tiles[MAX_ROWS][2] = {ROW(1), ROW(2), ROW(3), ROW(4),  ROW(5),  ROW(6),
                                                  ROW(7), ROW(8), ROW(9), ROW(10), ROW(11), ROW(12)};

/* Panels side by side: enough for eight chains of FMAs or more, where there are so many. */
static size_t tile_panels(size_t rows, size_t left) {
    if (rows == 1 && left >= 8) return 8;
    return rows <= 3 && left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static tile_function *tile_of(size_t rows, size_t panels) {
    if (panels == 8) return tile_1x8;
    if (panels == 4) return rows == 1 ? tile_1x4 : rows == 2 ? tile_2x4 : tile_3x4;
    return tiles[rows - 1][panels - 1];
}

static void run(const bnn_fgemm_rows *a, const float *packed, size_t n, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k, m = a->m;
    if (!m) return;
    const size_t parts = (m + MAX_ROWS - 1) / MAX_ROWS, most = (m + parts - 1) / parts; /* tiles of like height */
    for (size_t first = 0, panels; first < n; first += panels * PANEL) {
        panels = tile_panels(most, (n - first + PANEL - 1) / PANEL);
        const size_t outputs = n - first < panels * PANEL ? n - first : panels * PANEL;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = m - row < most ? m - row : most;
            tile_of(rows, panels)(a, a->x + row * a->x_stride, packed + first * (k + 1), outputs,
                                  y + row * y_stride + first, y_stride);
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_avx512 = {
    .isa = BNN_ISA_avx512, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
