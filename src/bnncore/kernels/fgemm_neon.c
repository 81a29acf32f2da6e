/* float32 rows times float32 weights, NEON.
 *
 * Weights are packed in panels of 16 outputs, [n / 16][k][16], zeros past n. A tile of 6 rows x 16 outputs keeps its 24
 * sums in registers: each step of k loads four weight vectors and six inputs and issues 24 FMLAs (by element, so no
 * broadcast), 10 loads and 24 FMLAs on cores that do at least half as many loads as FMLAs: bound by the FMLAs, 4
 * products each. Fewer rows take more panels side by side, to keep enough chains in flight (an FMLA's result takes 4
 * cycles on most cores). Every output is one chain of FMLAs in the order of k, whatever the tile.
 */
#include "../kernels.h"

#include <arm_neon.h>

enum { PANEL = 16, LANES = 4, PANEL_VECTORS = PANEL / LANES, MAX_VECTORS = 16, MAX_ROWS = 6 };

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

static void store_some(float *y, float32x4_t sum, size_t count) {
    float all[LANES];
    vst1q_f32(all, sum);
    for (size_t i = 0; i < count; i++) y[i] = all[i];
}

/* `rows` rows times `panels` neighbouring panels, of which `outputs` outputs exist; rows and panels are constants. */
UNROLLED void tile(size_t rows, size_t panels, const float *x, size_t x_stride, const float *packed, size_t k,
                   size_t outputs, float *y, size_t y_stride) {
    const size_t vectors = PANEL_VECTORS * panels;
    float32x4_t sum[MAX_ROWS][MAX_VECTORS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++) sum[r][v] = vdupq_n_f32(0.0f);
    for (size_t i = 0; i < k; i++) {
        float32x4_t w[MAX_VECTORS];
        for (size_t v = 0; v < vectors; v++)
            w[v] = vld1q_f32(packed + (v / PANEL_VECTORS * k + i) * PANEL + v % PANEL_VECTORS * LANES);
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < vectors; v++) sum[r][v] = vfmaq_n_f32(sum[r][v], w[v], x[r * x_stride + i]);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++) {
            float *at = y + r * y_stride + v * LANES;
            if (outputs >= (v + 1) * LANES)
                vst1q_f32(at, sum[r][v]);
            else if (outputs > v * LANES)
                store_some(at, sum[r][v], outputs - v * LANES);
        }
}

static void tile_1x4(const float *x, size_t xs, const float *w, size_t k, size_t outputs, float *y, size_t ys) {
    tile(1, 4, x, xs, w, k, outputs, y, ys);
}

static void tile_2x2(const float *x, size_t xs, const float *w, size_t k, size_t outputs, float *y, size_t ys) {
    tile(2, 2, x, xs, w, k, outputs, y, ys);
}

#define TILE_ROWS(rows)                                                                                                \
    static void tile_##rows##x1(const float *x, size_t xs, const float *w, size_t k, size_t outputs, float *y,         \
                                size_t ys) {                                                                           \
        tile(rows, 1, x, xs, w, k, outputs, y, ys);                                                                    \
    }
TILE_ROWS(1)
TILE_ROWS(2)
TILE_ROWS(3)
TILE_ROWS(4)
TILE_ROWS(5)
TILE_ROWS(6)

typedef void tile_function(const float *, size_t, const float *, size_t, size_t, float *, size_t);

static void run(const float *x, size_t x_stride, size_t m, const float *packed, size_t k, size_t n, float *y,
                size_t y_stride) {
    static tile_function *const one_panel[MAX_ROWS + 1] = {NULL,     tile_1x1, tile_2x1, tile_3x1,
                                                           tile_4x1, tile_5x1, tile_6x1};
    for (size_t first = 0, panels; first < n; first += panels * PANEL) {
        size_t outputs = n - first, left = (outputs + PANEL - 1) / PANEL;
        panels = m == 1 && left >= 4 ? 4 : m == 2 && left >= 2 ? 2 : 1;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = m - row < MAX_ROWS ? m - row : MAX_ROWS;
            tile_function *f = panels == 4 ? tile_1x4 : panels == 2 ? tile_2x2 : one_panel[rows];
            size_t count = outputs < panels * PANEL ? outputs : panels * PANEL;
            f(x + row * x_stride, x_stride, packed + first * k, k, count, y + row * y_stride + first, y_stride);
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_neon = {
    .isa = BNN_ISA_neon, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
