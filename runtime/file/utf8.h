/* UTF-8 by Unicode 15, table 3-7. What is ill-formed is taken in maximal subparts (chapter 3.9): the longest beginning of a character that
 * other bytes cut short, else one byte. */
#ifndef BFM_FILE_UTF8_H
#define BFM_FILE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define BFM_UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

typedef enum BfmUtf8 {
    BFM_UTF8_WHOLE, /* a character */
    BFM_UTF8_OPEN,  /* the beginning of one, at the end of the text */
    BFM_UTF8_BAD    /* a maximal subpart that never becomes one */
} BfmUtf8;

/* Bytes of what begins at text; length >= 1, and so is the result. */
size_t bfm_utf8_next(const char *text, size_t length, BfmUtf8 *kind);
/* The code point of a whole character of so many bytes. */
int32_t bfm_utf8_code(const char *text, size_t bytes);
/* Bytes at the end of the text that begin a character and do not complete it: 0 to 3. */
size_t bfm_utf8_open_tail(const char *text, size_t length);

#endif
