/* Where two roads lead to the same result: from which size on which one is taken, for each instruction set.
 *
 * benchmarks/choices.py measures both roads around these points, and `bnnengine bench --tune` does for the layers of a
 * model. Whatever is chosen, integer results are the same bits.
 */
#ifndef BNN_CHOICES_H
#define BNN_CHOICES_H

#include "bnncore.h"
#include "kernels.h"

/* The line of choices.def for an instruction set. */
const bnn_choices *bnn_choices_of(bnn_isa isa);
/* Whether a caller's are within what plans allow. */
int bnn_choices_allowed(const bnn_choices *choices);

#endif
