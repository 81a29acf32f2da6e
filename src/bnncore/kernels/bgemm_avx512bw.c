/* Binary matrix product, AVX-512 BW: one table look-up counts for two pixels, as table_body.h tells, here for 64
 * channels, 512 bit pairs.
 *
 * A tile is one pair and 128 channels: 63.5 vector operations a block (12,288 bit pairs), 36 vector loads and 12 of
 * table offsets. The last 64 channels of an odd number of panels go with two pairs: one load of weights for two
 * look-ups, and 60 loads a block. 32 channels or fewer that are left over go through the AVX2 variant, whose cells are
 * the same. Bounds, in cycles a block:
 *
 *     Skylake-SP, Cascade Lake  31.8  two vector ports (24 for vpshufb's one, 24 or 30 loads)  387 bit pairs a cycle
 *     Zen 4                     36    one 512-bit load a cycle                                 341
 *     Zen 5                     18    two 512-bit loads a cycle (15.9 for four vector pipes)   683
 *
 * llvm-mca 19 predicts 30.5 (gcc 12 and clang 19) on skylake-avx512 and cascadelake, but leaves port 1 open to
 * 512-bit vectors and has vbroadcasti32x4 take a vector port too. With port 1 kept busy and those 12 taken out: about
 * 33. znver4: 44 (39). Measured on a Zen 5 core, whole layers of a ResNet-18: 352 to 410 bit pairs a cycle, 1.42 to
 * 1.45 times the AVX2 variant's; the AVX-512 variant has 619 to 775. Skylake-SP clocks lower with 512-bit vectors,
 * which takes some of that away; there was none to measure on.
 *
 * Carry-save adders alone, in ternary logic, would be 2.5 operations for 512 bit pairs against 2.84 here, byte sums
 * widened. But to count what they leave takes about 7 operations a bit of the count without vpopcntd, more than that
 * saves where K is below some 5,500; 7 % is the most to be gained above.
 */
#include "bytes_avx512bw.h"

#include "table_body.h"

static size_t scratch_most(const bnn_bgemm_shape *shape, uint32_t rows, uint32_t cols) {
    const size_t here = scratch_bytes(shape, rows, cols), half = bnn_bgemm_avx2.scratch_bytes(shape, rows, cols);
    return here > half ? here : half;
}

/* Half a panel lies as in the AVX2 variant, which takes it. */
static void half_run(const bnn_bgemm_run *r, uint32_t n) {
    bnn_bgemm_run half = *r;
    half.n_begin = n;
    bnn_bgemm_avx2.run(&half);
}

static void run(const bnn_bgemm_run *r) {
    for (uint32_t n = r->n_begin; n < r->n_end; n += PANEL) {
        if (panel_width(r->shape, n) < PANEL) {
            half_run(r, n);
        } else if (n + PANEL < r->n_end && panel_width(r->shape, n + PANEL) == PANEL) {
            panel_run(r, n, 1);
            n += PANEL;
        } else {
            panel_run(r, n, 0);
        }
    }
}

const bnn_bgemm_kernel bnn_bgemm_avx512bw = {
    .isa = BNN_ISA_avx512bw,
    .pixels_per_cell = 2,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = cells_fill,
    .scratch_bytes = scratch_most,
    .run = run,
};
