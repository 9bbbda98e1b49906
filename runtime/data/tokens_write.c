#include "file/atomic_file.h"
#include "data/tokens.h"
#include "data/tokens_format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { BLOCK_IDS = 1 << 14 };

struct BfmTokensWriter {
    BfmAtomicFile file;
    XXH3_state_t *hash;
    TokensHeader header;
    uint64_t *starts; /* [documents + 1]: first id of each document, then the count */
    size_t capacity;
};

static bool exhausted(const char *path, BfmError *error) { return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory while writing", path); }

BfmTokensWriter *bfm_tokens_writer_new(const char *path, int64_t vocab, uint64_t tokenizer_hash, BfmError *error)
{
    if (vocab < 1 || vocab > INT32_MAX) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: a vocabulary of %" PRId64 " ids cannot be written; expected 1 to %d", path, vocab, INT32_MAX);
        return NULL;
    }
    BfmTokensWriter *writer = calloc(1, sizeof *writer);
    if (!writer) {
        (void)exhausted(path, error);
        return NULL;
    }
    writer->header = (TokensHeader){.version = TOKENS_VERSION, .vocab = (uint64_t)vocab, .tokenizer_hash = tokenizer_hash};
    memcpy(writer->header.magic, TOKENS_MAGIC, sizeof writer->header.magic);
    writer->header.id_bytes = vocab <= TOKENS_NARROW_VOCAB ? 2 : 4;
    writer->capacity = 64;
    writer->starts = calloc(writer->capacity, sizeof *writer->starts);
    writer->hash = XXH3_createState();
    bool ready = (writer->starts && writer->hash && XXH3_64bits_reset(writer->hash) == XXH_OK) || exhausted(path, error);
    if (ready && bfm_atomic_file_open(&writer->file, path, error) &&
        bfm_atomic_file_write(&writer->file, &writer->header, sizeof writer->header, error)) /* its place; filled in by finish */
        return writer;
    bfm_tokens_writer_free(writer);
    return NULL;
}

void bfm_tokens_writer_free(BfmTokensWriter *writer)
{
    if (!writer)
        return;
    bfm_atomic_file_discard(&writer->file);
    (void)XXH3_freeState(writer->hash);
    free(writer->starts);
    free(writer);
}

static bool emit(BfmTokensWriter *writer, const void *data, size_t bytes, BfmError *error)
{
    return bytes == 0 ||
           (bfm_atomic_file_write(&writer->file, data, bytes, error) && (XXH3_64bits_update(writer->hash, data, bytes) == XXH_OK || exhausted(writer->file.path, error)));
}

static bool emit_ids(BfmTokensWriter *writer, const int32_t *ids, int64_t count, BfmError *error)
{
    uint16_t narrow[BLOCK_IDS];
    if (writer->header.id_bytes == sizeof *ids)
        return emit(writer, ids, (size_t)count * sizeof *ids, error);
    for (int64_t done = 0; done < count; done += BLOCK_IDS) {
        size_t block = (size_t)(count - done < BLOCK_IDS ? count - done : BLOCK_IDS);
        for (size_t i = 0; i < block; i++)
            narrow[i] = (uint16_t)ids[done + (int64_t)i];
        if (!emit(writer, narrow, block * sizeof *narrow, error))
            return false;
    }
    return true;
}

bool bfm_tokens_writer_document(BfmTokensWriter *writer, const int32_t *ids, int64_t count, int64_t source_bytes, BfmError *error)
{
    TokensHeader *header = &writer->header;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || (uint64_t)ids[i] >= header->vocab)
            return bfm_error_set(error, BFM_ERROR_BUG, "%s: id %" PRId32 " is outside the vocabulary of %" PRIu64, writer->file.path, ids[i], header->vocab);
    if (header->documents + 2 > writer->capacity) {
        uint64_t *grown = realloc(writer->starts, 2 * writer->capacity * sizeof *grown);
        if (!grown)
            return exhausted(writer->file.path, error);
        writer->starts = grown;
        writer->capacity *= 2;
    }
    if (!emit_ids(writer, ids, count, error))
        return false;
    header->count += (uint64_t)count;
    header->source_bytes += (uint64_t)source_bytes;
    writer->starts[++header->documents] = header->count;
    return true;
}

bool bfm_tokens_writer_finish(BfmTokensWriter *writer, BfmTokensInfo *info, BfmError *error)
{
    TokensHeader *header = &writer->header;
    static const char ZEROS[TOKENS_ALIGNMENT] = {0};
    uint64_t id_end = TOKENS_HEADER_BYTES + header->count * header->id_bytes;
    size_t padding = (size_t)((TOKENS_ALIGNMENT - id_end % TOKENS_ALIGNMENT) % TOKENS_ALIGNMENT);
    size_t table_bytes = (size_t)(header->documents + 1) * sizeof *writer->starts;
    if (!emit(writer, ZEROS, padding, error) || !emit(writer, writer->starts, table_bytes, error))
        return false;
    header->table = id_end + padding;
    header->file_bytes = header->table + table_bytes;
    header->hash = XXH3_64bits_digest(writer->hash);
    header->header_hash = XXH3_64bits(header, TOKENS_HASHED_BYTES);
    if (info)
        *info = (BfmTokensInfo){(int64_t)header->vocab, (int64_t)header->count, (int64_t)header->documents, (int64_t)header->source_bytes, header->tokenizer_hash, header->hash};
    return bfm_atomic_file_write_at(&writer->file, 0, header, sizeof *header, error) && bfm_atomic_file_commit(&writer->file, error);
}
