/* Small JSON files, read with checks that name the file and the key, written atomically. */
#ifndef BFM_FILE_JSON_JSON_FILE_H
#define BFM_FILE_JSON_JSON_FILE_H

#include "bfm/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { BFM_HASH_TEXT = 17 }; /* 16 hexadecimal digits and the NUL */

json_t *bfm_json_read(const char *path, BfmError *error);                     /* an object; new reference, NULL on error */
bool bfm_json_write(const char *path, const json_t *object, BfmError *error); /* indented, keys in the order they were set */
json_t *bfm_json_number(double value);                                        /* null where JSON has no number (NaN, infinities) */

/* A key of an object of the file `path` (named in errors only). Borrowed strings live as long as `object`. */
bool bfm_json_get_int(const json_t *object, const char *path, const char *key, int64_t low, int64_t high, int64_t *value, BfmError *error);
bool bfm_json_get_string(const json_t *object, const char *path, const char *key, const char **value, BfmError *error);
bool bfm_json_get_hash(const json_t *object, const char *path, const char *key, uint64_t *value, BfmError *error); /* 16 hex digits */

void bfm_hash_text(uint64_t hash, char text[BFM_HASH_TEXT]);

#endif
