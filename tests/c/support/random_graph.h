/* Graphs by chance: layers that read several values, values that several layers read, and every operator but top_k.
 *
 * Products of float weights are exact, so that a float sum has the same bits on every instruction set. */
#ifndef RANDOM_GRAPH_H
#define RANDOM_GRAPH_H

#include "net.h"
#include "rng.h"

net random_graph(rng *r, uint32_t macs);

/* The same graph with every value that can as an output, and bits as floats behind their own scale. */
void net_show_all(net *n);

#endif
