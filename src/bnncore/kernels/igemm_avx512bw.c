/* uint8 pixels times +-1 weights, AVX-512 BW: igemm_body.h with 32 outputs in a vector.
 *
 * A step is 512 products: 16 operations and 4 broadcasts on the two vector ports of Skylake-SP and Cascade Lake, 10
 * cycles, 51 products a cycle; on Zen 5 4 cycles, 128. llvm-mca 19 predicts 9.0 from gcc 12 on skylake-avx512, where it
 * leaves port 1 open to 512-bit vectors, and 11.3 on znver4. Measured on a Zen 5 core, whole layers 32x32x3 and
 * 224x224x3 to 64 channels, floats: 1.33 times as fast as the AVX2 variant.
 */
#include "bytes_avx512bw.h"

#include "igemm_body.h"

const bnn_igemm_kernel bnn_igemm_avx512bw = {
    .isa = BNN_ISA_avx512bw, .weights_bytes = weights_bytes, .weights_pack = weights_pack, .run = run};
