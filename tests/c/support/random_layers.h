/* Tensors and layers by chance, for random_net.c and random_graph.c: each sets the node and returns its output. */
#ifndef RANDOM_LAYERS_H
#define RANDOM_LAYERS_H

#include "net.h"
#include "rng.h"

/* On both sides of every boundary. */
uint32_t random_channels(rng *r);
void random_bits(rng *r, const net_spec *spec, uint64_t *words);
/* A tensor of `count` floats in a slot: whole numbers up to `range`, or any; by chance infinite ones. */
void random_floats(rng *r, net_node *node, uint32_t slot, uint32_t count, int32_t range, int infinite);

net_spec random_window(rng *r, net_node *node, const net_spec *in, int dilates);
net_spec random_sum(rng *r, net_node *node, const net_spec *in, uint32_t macs);
net_spec random_binarize(rng *r, net_node *node, const net_spec *in);
net_spec random_scale(rng *r, net_node *node, const net_spec *in);
net_spec random_pool(rng *r, net_node *node, const net_spec *in);

#endif
