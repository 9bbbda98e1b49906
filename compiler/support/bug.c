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

/* Nothing is allocated: stderr has no buffer. */
void bfm_out_of_memory(const char *what, size_t bytes)
{
    if (bytes > 0)
        fprintf(stderr, "error: out of memory: %zu bytes more were wanted for %s\n", bytes, what);
    else
        fprintf(stderr, "error: out of memory: more was wanted for %s\n", what);
    _Exit(3);
}
