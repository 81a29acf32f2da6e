/* Exact integer sums: the tables that turn counts into outputs, shared by the direct road and the gathered one. */
#ifndef BNN_BINARY_SUM_H
#define BNN_BINARY_SUM_H

#include "sum.h"

/* The border classes of one axis: outputs whose windows have the same taps on the padding. As an output moves along,
 * the first tap inside and the last one never rise, so equal ones are neighbours. */
typedef struct bnn_classes {
    uint32_t count;
    uint16_t *of; /* [outputs along the axis] */
} bnn_classes;

/* acc[n] = base[class][n] - factor * count[n], where count sums XOR popcounts: over one plane for bits (factor 2, or 1
 * where they count as 0 and 1), over eight planes, each shifted by its bit, for uint8 (factor 1; FINN,
 * arXiv:1612.07119, treats 8-bit inputs so). */
typedef struct bnn_tables {
    uint32_t padded; /* outputs, rounded up to whole blocks */
    bnn_classes rows, cols;
    int32_t *base; /* [classes][padded] */
    int32_t factor;
    int32_t *threshold;  /* [padded]: bit = (acc >= threshold) XOR flip */
    uint64_t *flip;      /* [padded / 64] */
    float *scale, *bias; /* [padded] */
} bnn_tables;

/* One stretch of memory handed out piece by piece; with memory NULL it only measures. */
typedef struct bnn_carver {
    unsigned char *memory;
    uint64_t used;
} bnn_carver;

void *bnn_carve(bnn_carver *carver, uint64_t bytes);

/* Bytes that the tables take at the least; to lay them takes time in proportion. */
uint64_t bnn_tables_least(const bnn_sum *sum);
void bnn_tables_lay(bnn_tables *tables, const bnn_sum *sum, bnn_carver *carver);
/* -1 where there was no memory to work in. */
int bnn_tables_fill(bnn_tables *tables, const bnn_sum *sum);

/* The largest count at which output n's acc is at its threshold, which may be below 0 or above all counts. */
int64_t bnn_tables_most(const bnn_tables *tables, const bnn_sum *sum, uint32_t class_, size_t n);

/* Outputs first .. first+n-1 of one pixel from their counts; bits are set in words that hold zeros. `data` is the
 * pixel. */
void bnn_tables_finish(const bnn_tables *tables, const bnn_sum *sum, const int32_t *count, uint32_t class_,
                       uint32_t first, uint32_t n, void *data);

/* The gathered road: any grouping and any depth, slowly; one row of tight bits for each pixel and group. NULL: no
 * memory to pack the weights. */
typedef struct bnn_gathered bnn_gathered;
uint64_t bnn_gathered_bytes(const bnn_sum *sum, const bnn_bgemm_kernel *gemm);
bnn_gathered *bnn_gathered_new(const bnn_sum *sum, const bnn_bgemm_kernel *gemm, const bnn_pack_kernel *pack,
                               void *memory);
uint64_t bnn_gathered_scratch(const bnn_gathered *gathered);
void bnn_gathered_run(const bnn_gathered *gathered, const bnn_sum *sum, const bnn_tables *tables, const bnn_job *job);

#endif
