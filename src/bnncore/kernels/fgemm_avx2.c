/* float32 rows times float32 weights, AVX2 with FMA.
 *
 * Panels of 16 outputs: fgemm_panels.h. A tile of 6 rows x 16 outputs keeps its 12 sums in registers: each step of k
 * loads two weight vectors, broadcasts six inputs and issues 12 FMAs, so 8 loads and 12 FMAs on ports that do two of
 * each a cycle: bound by the FMAs, 16 products a cycle. Signs are looked up, eight at a time: two loads more. Fewer
 * rows take more panels side by side, to keep enough chains in flight (an FMA's result takes 4 or 5 cycles). Every
 * output is one chain of FMAs in the order of k, whatever the tile. Measured on a Zen 5 core: 15.1 to 16.0 products a
 * cycle from 16 rows up. Where a panel has 8 outputs or less, as in convolutions of small groups, 12 or 8 rows x 1
 * vector take its place: 13 loads for 12 FMAs, 14.8 products a cycle at most, instead of half of 16.
 */
#include "fgemm_panels.h"
#include "unroll.h"

#include <immintrin.h>

enum { LANES = 8, MAX_VECTORS = 8, MAX_ROWS = 6, MOST_ROWS = 12 };

/* The first `lanes` (1 to 8) lanes. */
static inline __m256i lane_mask(size_t lanes) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), lane);
}

/* The weights of 8 outputs, by the byte that says which of them are -1. */
#define ONE(byte, lane) ((byte) >> (lane) & 1 ? -1.0f : 1.0f)
#define ROW(byte)                                                                                                      \
    {ONE(byte, 0), ONE(byte, 1), ONE(byte, 2), ONE(byte, 3), ONE(byte, 4), ONE(byte, 5), ONE(byte, 6), ONE(byte, 7)}
#define ROWS4(byte)  ROW(byte), ROW((byte) + 1), ROW((byte) + 2), ROW((byte) + 3)
#define ROWS16(byte) ROWS4(byte), ROWS4((byte) + 4), ROWS4((byte) + 8), ROWS4((byte) + 12)
#define ROWS64(byte) ROWS16(byte), ROWS16((byte) + 16), ROWS16((byte) + 32), ROWS16((byte) + 48)
static const _Alignas(BNN_ALIGN) float signs_of[256][LANES] = {ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192)};

/* Outputs 0 .. 7 or 8 .. 15 of a panel at step i. */
UNROLLED __m256 weights_at(const form form, const unsigned char *panel, size_t i, const size_t half) {
    if (form == FLOATS) return _mm256_loadu_ps(floats_at(panel, i) + half * LANES);
    return _mm256_load_ps(signs_of[signs_at(panel, i)[half]]);
}

/* `rows` rows times `vectors` vectors of neighbouring panels, of which `outputs` outputs exist; rows, vectors and form
 * are constants. */
