#include "vector_body.h"

BNN_VECTOR_KERNEL(avx512bw);
