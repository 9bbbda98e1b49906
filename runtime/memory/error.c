#include "bfm/error.h"

#include <stdarg.h>
#include <stdio.h>

int bfm_error_set(BfmError *error, BfmErrorKind kind, const char *format, ...)
{
    if (!error)
        return 0;
    error->kind = kind;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return 0;
}
