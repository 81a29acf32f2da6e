/* The direct road of exact integer sums: what binary_sum.c prepares and direct.c runs.
 *
 * The padded image is handed to a bgemm kernel as cells, so that nothing is gathered, and for bits the outputs are
 * formed in the kernel's own pass. It works in bands of output rows whose cells stay in cache. Each group of channels
 * has its own image of bits, whose pixels begin with its first channel, its own cells, weights and tables; a layer
 * without groups has one. A dense layer on one sample goes through bgemv instead, which reads the file's packed weights
 * once, and so do a few where choices.h says.
 */
#ifndef BNN_DIRECT_H
#define BNN_DIRECT_H

#include "binary_sum.h"
#include "padded.h"

typedef struct bnn_direct {
    bnn_sum sum;
    bnn_tables tables;
    const bnn_bgemv_kernel *gemv;    /* for a dense layer of bits, */
    uint32_t few_samples;            /* in batches of up to so many */
    const bnn_settle_kernel *finish; /* of counts */
    bnn_gathered *gathered;          /* NULL on the direct road, and then what follows is used */
    const bnn_bgemm_kernel *gemm;
    const bnn_pack_kernel *pack;
    bnn_bgemm_shape shape; /* of a group */
    uint32_t group_padded; /* a group's outputs, rounded up to whole blocks */
    unsigned char *packed; /* [groups], each packed_bytes apart */
    uint64_t packed_bytes;
    int16_t *level;      /* [groups][classes][group_padded] */
    uint64_t *flip;      /* [groups][group_padded / 64] */
    float *scale, *bias; /* [groups][group_padded], of the kernel's floats */
    uint16_t *no_class;  /* zeros, for flat images */
    size_t *segment;
    uint32_t segments, segment_taps;
    int flat;                                         /* 1x1 windows: the batch is one row of pixels */
    int down;                                         /* cells pair rows, since columns would leave one over */
    int shared;                                       /* a cell serves several taps, so there is one for every column */
    uint32_t planes;                                  /* 1 for bits, 8 for uint8 */
    uint32_t pitch;                                   /* pixels in a row that windows are read from */
    int copied;                                       /* such rows are made in scratch: padded, planes, or a group's */
    bnn_padded padded;                                /* these */
    int merged;                                       /* bits of groups that do not begin a word are put together */
    uint32_t band;                                    /* output rows (pixels of a flat image) in one go */
    uint32_t piece_rows, piece_cols;                  /* of these, what the followers have before the next */
    size_t words, cell;                               /* of a group's pixel, of a cell in bytes */
    uint64_t group_rows, group_cells;                 /* bytes from a group's rows, or cells, to the next one's */
    uint64_t rows_at, cells_at, kernel_at, counts_at; /* in scratch */
    uint64_t bits_at;                                 /* of one group, to be merged */
} bnn_direct;

static inline uint32_t bnn_direct_row_cells(const bnn_direct *st, uint32_t pitch, uint32_t out_cols) {
    if (!st->gemm->cells_fill || st->shared) return pitch;
    return (out_cols + st->gemm->pixels_per_cell - 1) / st->gemm->pixels_per_cell;
}

void bnn_direct_run(const bnn_step *step, const bnn_job *job);

#endif
