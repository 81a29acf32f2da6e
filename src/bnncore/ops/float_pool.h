/* Maximum and mean of float32 over windows: max_pool2d.c, average_pool2d.c. */
#ifndef BNN_FLOAT_POOL_H
#define BNN_FLOAT_POOL_H

#include "window.h"

typedef enum bnn_pool_kind { BNN_POOL_MAX, BNN_POOL_MEAN, BNN_POOL_MEAN_INSIDE } bnn_pool_kind;

/* Sets state and run of a step whose windows are not dilated; MEAN divides by the size of the window, MEAN_INSIDE by
 * the pixels of it that are there. */
bnn_status bnn_float_pool_prepare(bnn_prepare *prepare, bnn_pool_kind kind);

#endif
