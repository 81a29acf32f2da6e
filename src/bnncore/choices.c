#include "choices.h"

enum { MOST_BYTE_DEPTH = 4096, MOST_WINOGRAD_KIB = 1 << 16, MOST_THIN_CHANNELS = 64 };

#define BNN_CHOICES(isa, ...) static const bnn_choices choices_##isa = {__VA_ARGS__};
#include "choices.def"
#undef BNN_CHOICES

const bnn_choices *bnn_choices_of(bnn_isa isa) {
    switch (isa) {
#define BNN_CHOICES(isa, ...)                                                                                          \
    case BNN_ISA_##isa:                                                                                                \
        return &choices_##isa;
#include "choices.def"
#undef BNN_CHOICES
    default:
        return &choices_ref;
    }
}

int bnn_choices_allowed(const bnn_choices *c) {
    return c->byte_depth <= MOST_BYTE_DEPTH && c->winograd_width > 0 && c->winograd_depth > 0 &&
           c->winograd_kib <= MOST_WINOGRAD_KIB && c->thin_channels <= MOST_THIN_CHANNELS;
}
