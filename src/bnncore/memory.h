/* Aligned memory, and arithmetic on sizes that cannot wrap. */
#ifndef BNN_MEMORY_H
#define BNN_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* BNN_ALIGN-aligned and zeroed; NULL where there is none. A size of 0 gives a pointer that may be freed. */
void *bnn_memory_new(uint64_t bytes);
/* The same, neither zeroed nor touched: what is never written to takes no pages. */
void *bnn_memory_new_unset(uint64_t bytes);
void bnn_memory_free(void *memory);

/* Saturating at UINT64_MAX, so that a chain of them may be compared with a limit once, at its end. */
static inline uint64_t bnn_size_mul(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

static inline uint64_t bnn_size_add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/* Up to a multiple of BNN_ALIGN. */
static inline uint64_t bnn_size_align(uint64_t a) { return a > UINT64_MAX - 63 ? UINT64_MAX : (a + 63) / 64 * 64; }

#endif
