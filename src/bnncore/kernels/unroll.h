/* For tiles whose sizes are constants: inlined where they are called, their loops gone; and for loops that need all
 * registers, compiled apart. A loop that gcc leaves would
 * keep the tile's registers in memory. IN_REGISTER(pointer) holds a pointer in one, where gcc would hold the distance
 * to every place that is read near it in one each, and run out. */
#ifndef BNN_UNROLL_H
#define BNN_UNROLL_H

#include <stddef.h>

#if defined(__GNUC__)
#define APART                static __attribute__((noinline))
#define UNROLLED             static inline __attribute__((always_inline))
#define UNROLL               _Pragma("GCC unroll 16")
#define UNROLL_TWICE         _Pragma("GCC unroll 2")
#define IN_REGISTER(pointer) __asm__("" : "+r"(pointer))
#else
#define APART    static __declspec(noinline)
#define UNROLLED static __forceinline
#define UNROLL
#define UNROLL_TWICE
#define IN_REGISTER(pointer) ((void)0)
#endif

#endif
