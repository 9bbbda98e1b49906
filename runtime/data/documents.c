#define _GNU_SOURCE
#include "data/documents.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CHUNKS_OF_A_PART = 4, PATIENCE = 4 }; /* in the smallest part; how many times too long a chunk may get while waiting for a blank line */

static bool add(BfmDocuments *documents, const char *data, size_t bytes, BfmError *error)
{
    if (bytes == 0)
        return true;
    if (documents->count == documents->capacity) {
        int64_t capacity = documents->capacity ? 2 * documents->capacity : 64;
        BfmText *grown = realloc(documents->texts, (size_t)capacity * sizeof *grown);
        if (!grown)
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the list of documents");
        documents->texts = grown;
        documents->capacity = capacity;
    }
    documents->texts[documents->count++] = (BfmText){data, bytes};
    documents->bytes += (int64_t)bytes;
    return true;
}

static bool cut_at_separator(BfmDocuments *documents, BfmText text, const char *separator, BfmError *error)
{
    size_t length = strlen(separator);
    for (;;) {
        const char *found = memmem(text.data, text.bytes, separator, length);
        size_t bytes = found ? (size_t)(found - text.data) : text.bytes;
        if (!add(documents, text.data, bytes, error) || !found)
            return !found;
        text.data += bytes + length;
        text.bytes -= bytes + length;
    }
}

/* End of the blank line that follows `from`, all blank lines in a row included; `limit` when there is none before it. */
static size_t after_blank_line(BfmText text, size_t from, size_t limit)
{
    bool blank = false, found = false;
    for (size_t i = from; i < limit; i++) {
        char c = text.data[i];
        if (c == '\n') {
            found = found || blank;
            blank = true;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            if (found) {
                while (text.data[i - 1] != '\n') /* indentation belongs to the line that follows */
                    i--;
                return i;
            }
            blank = false;
        }
    }
    return limit;
}

static size_t after_line(BfmText text, size_t from, size_t limit)
{
    const char *end = memchr(text.data + from, '\n', limit - from);
    if (end)
        return (size_t)(end - text.data) + 1;
    while (limit < text.bytes && ((unsigned char)text.data[limit] & 0xC0) == 0x80) /* not inside a UTF-8 character */
        limit++;
    return limit;
}

static bool cut_into_chunks(BfmDocuments *documents, BfmText text, size_t chunk, BfmError *error)
{
    for (size_t start = 0; start < text.bytes;) {
        size_t left = text.bytes - start, end = text.bytes;
        if (left >= 2 * chunk) {
            size_t limit = left / PATIENCE > chunk ? start + PATIENCE * chunk : text.bytes;
            end = after_blank_line(text, start + chunk - 1, limit);
            if (end == limit)
                end = after_line(text, start + chunk - 1, start + 2 * chunk - 1);
            if (text.bytes - end < chunk) /* no chunk shorter than the others, so the rest joins this one */
                end = text.bytes;
        }
        if (!add(documents, text.data + start, end - start, error))
            return false;
        start = end;
    }
    return true;
}

static bool open_files(BfmDocuments *documents, const char *const *paths, int64_t count, int64_t *total, BfmError *error)
{
    documents->files = calloc((size_t)count + 1, sizeof *documents->files);
    documents->file_hashes = calloc((size_t)count + 1, sizeof *documents->file_hashes);
    if (!documents->files || !documents->file_hashes)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the list of texts");
    for (; documents->file_count < count; documents->file_count++) {
        BfmMappedFile *file = &documents->files[documents->file_count];
        if (!bfm_mapped_file_open(file, paths[documents->file_count], error))
            return false;
        documents->file_hashes[documents->file_count] = XXH3_64bits(file->data, file->size);
        *total += (int64_t)file->size;
    }
    return *total > 0 || bfm_error_set(error, BFM_ERROR_INPUT, "%s: no text to pack", count ? paths[0] : "no file given");
}

static bool cut(BfmDocuments *documents, const char *separator, double smallest_share, int64_t total, BfmError *error)
{
    bool whole = documents->file_count > 1 && (double)documents->file_count * smallest_share >= 1 - 1e-9;
    double fair = (double)total * smallest_share / CHUNKS_OF_A_PART;
    size_t chunk = fair < BFM_CHUNK_BYTES ? (size_t)fair : (size_t)BFM_CHUNK_BYTES;
    documents->rule = separator ? "separator" : whole ? "files" : "chunks";
    for (int64_t i = 0; i < documents->file_count; i++) {
        BfmText text = {(const char *)documents->files[i].data, documents->files[i].size};
        bool done = separator ? cut_at_separator(documents, text, separator, error)
                    : whole   ? add(documents, text.data, text.bytes, error)
                              : cut_into_chunks(documents, text, chunk > 0 ? chunk : 1, error);
        if (!done)
            return false;
    }
    return documents->count > 0 || bfm_error_set(error, BFM_ERROR_INPUT, "the texts hold nothing but separators");
}

bool bfm_documents_open(BfmDocuments *documents, const char *const *paths, int64_t path_count, const char *separator, double smallest_share, BfmError *error)
{
    *documents = (BfmDocuments){0};
    if (separator && !*separator)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the document separator is empty; leave it out to let the files decide");
    int64_t total = 0;
    if (open_files(documents, paths, path_count, &total, error) && cut(documents, separator, smallest_share, total, error))
        return true;
    bfm_documents_close(documents);
    return false;
}

void bfm_documents_close(BfmDocuments *documents)
{
    for (int64_t i = 0; i < documents->file_count; i++)
        bfm_mapped_file_close(&documents->files[i]);
    free(documents->files);
    free(documents->file_hashes);
    free(documents->texts);
    *documents = (BfmDocuments){0};
}
