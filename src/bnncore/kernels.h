/* Kernel families: what each must compute, exactly, whatever the instruction set.
 *
 * A variant is one const descriptor, bnn_<family>_<isa>, that carries its functions together with its tile and its
 * packing. Plans bind variants, so two plans of one process may use two instruction sets. Kernels allocate nothing,
 * call nothing but memcpy and memset, and trust their caller for sizes; every pointer to words, cells, packed weights
 * or scratch is BNN_ALIGN-aligned at its buffer's start.
 */
#ifndef BNN_KERNELS_H
#define BNN_KERNELS_H

#include "layout.h"

typedef enum bnn_isa {
#define BNN_ISA(name, arch, flags, msvc) BNN_ISA_##name,
#include "kernels/isa.def"
#undef BNN_ISA
    BNN_ISA_COUNT
} bnn_isa;

/* ---- bgemm: many binary dot products, the rows of which are the output pixels of a convolution ---------------------
 *
 * pop[pixel][n] = sum over taps of popcount(activation of that tap XOR weight n of that tap)
 *
 * The caller lays the (padded) input image out as `cells`, in the variant's own form. A cell covers `pixels_per_cell`
 * output pixels at one tap, neighbours in a row or, where `down` is set, in a column: cell i of a row is made from the
 * input pixels i*step + j*mate, j = 0 .. pixels_per_cell-1, where mate is the distance of two such neighbours. The
 * cells of one output pixel are `segments` runs of `segment_taps` neighbouring cells (one run a kernel row; one run a
 * tap when the kernel is dilated), in the order of the weights' taps, so neither a gathered copy of the activations nor
 * an index computation is left inside. A matrix product is a 1x1 convolution of an image that is one row of M pixels.
 */
typedef struct bnn_bgemm_shape {
    uint32_t channels; /* bits a tap, from 1 */
    uint32_t taps;     /* taps a dot product, from 1; channels * taps <= BNN_BGEMM_MAX_K */
    uint32_t outputs;  /* output channels, from 1 */
} bnn_bgemm_shape;

/* So that dot products, and twice their range, fit in int16. A longer sum is cut into runs that add into
 * BNN_OUT_COUNTS. */
enum { BNN_BGEMM_MAX_K = 16383 };

/* What is done to a number before it is written: x is what the link before it made, n the channel. An image lies as the
 * output does, and may be where it goes. */
typedef enum bnn_link_kind {
    BNN_LINK_AFFINE,   /* x * a[n] + b[n] */
    BNN_LINK_PRELU,    /* z = x - b[n]; (z > 0 ? z : z * a[n]) + c[n]; b and c may be NULL */
    BNN_LINK_CLIP,     /* a[n] where x < a[n], else b[n] where x > b[n], else x */
    BNN_LINK_ADD,      /* x and a[n], or the image's number at the same place, here and below */
    BNN_LINK_SUBTRACT, /* x less the other */
    BNN_LINK_MULTIPLY
} bnn_link_kind;

typedef struct bnn_link {
    bnn_link_kind kind;
    int image; /* a is one */
    const float *a, *b, *c;
    size_t sample_step; /* from the table a of a sample to the next sample's; 0 where all have one */
} bnn_link;

typedef enum bnn_out_kind {
    BNN_OUT_BITS,   /* bit n = (pop[n] <= level[n]) XOR flip[n] */
    BNN_OUT_FLOAT,  /* (float)(level[n] - 2 * pop[n]) * scale[n] + bias[n], then the links; each step rounded */
    BNN_OUT_COUNTS, /* counts[n] += pop[n] << shift */
} bnn_out_kind;

/* What becomes of pop[pixel][n], in the same pass. Tables over n hold bnn_round_up(outputs, BNN_BLOCK) entries.
 * `level` has one such row for each border class, that is for each set of taps that fall on the padding; pixel (y, x)
 * uses row row_class[y] + col_class[x]. Past `outputs`, level is -1 where the kind is BITS, and flip is 0. */
typedef struct bnn_out {
    bnn_out_kind kind;
    const int16_t *level;      /* BITS, FLOAT */
    const uint16_t *row_class; /* [rows] */
    const uint16_t *col_class; /* [cols] */
    const uint64_t *flip;      /* BITS */
    const float *scale, *bias; /* FLOAT */
    const bnn_link *links;     /* FLOAT */
    uint32_t link_count;
    uint32_t shift;            /* COUNTS */
    void *data;                /* uint64_t, float or int32_t; pixel (y, x), channel 0 at y * row_stride + x * stride */
    size_t row_stride, stride; /* in elements of data; COUNTS: stride holds the padded outputs; FLOAT: just outputs */
} bnn_out;

