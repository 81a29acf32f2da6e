#include "lanes_avx512.h"

#include "window_body.h"

const bnn_window_kernel bnn_window_avx512 = {.isa = BNN_ISA_avx512, .max = maximum, .mean = mean};