UNROLLED void tile(const size_t rows, const size_t vectors, const form form, const bnn_fgemm_rows *a, const float *x,
                   const unsigned char *packed, size_t outputs, float *y, size_t y_stride) {
    const size_t panel = panel_bytes(form, a->segments * a->segment_k), x_stride = a->x_stride;
    __m256 sum[MOST_ROWS][MAX_VECTORS];
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) sum[r][v] =
            _mm256_loadu_ps((const float *)(const void *)(packed + v / 2 * panel) + v % 2 * LANES);
    }
    for (size_t s = 0, i = 0; s < a->segments; s++) {
        const float *at = x + a->segment[s];
        for (size_t j = 0; j < a->segment_k; j++, i++) {
            __m256 w[MAX_VECTORS];
            UNROLL for (size_t v = 0; v < vectors; v++) w[v] = weights_at(form, packed + v / 2 * panel, i, v % 2);
            /* the next panel, which few rows would wait for where weights come from beyond L2 */
            if (form == FLOATS && vectors == 2) _mm_prefetch((const char *)floats_at(packed + panel, i), _MM_HINT_T0);
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

typedef void tile_function(const bnn_fgemm_rows *, const float *, const unsigned char *, size_t, float *, size_t);

#define TILE(name, rows, vectors, form)                                                                                \
    static void name(const bnn_fgemm_rows *a, const float *x, const unsigned char *w, size_t outputs, float *y,        \
                     size_t ys) {                                                                                      \
        tile(rows, vectors, form, a, x, w, outputs, y, ys);                                                            \
    }
#define TILES(form, name)                                                                                              \
    TILE(name##_1x4, 1, 8, form)                                                                                       \
    TILE(name##_2x2, 2, 4, form)                                                                                       \
    TILE(name##_1x1, 1, 2, form)                                                                                       \
    TILE(name##_2x1, 2, 2, form)                                                                                       \
    TILE(name##_3x1, 3, 2, form)                                                                                       \
    TILE(name##_4x1, 4, 2, form)                                                                                       \
    TILE(name##_5x1, 5, 2, form)                                                                                       \
    TILE(name##_6x1, 6, 2, form)                                                                                       \
    TILE(name##_8_half, 8, 1, form)                                                                                    \
    TILE(name##_12_half, 12, 1, form)
TILES(FLOATS, floats)
TILES(SIGNS, signs)

typedef struct tile_set {
    tile_function *one_panel[MAX_ROWS + 1], *row_4, *rows_2, *half_8, *half_12;
} tile_set;

#define TILE_SET(name)                                                                                                 \
    {{NULL, name##_1x1, name##_2x1, name##_3x1, name##_4x1, name##_5x1, name##_6x1},                                   \
     name##_1x4,                                                                                                       \
     name##_2x2,                                                                                                       \
     name##_8_half,                                                                                                    \
     name##_12_half}
static const tile_set tile_sets[] = {[FLOATS] = TILE_SET(floats), [SIGNS] = TILE_SET(signs)};

static void run(form form, const bnn_fgemm_rows *a, const unsigned char *packed, size_t n, float *y, size_t y_stride) {
    const size_t panel = panel_bytes(form, a->segments * a->segment_k), m = a->m;
    const tile_set *tiles = &tile_sets[form];
    for (size_t first = 0, panels; first < n; first += panels * PANEL, packed += panels * panel) {
        size_t outputs = n - first, left = (outputs + PANEL - 1) / PANEL;
        panels = m == 1 && left >= 4 ? 4 : m == 2 && left >= 2 ? 2 : 1;
        for (size_t row = 0, rows; row < m; row += rows) {
            const size_t count_of_tiles = (m - row + MAX_ROWS - 1) / MAX_ROWS;
            rows = (m - row + count_of_tiles - 1) / count_of_tiles; /* 7 rows as 4 and 3, not as 6 and 1 */
            tile_function *f = panels == 4 ? tiles->row_4 : panels == 2 ? tiles->rows_2 : tiles->one_panel[rows];
            if (outputs <= LANES && m - row >= 8) {
                rows = m - row >= 12 && m - row != 16 ? 12 : 8;
                f = rows == 12 ? tiles->half_12 : tiles->half_8;
            }
            size_t count = outputs < panels * PANEL ? outputs : panels * PANEL;
            f(a, a->x + row * a->x_stride, packed, count, y + row * y_stride + first, y_stride);
        }
    }
}

static void floats_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    run(FLOATS, a, packed, n, y, y_stride);
}

static void signs_run(const bnn_fgemm_rows *a, const void *packed, size_t n, float *y, size_t y_stride) {
    run(SIGNS, a, packed, n, y, y_stride);
}

const bnn_fgemm_kernel bnn_fgemm_avx2 = {.isa = BNN_ISA_avx2,
                                         .floats = {floats_bytes, floats_pack, floats_run},
                                         .signs = {signs_bytes, signs_pack, signs_run}};
