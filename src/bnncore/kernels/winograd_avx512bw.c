#include "lanes_avx512bw.h"

#include "winograd_body.h"

const bnn_winograd_kernel bnn_winograd_avx512bw = {.isa = BNN_ISA_avx512bw, .input = input, .output = output};
