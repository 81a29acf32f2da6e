#include "lanes_avx512.h"

#include "norm_body.h"

const bnn_norm_kernel bnn_norm_avx512 = {.isa = BNN_ISA_avx512, .run = run};
