/* What every public header of libbfm shares. */
#ifndef BFM_API_H
#define BFM_API_H

#include <bfm/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the library exports. */
#define BFM_API __attribute__((visibility("default")))

typedef struct BfmContext BfmContext;
typedef struct BfmModule BfmModule;

/* Frees a text that a function of this library returned. NULL is allowed. */
BFM_API void bfm_text_free(char *text);

/* A report: for people, and for programs. Either may be NULL where a function says so. */
typedef struct BfmReport {
    char *text;         /* lines; samples of texts may have any bytes, NUL among them */
    size_t text_length; /* bytes */
    char *json;         /* an object; UTF-8 */
} BfmReport;
/* Frees both texts and sets them to NULL. */
BFM_API void bfm_report_free(BfmReport *report);

/* Distance of two names in edits (insertions, deletions, changes of a letter), for suggestions. */
BFM_API int bfm_name_distance(const char *a, const char *b);
/* NULL where the text is a budget of a training ("30m", "2000step", "50Mtok", "2e15flop"); else what was expected. Belongs to the library. */
BFM_API const char *bfm_budget_wrong(const char *text);
/* Writes a file beside its place, syncs and renames it: there is always the old content or the new. ENVIRONMENT. */
BFM_API bool bfm_file_write(const char *path, const char *text, size_t length, BfmError *error);
/* The same of a folder: makes it and those above it that are missing. ENVIRONMENT. */
BFM_API bool bfm_folder_make(const char *path, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
