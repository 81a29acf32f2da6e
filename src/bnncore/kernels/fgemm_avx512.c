/* float32 rows times float32 weights, AVX-512.
 *
 * Weights are packed in panels of 16 outputs (one vector), [n / 16][k][16], zeros past n. A tile of 12 rows x 2 panels
 * keeps its 24 sums in registers: each step of k loads two weight vectors, broadcasts 12 inputs and issues 24 FMAs, so
 * 14 loads and 24 FMAs on ports that do two of each a cycle: bound by the FMAs, 32 products a cycle. Fewer rows take
 * more panels side by side, to keep enough chains in flight (an FMA's result takes 4 cycles). Every output is one chain
 * of FMAs in the order of k, whatever the tile.
 */
#include "../kernels.h"

#include <immintrin.h>

enum { PANEL = 16, MAX_ROWS = 12, MAX_PANELS = 8 };

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#else
#define UNROLLED static __forceinline
#endif

static size_t weights_bytes(size_t k, size_t n) { return bnn_round_up(n, PANEL) * k * sizeof(float); }

static void weights_pack(const float *rows, size_t k, size_t n, float *packed) {
    for (size_t first = 0; first < n; first += PANEL)
        for (size_t i = 0; i < k; i++)
            for (size_t lane = 0; lane < PANEL; lane++)
                *packed++ = first + lane < n ? rows[(first + lane) * k + i] : 0.0f;
}

/* `rows` rows times `panels` neighbouring panels, of which `outputs` outputs exist; rows and panels are constants. */
UNROLLED void tile(const size_t rows, const size_t panels, const float *x, size_t x_stride, const float *packed,
                   size_t k, size_t outputs, float *y, size_t y_stride) {
    __m512 sum[MAX_ROWS][MAX_PANELS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < panels; v++) sum[r][v] = _mm512_setzero_ps();
    for (size_t i = 0; i < k; i++) {
        __m512 w[MAX_PANELS];
        for (size_t v = 0; v < panels; v++) w[v] = _mm512_loadu_ps(packed + (v * k + i) * PANEL);
        for (size_t r = 0; r < rows; r++) {
            const __m512 a = _mm512_set1_ps(x[r * x_stride + i]);
            for (size_t v = 0; v < panels; v++) sum[r][v] = _mm512_fmadd_ps(a, w[v], sum[r][v]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < panels; v++) {
            const size_t left = outputs - v * PANEL;
            const __mmask16 lanes = (__mmask16)(left < PANEL ? (1u << left) - 1 : 0xffff);
            _mm512_mask_storeu_ps(y + r * y_stride + v * PANEL, lanes, sum[r][v]);
        }
}

typedef void tile_function(const float *, size_t, const float *, size_t, size_t, float *, size_t);

#define TILE(rows, panels)                                                                                             \
    static void tile_##rows##x##panels(const float *x, size_t xs, const float *w, size_t k, size_t outputs, float *y,  \
                                       size_t ys) {                                                                    \
        tile(rows, panels, x, xs, w, k, outputs, y, ys);                                                               \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(6)
TILES(8)
TILES(12)
TILE(1, 8)
TILE(2, 4)

/* The most rows that a tile can take of `left`. */
static size_t tile_rows(size_t left) { return left >= 12 ? 12 : left >= 8 ? 8 : left >= 6 ? 6 : left < 4 ? left : 4; }

static void run(const float *x, size_t x_stride, size_t m, const float *packed, size_t k, size_t n, float *y,
                size_t y_stride) {
    static tile_function *const table[MAX_ROWS + 1][2] = {
        {NULL, NULL}, {tile_1x1, tile_1x2}, {tile_2x1, tile_2x2},  {tile_3x1, tile_3x2}, {tile_4x1, tile_4x2},
        {NULL, NULL}, {tile_6x1, tile_6x2}, {NULL, NULL},          {tile_8x1, tile_8x2}, {NULL, NULL},
        {NULL, NULL}, {NULL, NULL},         {tile_12x1, tile_12x2}};
    for (size_t first = 0, panels; first < n; first += panels * PANEL) {
        const size_t left = (n - first + PANEL - 1) / PANEL;
        panels = m == 1 && left >= 8 ? 8 : m == 2 && left >= 4 ? 4 : left >= 2 ? 2 : 1;
        const size_t outputs = n - first < panels * PANEL ? n - first : panels * PANEL;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = tile_rows(m - row);
            tile_function *f = panels == 8 ? tile_1x8 : panels == 4 ? tile_2x4 : table[rows][panels - 1];
            f(x + row * x_stride, x_stride, packed + first * k, k, outputs, y + row * y_stride + first, y_stride);
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_avx512 = {
    .isa = BNN_ISA_avx512, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
