#include "file/json/json_file.h"

#include "file/atomic_file.h"
#include "file/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *bfm_json_read(const char *path, BfmError *error)
{
    BfmMappedFile file;
    if (!bfm_mapped_file_open(&file, path, error))
        return NULL;
    json_error_t reason;
    json_t *object = json_loadb((const char *)file.data, file.size, JSON_REJECT_DUPLICATES, &reason);
    bfm_mapped_file_close(&file);
    if (!object)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: line %d: expected a JSON object: %s", path, reason.line, reason.text);
    else if (!json_is_object(object)) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected a JSON object, found something else", path);
        json_decref(object);
        object = NULL;
    }
    return object;
}

bool bfm_json_write(const char *path, const json_t *object, BfmError *error)
{
    BfmAtomicFile file;
    bool written = bfm_atomic_file_open(&file, path, error);
    if (written) {
        if (json_dumpf(object, file.stream, JSON_INDENT(2)) != 0)
            written = bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be written as JSON", path);
        written = written && bfm_atomic_file_write(&file, "\n", 1, error) && bfm_atomic_file_commit(&file, error);
    }
    bfm_atomic_file_discard(&file);
    return written;
}

json_t *bfm_json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

bool bfm_json_get_int(const json_t *object, const char *path, const char *key, int64_t low, int64_t high, int64_t *value, BfmError *error)
{
    const json_t *item = json_object_get(object, key);
    if (!json_is_integer(item))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: \"%s\" is %s; expected a whole number", path, key, item ? "no whole number" : "missing");
    int64_t found = json_integer_value(item);
    if (found < low || found > high)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: \"%s\" is %" PRId64 "; expected %" PRId64 " to %" PRId64, path, key, found, low, high);
    *value = found;
    return true;
}

bool bfm_json_get_string(const json_t *object, const char *path, const char *key, const char **value, BfmError *error)
{
    const json_t *item = json_object_get(object, key);
    *value = json_string_value(item);
    return *value || bfm_error_set(error, BFM_ERROR_INPUT, "%s: \"%s\" is %s; expected a string", path, key, item ? "no string" : "missing");
}

bool bfm_json_get_hash(const json_t *object, const char *path, const char *key, uint64_t *value, BfmError *error)
{
    const char *text;
    if (!bfm_json_get_string(object, path, key, &text, error))
        return false;
    if (strlen(text) != BFM_HASH_TEXT - 1 || strspn(text, "0123456789abcdef") != BFM_HASH_TEXT - 1)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: \"%s\" is \"%.40s\"; expected 16 hexadecimal digits", path, key, text);
    *value = strtoull(text, NULL, 16);
    return true;
}

void bfm_hash_text(uint64_t hash, char text[BFM_HASH_TEXT]) { (void)snprintf(text, BFM_HASH_TEXT, "%016" PRIx64, hash); }
