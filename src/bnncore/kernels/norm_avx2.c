#include "lanes_avx2.h"

#include "norm_body.h"

const bnn_norm_kernel bnn_norm_avx2 = {.isa = BNN_ISA_avx2, .run = run};
