#include "lanes_avx2.h"

#include "window_body.h"

const bnn_window_kernel bnn_window_avx2 = {.isa = BNN_ISA_avx2, .max = maximum, .mean = mean};
