#include "lanes_neon.h"

#include "winograd_body.h"

const bnn_winograd_kernel bnn_winograd_neon = {.isa = BNN_ISA_neon, .input = input, .output = output};
