#include "support/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void bfm_bug(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bfmc: internal error at %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nThis is a bug of bfmc: please report it with the input and the output of `bfmc doctor`.\n");
    va_end(args);
    fflush(NULL);
    _Exit(4);
}
