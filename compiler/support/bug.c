#include "support/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the thread: where it may go instead of ending the process (bug.h says how). */
static _Thread_local FailureHandler *handler;
static _Thread_local void *handler_context;

FailureHandler *failure_handler_set(FailureHandler *next, void *context)
{
    FailureHandler *before = handler;
    handler = next;
    handler_context = context;
    return before;
}

enum { CODE_MEMORY = 3, CODE_BUG = 4, MESSAGE_BYTES = 1024 };

/* Nothing is allocated: stderr has no buffer. */
__attribute__((noreturn)) static void end(int code, const char *message)
{
    if (handler)
        handler(handler_context, code, message);
    fprintf(stderr, "%s%s\n", code == CODE_BUG ? "bfmc: " : "error: ", message);
    if (code == CODE_BUG)
        fflush(NULL);
    _Exit(code);
}

void bfm_bug(const char *file, int line, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    const int length = snprintf(message, sizeof message, "internal error at %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    const int more = vsnprintf(message + length, sizeof message - (size_t)length, format, args);
    va_end(args);
    const size_t end_at = more < 0 ? (size_t)length : (size_t)(length + more) < sizeof message ? (size_t)(length + more) : sizeof message - 1;
    (void)snprintf(message + end_at, sizeof message - end_at, "\nThis is a bug of bfmc: please report it with the input and the output of `bfmc doctor`.");
    end(CODE_BUG, message);
}

void bfm_out_of_memory(const char *what, size_t bytes)
{
    char message[MESSAGE_BYTES];
    if (bytes > 0)
        (void)snprintf(message, sizeof message, "out of memory: %zu bytes more were wanted for %s", bytes, what);
    else
        (void)snprintf(message, sizeof message, "out of memory: more was wanted for %s", what);
    end(CODE_MEMORY, message);
}
