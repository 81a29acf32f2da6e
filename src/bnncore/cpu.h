/* What the machine has. */
#ifndef BNN_CPU_H
#define BNN_CPU_H

/* The architecture that this build is for, for choosing lines of kernels.def. */
#if defined(__x86_64__) || defined(_M_X64)
#define BNN_ARCH_x86_64 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define BNN_ARCH_aarch64 1
#endif

/* Sets of instructions that the CPU has and the operating system saves, as bits. */
enum { BNN_CPU_AVX2 = 1, BNN_CPU_AVX512BW = 2, BNN_CPU_AVX512 = 4, BNN_CPU_NEON = 8 };

unsigned bnn_cpu_features(void);

#endif
