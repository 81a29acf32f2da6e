#include "lanes_avx512bw.h"

#include "window_body.h"

const bnn_window_kernel bnn_window_avx512bw = {.isa = BNN_ISA_avx512bw, .max = maximum, .mean = mean};
