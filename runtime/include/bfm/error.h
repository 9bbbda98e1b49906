/* An error of the environment or of a file, carried up the stack; the message says what was expected and what to do. */
#ifndef BFM_ERROR_H
#define BFM_ERROR_H

typedef enum { BFM_OK = 0, BFM_ERROR_INPUT = 1, BFM_ERROR_ENVIRONMENT = 3, BFM_ERROR_BUG = 4 } BfmErrorKind; /* the command's exit codes */

typedef struct BfmError {
    BfmErrorKind kind;
    char message[1024];
} BfmError;

/* Fills `error` (may be NULL) and returns 0, so that a failing function can `return bfm_error_set(...)`. */
__attribute__((format(printf, 3, 4))) int bfm_error_set(BfmError *error, BfmErrorKind kind, const char *format, ...);

/* What ends a noun that follows the count: "%lld byte%s". */
static inline const char *bfm_plural(long long count) { return count == 1 ? "" : "s"; }

#endif
