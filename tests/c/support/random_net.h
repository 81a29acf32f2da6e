/* Sound networks by chance: every operator of version 1.0, dtype and option of docs/format.md, sizes on both sides of
 * every boundary.
 */
#ifndef RANDOM_NET_H
#define RANDOM_NET_H

#include "net.h"
#include "rng.h"

/* Of at most `macs` multiply-accumulates for each layer that sums. */
net random_net(rng *r, uint32_t macs);

#endif
