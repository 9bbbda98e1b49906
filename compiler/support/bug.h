/* Our own errors: a broken invariant names file and line, in release builds too. */
#ifndef BFM_SUPPORT_BUG_H
#define BFM_SUPPORT_BUG_H

#include <stddef.h>

__attribute__((noreturn, format(printf, 3, 4))) void bfm_bug(const char *file, int line, const char *format, ...);

/* The environment's: memory is exhausted. `what` was being built; exit code 3. */
__attribute__((noreturn)) void bfm_out_of_memory(const char *what, size_t bytes);

/* Called in this thread instead, with 3 (memory) or 4 (bug) and a message; it may jump out of what was going on. Where it returns, the process ends. NULL: none. Returns the one
   before. */
typedef void FailureHandler(void *context, int code, const char *message);
FailureHandler *failure_handler_set(FailureHandler *handler, void *context);

#define BFM_ASSERT(condition) ((condition) ? (void)0 : bfm_bug(__FILE__, __LINE__, "expected %s", #condition))
#define BFM_BUG(...)          bfm_bug(__FILE__, __LINE__, __VA_ARGS__)

#endif
