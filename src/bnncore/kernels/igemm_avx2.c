/* uint8 pixels times +-1 weights, AVX2: igemm_body.h with 16 outputs in a vector.
 *
 * A step is 256 products: 8 multiplications on two pipes (Zen 3: 4 cycles, 64 products a cycle); with the additions and
 * the broadcasts, which share their ports, 6.7 on Skylake. llvm-mca 19 predicts from gcc 12 (clang 19): znver3 6.0
 * (6.3) cycles, 1.1 (1.2) times its bound, skylake and icelake-server 8.1 (8.3), alderlake 7.3 (7.7).
 */
#include "bytes_avx2.h"

#include "igemm_body.h"

const bnn_igemm_kernel bnn_igemm_avx2 = {
    .isa = BNN_ISA_avx2, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
