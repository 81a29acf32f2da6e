#include "lanes_avx512bw.h"

#include "norm_body.h"

const bnn_norm_kernel bnn_norm_avx512bw = {.isa = BNN_ISA_avx512bw, .run = run};
