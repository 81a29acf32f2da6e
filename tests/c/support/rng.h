/* Numbers by chance, the same for the same seed everywhere (splitmix64). */
#ifndef RNG_H
#define RNG_H

#include <stdint.h>

typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_next(rng *r) {
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. n-1, n at least 1. */
static inline uint32_t rng_below(rng *r, uint32_t n) { return (uint32_t)((rng_next(r) >> 32) * n >> 32); }

/* low .. high */
static inline int32_t rng_between(rng *r, int32_t low, int32_t high) {
    return low + (int32_t)rng_below(r, (uint32_t)(high - low) + 1);
}

static inline int rng_chance(rng *r, uint32_t percent) { return rng_below(r, 100) < percent; }

#endif
