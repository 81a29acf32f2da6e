#include "error.h"

#include <stdarg.h>
#include <stdio.h>

bnn_status bnn_fail(bnn_error *error, bnn_status status, const char *format, ...) {
    if (!error) return status;
    error->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

const char *bnn_dtype_name(bnn_dtype dtype) {
    switch (dtype) {
    case BNN_BITS:
        return "bits";
    case BNN_UINT8:
        return "uint8";
    case BNN_INT32:
        return "int32";
    case BNN_INT64:
        return "int64";
    case BNN_FLOAT32:
        return "float32";
    case BNN_INT8:
        return "int8";
    }
    return "unknown";
}

const char *bnn_spec_text(const bnn_spec *spec, char text[BNN_SPEC_TEXT]) {
    int at = snprintf(text, BNN_SPEC_TEXT, "%s (", bnn_dtype_name(spec->dtype));
    for (uint32_t i = 0; i < spec->rank; i++)
        at += snprintf(text + at, BNN_SPEC_TEXT - (size_t)at, i ? ", %u" : "%u", (unsigned)spec->dims[i]);
    snprintf(text + at, BNN_SPEC_TEXT - (size_t)at, spec->rank == 1 ? ",)" : ")");
    return text;
}
