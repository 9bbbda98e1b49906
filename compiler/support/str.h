/* String builder; always NUL-terminated after the first append. */
#ifndef BFM_SUPPORT_STR_H
#define BFM_SUPPORT_STR_H

#include <stdarg.h>
#include <stddef.h>

typedef struct Str {
    char *text;
    size_t length, capacity;
} Str;

void str_append(Str *str, const char *text);
void str_append_n(Str *str, const char *text, size_t length);
void str_push(Str *str, char c);
void str_repeat(Str *str, char c, int count);
__attribute__((format(printf, 2, 3))) void str_printf(Str *str, const char *format, ...);
__attribute__((format(printf, 2, 0))) void str_vprintf(Str *str, const char *format, va_list args);
void str_json(Str *str, const char *text, size_t length); /* a JSON string literal with its quotes; each maximal subpart that is no UTF-8 becomes U+FFFD */
const char *str_text(const Str *str);                     /* "" when empty; borrowed */
char *str_take(Str *str);                                 /* malloc'd, moves out */
void str_free(Str *str);

/* What ends a noun that follows the count: "%d line%s", as bfm_plural of the runtime. */
static inline const char *plural(long long count) { return count == 1 ? "" : "s"; }
/* "1 axis", "2 axes". */
static inline const char *axes_word(int count) { return count == 1 ? "axis" : "axes"; }

#endif