typedef struct bnn_bgemm_run {
    const bnn_bgemm_shape *shape;
    const void *weights;   /* from weights_pack */
    const void *cells;     /* the cell of output pixel (0, 0), tap 0 */
    size_t row_bytes;      /* from the cells of an output row, or of pixels_per_cell rows, to those of the next */
    size_t tile_bytes;     /* from the cells of a tile's output pixels to those of the next tile in the row */
    uint32_t rows, cols;   /* output pixels; the last tile of a row may be partly unused, and writes only its part */
    int down;              /* a tile is pixels_per_cell rows of one column; rows is a multiple of that */
    const size_t *segment; /* [segments], bytes from a pixel's first cell to the first cell of each run */
    uint32_t segments, segment_taps;
    uint32_t n_begin, n_end; /* output channels to compute: n_begin a multiple of BNN_BLOCK, n_end too or == outputs */
    void *scratch;           /* scratch_bytes(shape, rows, cols) bytes */
    bnn_out out;
} bnn_bgemm_run;

typedef struct bnn_bgemm_kernel {
    bnn_isa isa;
    uint32_t pixels_per_cell;
    size_t (*weights_bytes)(const bnn_bgemm_shape *shape);
    /* rows: [outputs][taps][bnn_words(channels)], pad bits 0 */
    void (*weights_pack)(const bnn_bgemm_shape *shape, const uint64_t *rows, void *packed);
    size_t (*cell_bytes)(const bnn_bgemm_shape *shape);
    /* pixels: `limit` packed pixels of bnn_words(channels) words; a mate at or past limit may be taken as any pixel.
     * NULL where a cell is the packed pixel itself, so that an image without padding is used where it lies. */
    void (*cells_fill)(const bnn_bgemm_shape *shape, const uint64_t *pixels, size_t limit, size_t mate, size_t step,
                       void *cells, size_t count);
    size_t (*scratch_bytes)(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols); /* NULL: needs none */
    void (*run)(const bnn_bgemm_run *run);
} bnn_bgemm_kernel;

/* ---- bgemv: one binary row against all weights, which stay packed as in the file and are read once -----------------
 *
 * pop[n] = popcount(a XOR rows[n]) over `words` words
 */
typedef struct bnn_bgemv_kernel {
    bnn_isa isa;
    void (*run)(const uint64_t *a, const uint64_t *rows, size_t words, size_t outputs, uint32_t *pop);
} bnn_bgemv_kernel;

/* ---- pack: numbers to bits -----------------------------------------------------------------------------------------
 *
 * bit c of pixel p = (low[c] <= x[p][c] && x[p][c] <= high[c]), so that a NaN gives 0; x is [pixels][channels], and
 * each pixel fills bnn_words(channels) whole words. planes: bit b of the 8-bit x goes to plane b.
 */
typedef struct bnn_pack_kernel {
    bnn_isa isa;
    void (*f32)(const float *x, size_t pixels, size_t channels, const float *low, const float *high, uint64_t *bits);
    void (*u8)(const uint8_t *x, size_t pixels, size_t channels, const uint8_t *low, const uint8_t *high,
               uint64_t *bits);
    void (*planes)(const uint8_t *x, size_t pixels, size_t channels, uint64_t *bits, size_t plane_words);
} bnn_pack_kernel;

/* ---- pool: the maximum of +-1 values is the OR of their bits --------------------------------------------------------
 *
 * dst[w] = (src[0][w] | ... | src[count-1][w]) ^ flip[w], count >= 1; flip may be NULL, for zeros
 */
typedef struct bnn_pool_kernel {
    bnn_isa isa;
    void (*or_rows)(const uint64_t *const *src, size_t count, size_t words, const uint64_t *flip, uint64_t *dst);
} bnn_pool_kernel;

/* ---- fgemm: float32 rows times float32 weights ---------------------------------------------------------------------
 *
 * y[m][n] = bias[n] + the sum over k, in the order of k, of row m's k-th number * w[n][k], from the bias on; whether
 * products are fused is the variant's choice, but the same for every row count, so a result does not depend on how rows
 * were grouped. A row is `segments` runs of `segment_k` neighbouring numbers, so that a window over an image is read
 * where it lies, a kernel row a segment; rows may overlap.
 */
