#include "lanes_avx512.h"

#include "winograd_body.h"

const bnn_winograd_kernel bnn_winograd_avx512 = {.isa = BNN_ISA_avx512, .input = input, .output = output};
