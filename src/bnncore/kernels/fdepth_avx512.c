#include "lanes_avx512.h"

#include "fdepth_body.h"

const bnn_fdepth_kernel bnn_fdepth_avx512 = {.isa = BNN_ISA_avx512, .run = run};