typedef struct bnn_fgemm_rows {
    const float *x;
    size_t x_stride, m;    /* from a row to the next; rows */
    const size_t *segment; /* [segments], from a row's place to each run, in floats */
    size_t segments, segment_k;
} bnn_fgemm_rows;

/* How weights lie: as floats, or, where all of them are +1 or -1, a bit each, which gives the same sums. */
typedef struct bnn_fgemm_form {
    /* n < all outputs, a multiple of BNN_BLOCK: where the weights of output n begin. May be more than a size_t holds,
     * since few outputs fill whole panels. */
    uint64_t (*bytes)(size_t k, size_t n);
    /* rows: [n][k]; bias: [n], or NULL for zeros */
    void (*pack)(const float *rows, const float *bias, size_t k, size_t n, void *packed);
    void (*run)(const bnn_fgemm_rows *rows, const void *packed, size_t n, float *y, size_t y_stride);
} bnn_fgemm_form;

typedef struct bnn_fgemm_kernel {
    bnn_isa isa;
    bnn_fgemm_form floats, signs;
} bnn_fgemm_kernel;

/* ---- winograd: minimal filtering along a row ------------------------------------------------------------------------
 *
 * A tile of 4 outputs of 3 taps takes 6 products instead of 12, and one of 5 outputs of 4 taps 8 instead of 20, by the
 * polynomials' values at 0, 1, -1, 2, -2, infinity and, for 4 taps, 1/2 and -1/2 (Winograd 1980, Arithmetic Complexity
 * of Computations; arXiv:1509.09308 for convolutions). ops/winograd.c has the taps' values; here are the inputs' values
 * and the way back. Each step is rounded, so that all variants give the same bits.
 *
 * input: tile t sees `points` groups of n numbers from x + t * tile * n on; v[point * v_point + t * v_tile + c], c < n.
 * output: pixel tile * t + q, q < tile, from m[point * m_point + t * n + c] to y[pixel * y_stride + c], c < n.
 */
enum { BNN_WINOGRAD_MOST_TAPS = 4, BNN_WINOGRAD_MOST_TILE = 5, BNN_WINOGRAD_MOST_POINTS = 8 };

static inline uint32_t bnn_winograd_tile(uint32_t taps) { return taps + 1; }
static inline uint32_t bnn_winograd_points(uint32_t taps) { return 2 * taps; }

typedef struct bnn_winograd_kernel {
    bnn_isa isa;
    void (*input)(uint32_t taps, const float *x, size_t n, size_t tiles, float *v, size_t v_tile, size_t v_point);
    void (*output)(uint32_t taps, const float *m, size_t m_point, size_t n, size_t pixels, float *y, size_t y_stride);
} bnn_winograd_kernel;

/* ---- igemm: uint8 pixels times +-1 weights, exact in int32 ---------------------------------------------------------
 *
 * y[p][n] = sum over s, i of x[p * pixel_bytes + segment[s] + i] * w[n][s * segment_bytes + i], for first layers, whose
 * sums are too short for bit planes. A kernel row is one segment of the padded image, so nothing is gathered; up to 3
 * bytes past a segment may be read. y rows are y_stride apart and have room for bnn_round_up(outputs, BNN_BLOCK) sums,
 * those past outputs being the variant's own affair. segments * segment_bytes * 255 < 2^31.
 */
typedef struct bnn_igemm_shape {
    uint32_t segments, segment_bytes, outputs;
} bnn_igemm_shape;

typedef struct bnn_igemm_kernel {
    bnn_isa isa;
    size_t (*weights_bytes)(const bnn_igemm_shape *shape);
    void (*weights_pack)(const bnn_igemm_shape *shape, const int8_t *rows,
                         void *packed); /* rows: [outputs][...], +1 and -1 */
    void (*run)(const bnn_igemm_shape *shape, const uint8_t *x, size_t pixel_bytes, size_t pixels,
                const size_t *segment, const void *packed, int32_t *y, size_t y_stride);
} bnn_igemm_kernel;

/* ---- settle: int32 sums to outputs ----------------------------------------------------------------------------------
 *
 * bits: bit n of pixel p = (acc[p][n] >= least[n]) ^ flip[n], whole words, pads 0. floats: (float)acc[p][n] * scale[n]
 * + bias[n], rounded after each step. acc rows are bnn_round_up(n, BNN_BLOCK) apart, as are the tables long; outputs
 * are dense.
 */
