/* Which variant of a family runs: the one for the instruction set that a plan is bound to, or the next weaker one. */
#include "cpu.h"
#include "kernels.h"

#include <string.h>

#define ARCH_any 1
#ifdef BNN_ARCH_x86_64
#define ARCH_x86_64 1
#else
#define ARCH_x86_64 0
#endif
#ifdef BNN_ARCH_aarch64
#define ARCH_aarch64 1
#else
#define ARCH_aarch64 0
#endif

static const struct {
    const char *name;
    int built;
} levels[] = {
#define BNN_ISA(name, arch, flags, msvc) {#name, ARCH_##arch},
#include "kernels/isa.def"
#undef BNN_ISA
};

int bnn_isa_supported(bnn_isa isa) {
    if ((unsigned)isa >= BNN_ISA_COUNT || !levels[isa].built) return 0;
    unsigned features = bnn_cpu_features();
    switch (isa) {
    case BNN_ISA_avx2:
        return (features & BNN_CPU_AVX2) != 0;
    case BNN_ISA_avx512bw:
        return (features & BNN_CPU_AVX512BW) != 0;
    case BNN_ISA_avx512:
        return (features & BNN_CPU_AVX512) != 0;
    case BNN_ISA_neon:
        return (features & BNN_CPU_NEON) != 0;
    default:
        return 1;
    }
}

bnn_isa bnn_isa_best(void) {
    int isa = BNN_ISA_COUNT - 1;
    while (!bnn_isa_supported((bnn_isa)isa)) isa--;
    return (bnn_isa)isa;
}

const char *bnn_isa_name(bnn_isa isa) { return (unsigned)isa < BNN_ISA_COUNT ? levels[isa].name : "unknown"; }

int bnn_isa_from_name(const char *name) {
    for (int isa = 0; isa < BNN_ISA_COUNT; isa++)
        if (strcmp(name, levels[isa].name) == 0) return isa;
    return -1;
}

/* The address of a variant where the build has it. */
#define VARIANT_ref(family) &bnn_##family##_ref
#if ARCH_x86_64
#define VARIANT_avx2(family)     &bnn_##family##_avx2
#define VARIANT_avx512bw(family) &bnn_##family##_avx512bw
#define VARIANT_avx512(family)   &bnn_##family##_avx512
#else
#define VARIANT_avx2(family)     NULL
#define VARIANT_avx512bw(family) NULL
#define VARIANT_avx512(family)   NULL
#endif
#if ARCH_aarch64
#define VARIANT_neon(family) &bnn_##family##_neon
#else
#define VARIANT_neon(family) NULL
#endif

static const struct {
    const char *family;
    bnn_isa isa;
    const void *variant;
} variants[] = {
#define BNN_KERNEL(family, isa) {#family, BNN_ISA_##isa, VARIANT_##isa(family)},
#include "kernels/kernels.def"
#undef BNN_KERNEL
};

int bnn_kernel_listed(uint32_t i, const char **family, bnn_isa *isa) {
    if (i >= sizeof variants / sizeof *variants) return 0;
    *family = variants[i].family;
    *isa = variants[i].isa;
    return 1;
}

static const void *find(const char *family, bnn_isa isa) {
    const void *best = NULL;
    bnn_isa best_isa = BNN_ISA_ref;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        if (!variants[i].variant || variants[i].isa > isa || variants[i].isa < best_isa) continue;
        if (strcmp(variants[i].family, family) != 0) continue;
        best = variants[i].variant;
        best_isa = variants[i].isa;
    }
    return best;
}

const bnn_bgemm_kernel *bnn_bgemm_find(bnn_isa isa) { return find("bgemm", isa); }
const bnn_bgemv_kernel *bnn_bgemv_find(bnn_isa isa) { return find("bgemv", isa); }
const bnn_pack_kernel *bnn_pack_find(bnn_isa isa) { return find("pack", isa); }
const bnn_pool_kernel *bnn_pool_find(bnn_isa isa) { return find("pool", isa); }
const bnn_fgemm_kernel *bnn_fgemm_find(bnn_isa isa) { return find("fgemm", isa); }
const bnn_winograd_kernel *bnn_winograd_find(bnn_isa isa) { return find("winograd", isa); }
const bnn_igemm_kernel *bnn_igemm_find(bnn_isa isa) { return find("igemm", isa); }
const bnn_settle_kernel *bnn_settle_find(bnn_isa isa) { return find("settle", isa); }
const bnn_vector_kernel *bnn_vector_find(bnn_isa isa) { return find("vector", isa); }
const bnn_fdepth_kernel *bnn_fdepth_find(bnn_isa isa) { return find("fdepth", isa); }
const bnn_bdepth_kernel *bnn_bdepth_find(bnn_isa isa) { return find("bdepth", isa); }
const bnn_window_kernel *bnn_window_find(bnn_isa isa) { return find("window", isa); }
const bnn_norm_kernel *bnn_norm_find(bnn_isa isa) { return find("norm", isa); }
