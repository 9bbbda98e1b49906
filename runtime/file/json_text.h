/* A JSON text as it grows. Functions that add to it are false where memory is exhausted. */
#ifndef BFM_FILE_JSON_TEXT_H
#define BFM_FILE_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct JsonText { /* zeros: an empty one */
    char *data;           /* [length], no NUL; free() it */
    size_t length, room;
} JsonText;

bool json_text_append(JsonText *text, const char *data, size_t length);
bool json_text_print(JsonText *text, const char *format, ...) __attribute__((format(printf, 2, 3))); /* at most 127 bytes */
bool json_text_string(JsonText *text, const char *string);                                           /* with quotes and escapes */
bool json_text_holds(const char *string);                                                            /* it is UTF-8, as JSON is */

#endif
