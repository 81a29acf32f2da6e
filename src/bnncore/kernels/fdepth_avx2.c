#include "lanes_avx2.h"

#include "fdepth_body.h"

const bnn_fdepth_kernel bnn_fdepth_avx2 = {.isa = BNN_ISA_avx2, .run = run};
