/* Messages for the person who reads them: layer, field, got, wanted. */
#ifndef BNN_ERROR_H
#define BNN_ERROR_H

#include "bnncore.h"

/* Fills *error (unless NULL) as printf would, and returns status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
bnn_status
bnn_fail(bnn_error *error, bnn_status status, const char *format, ...);

const char *bnn_dtype_name(bnn_dtype dtype);

/* "float32 (28, 28, 1)" into text, which it returns. */
enum { BNN_SPEC_TEXT = 96 };
const char *bnn_spec_text(const bnn_spec *spec, char text[BNN_SPEC_TEXT]);

#endif
