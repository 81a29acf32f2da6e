#include "lanes_avx512bw.h"

#include "fdepth_body.h"

const bnn_fdepth_kernel bnn_fdepth_avx512bw = {.isa = BNN_ISA_avx512bw, .run = run};
