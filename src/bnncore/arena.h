/* Lifetimes to offsets: values that are never alive together share memory. */
#ifndef BNN_ARENA_H
#define BNN_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct bnn_lifetime {
    uint64_t bytes;
    uint32_t first, last; /* steps, both included */
    uint64_t offset;      /* found by bnn_arena_place */
} bnn_lifetime;

/* Places every lifetime and returns the arena's size, at least `bound`. Works in `order`, room for 2 * count indices.
 */
uint64_t bnn_arena_place(bnn_lifetime *lives, uint32_t *order, uint32_t count, uint64_t bound);

/* The largest sum of bytes alive at one step, which no arena can undercut. `alive` has room for steps + 1 numbers. */
uint64_t bnn_arena_bound(const bnn_lifetime *lives, uint32_t count, uint64_t *alive, uint32_t steps);

#endif
