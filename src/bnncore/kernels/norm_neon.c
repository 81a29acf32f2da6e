#include "lanes_neon.h"

#include "norm_body.h"

const bnn_norm_kernel bnn_norm_neon = {.isa = BNN_ISA_neon, .run = run};
