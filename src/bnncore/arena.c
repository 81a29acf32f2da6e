/* Greedy by size: the largest value first, each at the lowest place where no value placed before is alive at the same
 * time (Pisarchyk and Lee, arXiv:2001.03288, section 5.2). */
#include "arena.h"
#include "memory.h"

#include <string.h>

/* Shell sort, by falling size and then rising index, so that the outcome does not depend on a library's qsort. */
static void sort_by_size(const bnn_lifetime *lives, uint32_t *order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t gap = count / 2; gap; gap /= 2)
        for (uint32_t i = gap; i < count; i++) {
            uint32_t moved = order[i], at = i;
            for (; at >= gap; at -= gap) {
                const bnn_lifetime *a = &lives[order[at - gap]], *b = &lives[moved];
                if (a->bytes > b->bytes || (a->bytes == b->bytes && order[at - gap] < moved)) break;
                order[at] = order[at - gap];
            }
            order[at] = moved;
        }
}

static int alive_together(const bnn_lifetime *a, const bnn_lifetime *b) {
    return a->first <= b->last && b->first <= a->last;
}

uint64_t bnn_arena_place(bnn_lifetime *lives, uint32_t *order, uint32_t count) {
    uint64_t arena = 0;
    sort_by_size(lives, order, count);
    for (uint32_t i = 0; i < count; i++) {
        bnn_lifetime *life = &lives[order[i]];
        /* raise the offset past whoever is in the way until nobody is */
        life->offset = 0;
        for (int moved = 1; moved;) {
            moved = 0;
            for (uint32_t j = 0; j < i; j++) {
                const bnn_lifetime *other = &lives[order[j]];
                if (!alive_together(life, other)) continue;
                if (life->offset + life->bytes <= other->offset || other->offset + other->bytes <= life->offset)
                    continue;
                life->offset = other->offset + other->bytes;
                moved = 1;
            }
        }
        if (life->offset + life->bytes > arena) arena = life->offset + life->bytes;
    }
    return arena;
}

uint64_t bnn_arena_bound(const bnn_lifetime *lives, uint32_t count, uint64_t *alive, uint32_t steps) {
    uint64_t most = 0;
    memset(alive, 0, ((size_t)steps + 1) * sizeof *alive);
    for (uint32_t i = 0; i < count; i++) { /* differences, which wrap and come back */
        alive[lives[i].first] += lives[i].bytes;
        alive[lives[i].last + 1] -= lives[i].bytes;
    }
    for (uint32_t s = 0; s < steps; s++) {
        if (s) alive[s] += alive[s - 1];
        if (alive[s] > most) most = alive[s];
    }
    return most;
}
