/* For tiles whose sizes are constants: inlined where they are called, their loops gone. A loop that gcc leaves would
 * keep the tile's registers in memory. */
#ifndef BNN_UNROLL_H
#define BNN_UNROLL_H

#include <stddef.h>

#if defined(__GNUC__)
#define UNROLLED static inline __attribute__((always_inline))
#define UNROLL   _Pragma("GCC unroll 16")
#else
#define UNROLLED static __forceinline
#define UNROLL
#endif

#endif
