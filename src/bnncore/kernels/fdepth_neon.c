#include "lanes_neon.h"

#include "fdepth_body.h"

const bnn_fdepth_kernel bnn_fdepth_neon = {.isa = BNN_ISA_neon, .run = run};
