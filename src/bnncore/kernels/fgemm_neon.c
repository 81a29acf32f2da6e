/* float32 rows times float32 weights, NEON.
 *
 * Weights are packed in panels of 16 outputs, [n / 16][1 + k][16], the bias first, zeros past n. A tile of 6 rows x 16
 * outputs keeps its 24 sums in registers: each step of k loads four weight vectors and six inputs and issues 24 FMLAs,
 * so it is bound by the FMLAs, 4 products each. Fewer rows take more panels side by side, to keep enough chains in
 * flight (an FMLA's result takes 4 cycles on most cores). Every output is one chain of FMLAs in the order of k,
 * whatever the tile.
 *
 * llvm-mca 19, cycles a step of 6 x 16, gcc 12 and clang 19 (which broadcasts inputs by LD1R, a vector operation more):
 * 13.5 and 14.8 on neoverse-n1 (24 FMLAs on two pipes: 12), 6.5 and 8.0 on neoverse-v1 (6), 8.4 and 11.1 on apple-m1
 * (three pipes in the model: 8), 24.6 and 28.1 on cortex-a72 (one FMLA a cycle: 24).
 */
#include "../kernels.h"

#include <arm_neon.h>
#include <string.h>

enum { PANEL = 16, LANES = 4, PANEL_VECTORS = PANEL / LANES, MAX_VECTORS = 16, MAX_ROWS = 6 };

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 16") /* a loop that gcc leaves keeps all of `sum` in memory */
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

/* `rows` rows times `panels` whole neighbouring panels, both constants. */
UNROLLED void tile(size_t rows, size_t panels, const bnn_fgemm_rows *a, const float *x, const float *packed, float *y,
                   size_t y_stride) {
    const size_t vectors = PANEL_VECTORS * panels;
    const size_t k = a->segments * a->segment_k, x_stride = a->x_stride;
    float32x4_t sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] =
            vld1q_f32(packed + v / PANEL_VECTORS * (k + 1) * PANEL + v % PANEL_VECTORS * LANES);
    }
    for (size_t s = 0, i = 0; s < a->segments; s++) {
        const float *at = x + a->segment[s];
        for (size_t j = 0; j < a->segment_k; j++, i++) {
            float one[MAX_ROWS];
            UNROLL for (size_t r = 0; r < rows; r++) one[r] = at[r * x_stride + j];
            UNROLL for (size_t v = 0; v < vectors; v++) {
                const float *from = packed + (v / PANEL_VECTORS * (k + 1) + 1 + i) * PANEL + v % PANEL_VECTORS * LANES;
                const float32x4_t w = vld1q_f32(from);
                UNROLL for (size_t r = 0; r < rows; r++) sum[r][v] = vfmaq_n_f32(sum[r][v], w, one[r]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) vst1q_f32(y + r * y_stride + v * LANES, sum[r][v]);
    }
}

static void tile_1x4(const bnn_fgemm_rows *a, const float *x, const float *w, float *y, size_t ys) {
    tile(1, 4, a, x, w, y, ys);
}

static void tile_2x2(const bnn_fgemm_rows *a, const float *x, const float *w, float *y, size_t ys) {
    tile(2, 2, a, x, w, y, ys);
}

#define TILE_ROWS(rows)                                                                                                \
    static void tile_##rows##x1(const bnn_fgemm_rows *a, const float *x, const float *w, float *y, size_t ys) {        \
        tile(rows, 1, a, x, w, y, ys);                                                                                 \
    }
TILE_ROWS(1)
TILE_ROWS(2)
TILE_ROWS(3)
TILE_ROWS(4)
TILE_ROWS(5)
TILE_ROWS(6)

typedef void tile_function(const bnn_fgemm_rows *, const float *, const float *, float *, size_t);

static void run(const bnn_fgemm_rows *a, const float *packed, size_t n, float *y, size_t y_stride) {
    const size_t k = a->segments * a->segment_k, m = a->m;
    static tile_function *const one_panel[MAX_ROWS + 1] = {NULL,     tile_1x1, tile_2x1, tile_3x1,
                                                           tile_4x1, tile_5x1, tile_6x1};
    for (size_t first = 0, panels; first < n; first += panels * PANEL) {
        const size_t outputs = n - first;
        panels = m == 1 && outputs >= 4 * PANEL ? 4 : m == 2 && outputs >= 2 * PANEL ? 2 : 1;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = m - row < MAX_ROWS ? m - row : MAX_ROWS;
            tile_function *f = panels == 4 ? tile_1x4 : panels == 2 ? tile_2x2 : one_panel[rows];
            const float *x = a->x + row * a->x_stride, *w = packed + first * (k + 1);
            float *at = y + row * y_stride + first;
            if (outputs >= panels * PANEL) {
                f(a, x, w, at, y_stride);
            } else {
                float whole[MAX_ROWS * PANEL];
                f(a, x, w, whole, PANEL);
                for (size_t r = 0; r < rows; r++) memcpy(at + r * y_stride, whole + r * PANEL, outputs * sizeof(float));
            }
        }
    }
}

const bnn_fgemm_kernel bnn_fgemm_neon = {
    .isa = BNN_ISA_neon, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