typedef struct bnn_settle_kernel {
    bnn_isa isa;
    void (*bits)(const int32_t *acc, size_t pixels, size_t n, const int32_t *least, const uint64_t *flip,
                 uint64_t *bits);
    void (*floats)(const int32_t *acc, size_t pixels, size_t n, const float *scale, const float *bias, float *y);
} bnn_settle_kernel;

/* ---- vector: numbers to float32, each by itself --------------------------------------------------------------------
 *
 * Tables (scale, slope, ...) hold one number for each of the n of a row; y may be x, or with. Each step is rounded, so
 * that all variants give the same bits.
 */
typedef struct bnn_rows {
    size_t rows, n, stride; /* numbers a row, and from a row of x or y to the next */
    /* For affine(_bytes), prelu and clip: tables hold their numbers this many times over, so that as many rows, which
     * then lie without gaps, are one long row; 1 where they do not. */
    size_t repeat;
} bnn_rows;

typedef enum bnn_merge { BNN_ADD, BNN_SUBTRACT, BNN_MULTIPLY, BNN_MERGES } bnn_merge;

typedef enum bnn_unary {
    BNN_SIGMOID,
    BNN_TANH,
    BNN_GELU,
    BNN_GELU_TANH,
    BNN_SILU,
    BNN_HARD_SWISH,
    BNN_ABS,
    BNN_UNARIES
} bnn_unary;

typedef struct bnn_vector_kernel {
    bnn_isa isa;
    void (*affine)(const bnn_rows *r, const float *x, const float *scale, const float *bias, float *y);
    void (*affine_bytes)(const bnn_rows *r, const uint8_t *x, const float *scale, const float *bias, float *y);
    /* of +1 and -1, x_stride words from a row to the next */
    void (*affine_bits)(const bnn_rows *r, const uint64_t *x, size_t x_stride, const float *scale, const float *bias,
                        float *y);
    /* z = x - shift_in; y = (z > 0 ? z : z * slope) + shift_out; either shift may be NULL */
    void (*prelu)(const bnn_rows *r, const float *x, const float *slope, const float *shift_in, const float *shift_out,
                  float *y);
    void (*clip)(const bnn_rows *r, const float *x, const float *low, const float *high, float *y);
    /* with rows that are with_stride apart, 0 for the same row each time; and with one number a row */
    void (*merge[BNN_MERGES])(const bnn_rows *r, const float *x, const float *with, size_t with_stride, float *y);
    void (*merge_pixel[BNN_MERGES])(const bnn_rows *r, const float *x, const float *with, float *y);
    void (*unary[BNN_UNARIES])(const float *x, size_t n, float *y);
    void (*softmax)(const float *x, size_t n, float *y); /* exp(x - max) over its sum */
} bnn_vector_kernel;

/* ---- fdepth: depthwise float32 convolution --------------------------------------------------------------------------
 *
 * y[p][c] = sum over taps t, in their order, of x[t][p * step + c] * weights[t][c], then, where scale is not NULL,
 * times scale[c] plus bias[c], rounded after each step. Whether products of the sum are fused is the variant's choice,
 * but the same for every pixel and channel.
 */
typedef struct bnn_fdepth_run {
    const float *const *x; /* [taps], what each tap sees at pixel 0 */
    size_t taps, channels, pixels, step;
    const float *weights; /* [taps][channels] */
    const float *scale, *bias;
    float *y; /* [pixels][channels] */
} bnn_fdepth_run;

typedef struct bnn_fdepth_kernel {
    bnn_isa isa;
    void (*run)(const bnn_fdepth_run *run);
} bnn_fdepth_kernel;

/* ---- bdepth: depthwise binary convolution ---------------------------------------------------------------------------
 *
 * A row of output pixels is one long row of words, `words` of them a pixel, 64 channels each; word i sees the words
 * x[offset[t] + i] of the taps t:
 *
 * pop[i][c] = the number of taps t at which bit c of x[offset[t] + i] XOR weights[t][i % period] is 1
 *
 * Tables hold their words over and over, until they fill a period, so that vectors cross from a pixel to the next.
 * planes: how many bits the number of taps has.
 *
 * bits: bit c of word i = (pop[i][c] <= level[i][c]) XOR flip[i][c], where level is planes of bits: level[kind[i /
 * period]][b][i % period] is bit b of the levels, 0 <= level <= taps, and flip follows as plane number `planes`.
 * floats: y[pixel][c] = (base[class_[pixel]][c] - factor * pop) * scale[c] + bias[c], rounded after the product and
 * after the sum; the difference is exact. Tables are bnn_round_up(channels, BNN_BLOCK) long, and pixels are dense.
 */
