#include "lanes_neon.h"

#include "window_body.h"

const bnn_window_kernel bnn_window_neon = {.isa = BNN_ISA_neon, .max = maximum, .mean = mean};
