#ifndef BNN_MODELFILE_H
#define BNN_MODELFILE_H

#include "model.h"

/* Whether the bytes are valid UTF-8 (RFC 3629: no overlong forms, no surrogates); control characters by choice. */
int bnn_utf8_valid(const unsigned char *text, uint64_t bytes, int allow_control);

#endif
