/* Texts cut into documents: the units that a split keeps together. */
#ifndef BFM_DATA_DOCUMENTS_H
#define BFM_DATA_DOCUMENTS_H

#include "bfm/error.h"
#include "file/file.h"
#include "tokenizer/buffers.h"

#include <stdint.h>

enum { BFM_CHUNK_BYTES = 8192 }; /* a text without documents of its own is cut at the first blank line after so many bytes */

typedef struct BfmDocuments {
    BfmMappedFile *files;  /* [file_count], what the texts point into */
    uint64_t *file_hashes; /* [file_count] XXH3 of each file */
    int64_t file_count;
    BfmText *texts; /* [count], in order of file and place; none empty */
    int64_t count, capacity;
    int64_t bytes;    /* of all texts */
    const char *rule; /* how they were cut: "separator", "files", "chunks" */
} BfmDocuments;

/* `separator` != NULL: documents lie between its occurrences. Else a file is a document, where there are enough files for a part of
 * `smallest_share` (0 < share <= 1) of them to hold one. Else every file is cut into chunks at blank lines (at line ends where there are
 * none), of BFM_CHUNK_BYTES, or of a quarter of the smallest part where that is less: a short text still holds out from several places. INPUT: an unreadable file, no text at all, an empty separator. */
bool bfm_documents_open(BfmDocuments *documents, const char *const *paths, int64_t path_count, const char *separator, double smallest_share, BfmError *error);
void bfm_documents_close(BfmDocuments *documents);

#endif
