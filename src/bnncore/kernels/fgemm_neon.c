/* float32 rows times float32 weights, NEON.
 *
 * Panels of 16 outputs: fgemm_panels.h. A tile of 6 rows x 16 outputs keeps its 24 sums in registers: each step of k
 * loads four weight vectors and six inputs and issues 24 FMLAs, so it is bound by the FMLAs, 4 products each. Fewer
 * rows take more panels side by side, to keep enough chains in flight (an FMLA's result takes 4 cycles on most cores).
 * Every output is one chain of FMLAs in the order of k, whatever the tile. Signs are looked up, four at a time.
 *
 * llvm-mca 19, cycles a step of 6 x 16, gcc 12 and clang 19 (which broadcasts inputs by LD1R, a vector operation more):
 * 13.5 and 14.8 on neoverse-n1 (24 FMLAs on two pipes: 12), 6.5 and 8.0 on neoverse-v1 (6), 8.4 and 11.1 on apple-m1
 * (three pipes in the model: 8), 24.6 and 28.1 on cortex-a72 (one FMLA a cycle: 24).
 */
#include "fgemm_panels.h"

#include <arm_neon.h>

enum { LANES = 4, PANEL_VECTORS = PANEL / LANES, MAX_VECTORS = 16, MAX_ROWS = 6 };

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 16") /* a loop that gcc leaves keeps all of `sum` in memory */
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

/* The weights of 4 outputs, by the four bits that say which of them are -1. */
#define ONE(bits, lane) ((bits) >> (lane) & 1 ? -1.0f : 1.0f)
#define ROW(bits)       {ONE(bits, 0), ONE(bits, 1), ONE(bits, 2), ONE(bits, 3)}
#define ROWS4(bits)     ROW(bits), ROW((bits) + 1), ROW((bits) + 2), ROW((bits) + 3)
static const float signs_of[16][LANES] = {ROWS4(0), ROWS4(4), ROWS4(8), ROWS4(12)};

/* Outputs 4 * quarter to 4 * quarter + 3 of a panel at step i. */
UNROLLED float32x4_t weights_at(const form form, const unsigned char *panel, size_t i, const size_t quarter) {
    if (form == FLOATS) return vld1q_f32(floats_at(panel, i) + quarter * LANES);
    return vld1q_f32(signs_of[signs_at(panel, i)[quarter / 2] >> quarter % 2 * LANES & 15]);
}

/* `rows` rows times `panels` whole neighbouring panels; both, and form, are constants. */
UNROLLED void tile(const size_t rows, const size_t panels, const form form, const bnn_fgemm_rows *a, const float *x,
                   const unsigned char *packed, float *y, size_t y_stride) {
    const size_t vectors = PANEL_VECTORS * panels;
    const size_t panel = panel_bytes(form, a->segments * a->segment_k), x_stride = a->x_stride;
    float32x4_t sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] =
            vld1q_f32((const float *)(const void *)(packed + v / PANEL_VECTORS * panel) + v % PANEL_VECTORS * LANES);
    }
    for (size_t s = 0, i = 0; s < a->segments; s++) {
        const float *at = x + a->segment[s];
        for (size_t j = 0; j < a->segment_k; j++, i++) {
            float one[MAX_ROWS];
            UNROLL for (size_t r = 0; r < rows; r++) one[r] = at[r * x_stride + j];
            UNROLL for (size_t v = 0; v < vectors; v++) {
                const unsigned char *from = packed + v / PANEL_VECTORS * panel;
                const float32x4_t w = weights_at(form, from, i, v % PANEL_VECTORS);
                UNROLL for (size_t r = 0; r < rows; r++) sum[r][v] = vfmaq_n_f32(sum[r][v], w, one[r]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) vst1q_f32(y + r * y_stride + v * LANES, sum[r][v]);
    }
}

typedef void tile_function(const bnn_fgemm_rows *, const float *, const unsigned char *, float *, size_t);

#define TILE(name, rows, panels, form)                                                                                 \
    static void name(const bnn_fgemm_rows *a, const float *x, const unsigned char *w, float *y, size_t ys) {           \
        tile(rows, panels, form, a, x, w, y, ys);                                                                      \
    }
#define TILES(form, name)                                                                                              \
    TILE(name##_1x4, 1, 4, form)                                                                                       \
    TILE(name##_2x2, 2, 2, form)                                                                                       \
    TILE(name##_1x1, 1, 1, form)                                                                                       \
    TILE(name##_2x1, 2, 1, form)                                                                                       \
    TILE(name##_3x1, 3, 1, form)                                                                                       \
    TILE(name##_4x1, 4, 1, form)                                                                                       \
    TILE(name##_5x1, 5, 1, form)                                                                                       \
    TILE(name##_6x1, 6, 1, form)
TILES(FLOATS, floats)
TILES(SIGNS, signs)

typedef struct tile_set {
    tile_function *one_panel[MAX_ROWS + 1], *row_4, *rows_2;
} tile_set;

#define TILE_SET(name)                                                                                                 \
    {{NULL, name##_1x1, name##_2x1, name##_3x1, name##_4x1, name##_5x1, name##_6x1}, name##_1x4, name##_2x2}
static const tile_set tile_sets[] = {[FLOATS] = TILE_SET(floats), [SIGNS] = TILE_SET(signs)};

static void run(form form, const bnn_fgemm_rows *a, const unsigned char *packed, size_t n, float *y, size_t y_stride) {
    const size_t panel = panel_bytes(form, a->segments * a->segment_k), m = a->m;
    const tile_set *tiles = &tile_sets[form];
    for (size_t first = 0, panels; first < n; first += panels * PANEL, packed += panels * panel) {
        const size_t outputs = n - first;
        panels = m == 1 && outputs >= 4 * PANEL ? 4 : m == 2 && outputs >= 2 * PANEL ? 2 : 1;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = m - row < MAX_ROWS ? m - row : MAX_ROWS;
            tile_function *f = panels == 4 ? tiles->row_4 : panels == 2 ? tiles->rows_2 : tiles->one_panel[rows];
            const float *x = a->x + row * a->x_stride;
            float *at = y + row * y_stride + first;
            if (outputs >= panels * PANEL) {
                f(a, x, packed, at, y_stride);
            } else {
                float whole[MAX_ROWS * PANEL];
                f(a, x, packed, whole, PANEL);
                for (size_t r = 0; r < rows; r++) memcpy(at + r * y_stride, whole + r * PANEL, outputs * sizeof(float));
            }
        }
    }
}

static void floats_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    run(FLOATS, a, packed, n, y, y_stride);
}

static void signs_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    run(SIGNS, a, packed, n, y, y_stride);
}

const bnn_fgemm_kernel bnn_fgemm_neon = {.isa = BNN_ISA_neon,
                                         .floats = {floats_bytes, floats_pack, floats_run},
                                         .signs = {signs_bytes, signs_pack, signs_run}};