enum { BNN_BDEPTH_MAX_TAPS = 255, BNN_BDEPTH_MAX_PLANES = 8 };

typedef struct bnn_bdepth_run {
    const uint64_t *x;
    const size_t *offset; /* [taps], in words */
    size_t taps, planes;
    size_t words, period; /* period: a multiple of words and of 8 */
    size_t pixels;
    const uint64_t *weights; /* [taps][period] */
    /* bits, where not NULL: [pixels * words] */
    uint64_t *bits;
    const uint64_t *level; /* [kinds][planes + 1][period] */
    const uint16_t *kind;  /* one for each period of the row, begun or whole */
    /* floats, where not NULL: [pixels][channels] */
    float *floats;
    size_t channels;
    const float *base;      /* [classes][padded channels] */
    const uint16_t *class_; /* [pixels] */
    const float *scale, *bias;
    float factor;
} bnn_bdepth_run;

typedef struct bnn_bdepth_kernel {
    bnn_isa isa;
    void (*run)(const bnn_bdepth_run *run);
} bnn_bdepth_kernel;

/* ---- window: float32 over windows of pixels ------------------------------------------------------------------------
 *
 * Over x[p * step + i * row + j * col + c], i < rows, j < cols, i outermost: y[p][c] is the maximum, each number in
 * turn taken where it is above what was found before or a NaN; or the sum, in that order, divided by divisor.
 */
typedef struct bnn_window_run {
    const float *x;
    size_t rows, cols, row, col, pixels, step, n;
    float divisor; /* of mean */
    float *y;      /* [pixels][n] */
} bnn_window_run;

typedef struct bnn_window_kernel {
    bnn_isa isa;
    void (*max)(const bnn_window_run *run);
    void (*mean)(const bnn_window_run *run);
} bnn_window_kernel;

/* ---- norm: layer normalisation -------------------------------------------------------------------------------------
 *
 * For each row of n numbers, y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, every step rounded. A sum is 16
 * partial ones, number i in the one of i % 16, added in halves, so that all variants give the same bits.
 */
typedef struct bnn_norm_kernel {
    bnn_isa isa;
    void (*run)(const float *x, size_t rows, size_t n, float epsilon, const float *gamma, const float *beta, float *y);
} bnn_norm_kernel;

/* ---- dispatch ------------------------------------------------------------------------------------------------------
 */

#define BNN_KERNEL(family, isa) extern const bnn_##family##_kernel bnn_##family##_##isa;
#include "kernels/kernels.def"
#undef BNN_KERNEL

/* Whether this build has the instruction set and this CPU (and its operating system) can run it. */
int bnn_isa_supported(bnn_isa isa);
bnn_isa bnn_isa_best(void);
const char *bnn_isa_name(bnn_isa isa);
/* The instruction set of that name, or -1. */
int bnn_isa_from_name(const char *name);
/* Line i of kernels.def; 0 past the last one. */
int bnn_kernel_listed(uint32_t i, const char **family, bnn_isa *isa);

/* The family's variant for `isa`, or for the strongest set below it on this architecture that has one. */
const bnn_bgemm_kernel *bnn_bgemm_find(bnn_isa isa);
const bnn_bgemv_kernel *bnn_bgemv_find(bnn_isa isa);
const bnn_pack_kernel *bnn_pack_find(bnn_isa isa);
const bnn_pool_kernel *bnn_pool_find(bnn_isa isa);
const bnn_fgemm_kernel *bnn_fgemm_find(bnn_isa isa);
const bnn_winograd_kernel *bnn_winograd_find(bnn_isa isa);
const bnn_igemm_kernel *bnn_igemm_find(bnn_isa isa);
const bnn_settle_kernel *bnn_settle_find(bnn_isa isa);
const bnn_vector_kernel *bnn_vector_find(bnn_isa isa);
const bnn_fdepth_kernel *bnn_fdepth_find(bnn_isa isa);
const bnn_bdepth_kernel *bnn_bdepth_find(bnn_isa isa);
const bnn_window_kernel *bnn_window_find(bnn_isa isa);
const bnn_norm_kernel *bnn_norm_find(bnn_isa isa);

#endif
