/* Thresholds on floats as the ranges that the pack kernels compare with. */
#ifndef BNN_BINARIZE_H
#define BNN_BINARIZE_H

#include "op.h"

/* [threshold, +inf] where flip is 0, [-inf, threshold] where it is 1; a NaN lies in neither. */
void bnn_ranges(const bnn_tensor *threshold, const bnn_tensor *flip, float *low, float *high);

#endif
