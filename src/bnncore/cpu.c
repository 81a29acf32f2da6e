/* Asks the CPU, and nothing else does. CPUID and XGETBV are read here rather than through the compiler's helpers, since
 * some tool chains (zig cc among them) answer 0 to those without a word. Bits: Intel SDM vol. 2A, CPUID; vol. 1, 13.3.
 */
#include "cpu.h"

#include <stdint.h>

#ifdef BNN_ARCH_x86_64

#ifdef _MSC_VER
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
static uint64_t xcr0(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t r[4]) { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#endif

static int has(uint32_t word, uint32_t mask) { return (word & mask) == mask; }

unsigned bnn_cpu_features(void) {
    enum { EAX, EBX, ECX, EDX };
    uint32_t r[4];
    cpuid(0, r);
    if (r[EAX] < 7) return 0;
    cpuid(1, r);
    /* FMA 12, POPCNT 23, OSXSAVE 27, AVX 28 */
    if (!has(r[ECX], 1u << 12 | 1u << 23 | 1u << 27 | 1u << 28)) return 0;
    uint64_t saved = xcr0();
    if ((saved & 0x6) != 0x6) return 0; /* xmm and ymm */
    cpuid(7, r);
    /* BMI1 3, AVX2 5, BMI2 8 */
    if (!has(r[EBX], 1u << 3 | 1u << 5 | 1u << 8)) return 0;
    unsigned found = BNN_CPU_AVX2;
    /* F 16, BW 30, VL 31; opmask, upper zmm, zmm16-31 */
    if (!has(r[EBX], 1u << 16 | 1u << 30 | 1u << 31) || (saved & 0xe6) != 0xe6) return found;
    found |= BNN_CPU_AVX512BW;
    if (has(r[ECX], 1u << 14)) found |= BNN_CPU_AVX512; /* VPOPCNTDQ */
    return found;
}

#elif defined(BNN_ARCH_aarch64)

unsigned bnn_cpu_features(void) { return BNN_CPU_NEON; } /* part of the base architecture */

#else

unsigned bnn_cpu_features(void) { return 0; }

#endif
