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

/* The lowest offset for `life` among those placed, which are in the order of their offsets: one walk upwards, past
 * whoever is in the way, to the first gap that is wide enough. */
static uint64_t lowest_gap(const bnn_lifetime *lives, const uint32_t *placed, uint32_t count,
                           const bnn_lifetime *life) {
    uint64_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        const bnn_lifetime *other = &lives[placed[i]];
        if (offset + life->bytes <= other->offset) break;
        if (alive_together(life, other) && other->offset + other->bytes > offset) offset = other->offset + other->bytes;
    }
    return offset;
}

uint64_t bnn_arena_place(bnn_lifetime *lives, uint32_t *order, uint32_t count) {
    uint64_t arena = 0;
    uint32_t *placed = order + count;
    sort_by_size(lives, order, count);
    for (uint32_t i = 0; i < count; i++) {
        bnn_lifetime *life = &lives[order[i]];
        life->offset = lowest_gap(lives, placed, i, life);
        uint32_t at = i;
        for (; at && lives[placed[at - 1]].offset > life->offset; at--) placed[at] = placed[at - 1];
        placed[at] = order[i];
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
