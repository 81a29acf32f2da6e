/* libFuzzer target: a file is loaded, planned for every instruction set of this machine, run, and compared; its mutator
 * signs what it changes, so that the fuzzer sees behind the checksums. Build with -fsanitize=fuzzer,address,undefined.
 */
#include "support/exercise.h"
#include "support/mutator.h"
#include "support/net.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned int seed);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rng r = {bnn_crc32c(data, size)};
    exercise e = {.limits = {.max_bytes = 1u << 24, .max_macs = 1u << 16}, .batch = 2};
    if (exercise_file(&e, &r, data, size) == OUTCOME_WRONG) abort();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned int seed) {
    rng r = {seed};
    if (rng_chance(&r, 50)) return mutate(&r, (mutation)rng_below(&r, MUTATIONS), data, size, room);
    size = LLVMFuzzerMutate(data, size, room);
    if (rng_chance(&r, 30)) repair_shapes(data, size);
    net_sign(data, size);
    return size;
}
