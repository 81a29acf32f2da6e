#include "memory.h"
#include "layout.h"

#include <stdlib.h>
#include <string.h>

void *bnn_memory_new(uint64_t bytes) {
    bytes = bnn_size_align(bytes ? bytes : 1);
    if (bytes > SIZE_MAX / 2) return NULL;
#ifdef _MSC_VER
    void *memory = _aligned_malloc((size_t)bytes, BNN_ALIGN);
#else
    void *memory = aligned_alloc(BNN_ALIGN, (size_t)bytes);
#endif
    if (memory) memset(memory, 0, (size_t)bytes);
    return memory;
}

void bnn_memory_free(void *memory) {
#ifdef _MSC_VER
    _aligned_free(memory);
#else
    free(memory);
#endif
}
