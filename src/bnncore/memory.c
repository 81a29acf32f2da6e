#include "memory.h"
#include "layout.h"

#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer what is past the size asked for is as forbidden as it is past the block. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#include <sanitizer/asan_interface.h>
#define FORBID(from, bytes) ASAN_POISON_MEMORY_REGION(from, bytes)
#else
#define FORBID(from, bytes) (void)(from)
#endif

void *bnn_memory_new(uint64_t bytes) {
    void *memory = bnn_memory_new_unset(bytes);
    if (memory) memset(memory, 0, (size_t)bytes);
    return memory;
}

void *bnn_memory_new_unset(uint64_t asked) {
    uint64_t bytes = bnn_size_align(asked ? asked : 1);
    if (bytes > SIZE_MAX / 2) return NULL;
#ifdef _MSC_VER
    void *memory = _aligned_malloc((size_t)bytes, BNN_ALIGN);
#else
    void *memory = aligned_alloc(BNN_ALIGN, (size_t)bytes);
#endif
    if (!memory) return NULL;
    FORBID((unsigned char *)memory + asked, (size_t)(bytes - asked));
    return memory;
}

void bnn_memory_free(void *memory) {
#ifdef _MSC_VER
    _aligned_free(memory);
#else
    free(memory);
#endif
}
