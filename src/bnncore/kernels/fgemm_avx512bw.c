/* float32 rows times float32 weights, AVX-512.
 *
 * Panels of 16 outputs, one vector: fgemm_panels.h. A tile of 12 rows x 2 panels keeps its 24 sums in registers: each
 * step of k loads two weight vectors (signs: two masks, for two blends), broadcasts 12 inputs and issues 24 FMAs, so 14
 * loads and 24 FMAs on ports that do two of each a cycle: bound by the FMAs, 32 products a cycle, of which 29 to 31
 * were measured on Zen 5 (Ice Lake and later servers have the two FMA ports too; llvm-mca models one, so it says 16).
 * Fewer rows take more panels side by side, to keep enough chains in flight (an FMA's result takes 4 cycles). Every
 * output is one chain of FMAs in the order of k, whatever the tile.
 */
#include "fgemm_panels.h"

#include <immintrin.h>

enum { MAX_ROWS = 12, MAX_PANELS = 8 };

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 12") /* a loop that gcc leaves keeps the sums in memory */
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

/* The outputs of a panel at step i. */
UNROLLED __m512 weights_at(const form form, const unsigned char *panel, size_t i) {
    if (form == FLOATS) return _mm512_loadu_ps(floats_at(panel, i));
    uint16_t minus;
    memcpy(&minus, signs_at(panel, i), sizeof minus);
    return _mm512_mask_blend_ps((__mmask16)minus, _mm512_set1_ps(1.0f), _mm512_set1_ps(-1.0f));
}

/* `rows` rows times `panels` neighbouring panels, of which `outputs` outputs exist; rows, panels and form are
 * constants. */
UNROLLED void tile(const size_t rows, const size_t panels, const form form, const bnn_fgemm_rows *a, const float *x,
                   const unsigned char *packed, size_t outputs, float *y, size_t y_stride) {
    const size_t panel = panel_bytes(form, a->segments * a->segment_k), x_stride = a->x_stride;
    __m512 sum[MAX_ROWS][MAX_PANELS];
    UNROLL for (size_t r = 0; r < rows; r++) UNROLL for (size_t v = 0; v < panels; v++) sum[r][v] =
        _mm512_loadu_ps(packed + v * panel);
    for (size_t s = 0, i = 0; s < a->segments; s++) {
        const float *at = x + a->segment[s];
        for (size_t j = 0; j < a->segment_k; j++, i++) {
            __m512 w[MAX_PANELS];
            UNROLL for (size_t v = 0; v < panels; v++) w[v] = weights_at(form, packed + v * panel, i);
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

typedef void tile_function(const bnn_fgemm_rows *, const float *, const unsigned char *, size_t, float *, size_t);

#define TILE(form, name, rows, panels)                                                                                 \
    static void name##_##rows##x##panels(const bnn_fgemm_rows *a, const float *x, const unsigned char *w,              \
                                         size_t outputs, float *y, size_t ys) {                                        \
        tile(rows, panels, form, a, x, w, outputs, y, ys);                                                             \
    }
#define TILES(form, name, rows) TILE(form, name, rows, 1) TILE(form, name, rows, 2)
#define ALL_TILES(form, name)                                                                                          \
    TILES(form, name, 1)                                                                                               \
    TILES(form, name, 2)                                                                                               \
    TILES(form, name, 3)                                                                                               \
    TILES(form, name, 4)                                                                                               \
    TILES(form, name, 5)                                                                                               \
    TILES(form, name, 6)                                                                                               \
    TILES(form, name, 7)                                                                                               \
    TILES(form, name, 8)                                                                                               \
    TILES(form, name, 9)                                                                                               \
    TILES(form, name, 10)                                                                                              \
    TILES(form, name, 11)                                                                                              \
    TILES(form, name, 12)                                                                                              \
    TILE(form, name, 1, 4)                                                                                             \
    TILE(form, name, 1, 8)                                                                                             \
    TILE(form, name, 2, 4)                                                                                             \
    TILE(form, name, 3, 4)
ALL_TILES(FLOATS, floats)
ALL_TILES(SIGNS, signs)

typedef struct tile_set {
    tile_function *rows[MAX_ROWS][2], *wide[3], *widest; /* by rows less 1; wide: 4 panels, widest: one row by 8 */
} tile_set;

#define ROW(name, rows) {name##_##rows##x1, name##_##rows##x2}
#define TILE_SET(name)                                                                                                 \
    {{ROW(name, 1), ROW(name, 2), ROW(name, 3), ROW(name, 4), ROW(name, 5), ROW(name, 6), ROW(name, 7), ROW(name, 8),  \
      ROW(name, 9), ROW(name, 10), ROW(name, 11), ROW(name, 12)},                                                      \
     {name##_1x4, name##_2x4, name##_3x4},                                                                             \
     name##_1x8}
static const tile_set tile_sets[] = {[FLOATS] = TILE_SET(floats), [SIGNS] = TILE_SET(signs)};

/* Panels side by side: enough for eight chains of FMAs or more, where there are so many. */
static size_t tile_panels(size_t rows, size_t left) {
    if (rows == 1 && left >= 8) return 8;
    return rows <= 3 && left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static tile_function *tile_of(const tile_set *set, size_t rows, size_t panels) {
    return panels == 8 ? set->widest : panels == 4 ? set->wide[rows - 1] : set->rows[rows - 1][panels - 1];
}

static void run(form form, const bnn_fgemm_rows *a, const unsigned char *packed, size_t n, float *y, size_t y_stride) {
    const size_t panel = panel_bytes(form, a->segments * a->segment_k), m = a->m;
    if (!m) return;
    const size_t parts = (m + MAX_ROWS - 1) / MAX_ROWS, most = (m + parts - 1) / parts; /* tiles of like height */
    for (size_t first = 0, panels; first < n; first += panels * PANEL, packed += panels * panel) {
        panels = tile_panels(most, (n - first + PANEL - 1) / PANEL);
        const size_t outputs = n - first < panels * PANEL ? n - first : panels * PANEL;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = m - row < most ? m - row : most;
            tile_of(&tile_sets[form], rows, panels)(a, a->x + row * a->x_stride, packed, outputs,
                                                    y + row * y_stride + first, y_stride);
        }
    }
}

static void floats_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    run(FLOATS, a, packed, n, y, y_stride);
}

static void signs_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    run(SIGNS, a, packed, n, y, y_stride);
}

const bnn_fgemm_kernel bnn_fgemm_avx512bw = {.isa = BNN_ISA_avx512bw,
                                             .floats = {floats_bytes, floats_pack, floats_run},
                                             .signs = {signs_bytes, signs_pack, signs_run}};
