#include "lanes_avx2.h"

#include "winograd_body.h"

const bnn_winograd_kernel bnn_winograd_avx2 = {.isa = BNN_ISA_avx2, .input = input, .output = output};
