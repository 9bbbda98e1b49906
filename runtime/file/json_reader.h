/* JSON texts (RFC 8259) read value by value into what the caller expects: no tree, no recursion, no memory beyond the strings' own bytes. For texts
 * that come from anywhere: the first fault stops the reader, and `at` is its place. Whole files of our own are read as trees (file/json/json_file.h). */
#ifndef BFM_FILE_JSON_READER_H
#define BFM_FILE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct JsonReader {
    const char *text;
    size_t size, at;
    char *strings; /* [size]: decoded strings, which outlive the reader; a string and its NUL take no more room than between its quotes and with them */
    size_t used;
    const char *fault; /* NULL: none yet */
} JsonReader;

/* What begins at the next character that is no white space: '{', '[', '"', '0' for a number, 'w' for a word such as true; 0 and a fault: none of these. */
char json_reader_peek(JsonReader *reader);

/* All of these are false, or NULL, where there is a fault. */
bool json_reader_enter(JsonReader *reader, char open); /* '{' or '[' */
/* Whether another member or element follows; consumes the comma before it, or `close`. `*first` is true at the first call. */
bool json_reader_more(JsonReader *reader, char close, bool *first);
const char *json_reader_string(JsonReader *reader);
const char *json_reader_key(JsonReader *reader); /* a string and its colon */
/* False without a fault: a number with a fraction or an exponent. Beyond 64 bits is a fault. */
bool json_reader_integer(JsonReader *reader, int64_t *value);
bool json_reader_end(JsonReader *reader); /* nothing but white space follows */

#endif
