#include "lanes_ref.h"

#include "winograd_body.h"

const bnn_winograd_kernel bnn_winograd_ref = {.isa = BNN_ISA_ref, .input = input, .output = output};
