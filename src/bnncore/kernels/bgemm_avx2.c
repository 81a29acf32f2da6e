/* Binary matrix product, AVX2: one table look-up counts for two pixels, as table_body.h tells.
 *
 * A tile is one pair and 64 channels (6,144 bit pairs a block): 66 vector operations, 36 vector loads (24 of weights,
 * within vpshufb, and 12 of tables) and 12 of table offsets. Bounds, in cycles a block:
 *
 *     Zen 3, 4          18    two vector loads a cycle (16.5 for four vector pipes)        341 bit pairs a cycle
 *     Skylake, Ice Lake 25    two loads a cycle (24 for vpshufb on Skylake's one port)     246
 *     Alder Lake (P)    22    three vector ports                                           279
 *
 * llvm-mca 19 predicts for the loop from gcc 12 (clang 19): znver3 and znver4 23.4 (24.0), skylake 30.0 (28.1),
 * icelake-server 27.1 (28.4), alderlake 23.1 (23.6); its znver3 counts vbroadcasti128 as a shuffle, which made a load
 * of here. Measured on a Zen 5 core: 20.0 (21.2). Without the addresses of a block ahead the loop takes 23 to 25
 * cycles, whatever the order of its instructions.
 */
#include "bytes_avx2.h"

#include "table_body.h"

static void run(const bnn_bgemm_run *r) {
    for (uint32_t n = r->n_begin; n < r->n_end; n += PANEL) {
        if (panel_width(r->shape, n) == PANEL)
            panel_run(r, n, 1);
        else
            panel_run(r, n, 0);
    }
}

const bnn_bgemm_kernel bnn_bgemm_avx2 = {
    .isa = BNN_ISA_avx2,
    .pixels_per_cell = 2,
    .weights_bytes = weights_bytes,
    .weights_pack = weights_pack,
    .cell_bytes = cell_bytes,
    .cells_fill = cells_fill,
    .scratch_bytes = scratch_bytes,
    .run = run,
};
