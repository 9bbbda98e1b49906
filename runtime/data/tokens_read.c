#include "file/file.h"
#include "data/tokens.h"
#include "data/tokens_format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { BLOCK_BYTES = 1 << 20 }; /* hashed and checked while it is in the cache */

struct BfmTokens {
    BfmMappedFile file;
    char *path;
    BfmTokensInfo info;
    uint32_t id_bytes;
    const unsigned char *ids; /* [count], 2 or 4 bytes each */
    const uint64_t *starts;   /* [documents + 1] */
};

static bool check_header(const BfmTokens *tokens, const TokensHeader *header, BfmError *error)
{
    if (memcmp(header->magic, TOKENS_MAGIC, sizeof header->magic) != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: no token file; make one with bfmc data pack", tokens->path);
    if (header->version != TOKENS_VERSION)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: token file version %" PRIu32 "; this bfmc reads version %d; pack the text again", tokens->path, header->version,
                             TOKENS_VERSION);
    if (header->header_hash != XXH3_64bits(header, TOKENS_HASHED_BYTES))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the header is damaged (its hash does not agree); copy or pack the file again", tokens->path);
    if (header->file_bytes != tokens->file.size)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: truncated or extended: expected %" PRIu64 " bytes, found %zu; copy or pack the file again", tokens->path,
                             header->file_bytes, tokens->file.size);
    if (header->vocab < 1 || header->vocab > INT32_MAX || header->id_bytes != (header->vocab <= TOKENS_NARROW_VOCAB ? 2 : 4))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: a vocabulary of %" PRIu64 " with ids of %" PRIu32 " bytes makes no sense", tokens->path, header->vocab, header->id_bytes);
    return true;
}

/* The counts must account for every byte of the file; all sums are checked, the counts being whatever the file says. */
static bool check_extent(const BfmTokens *tokens, const TokensHeader *header, BfmError *error)
{
    uint64_t size = tokens->file.size, room = size - TOKENS_HEADER_BYTES;
    bool fits = header->count <= room / header->id_bytes && header->documents < room / sizeof(uint64_t) && header->source_bytes <= INT64_MAX;
    if (fits) {
        uint64_t end = TOKENS_HEADER_BYTES + header->count * header->id_bytes;
        uint64_t table = (end + TOKENS_ALIGNMENT - 1) / TOKENS_ALIGNMENT * TOKENS_ALIGNMENT;
        fits = header->table == table && table + (header->documents + 1) * sizeof(uint64_t) == size;
    }
    return fits || bfm_error_set(error, BFM_ERROR_INPUT, "%s: %" PRIu64 " id%s in %" PRIu64 " document%s do not fit a file of %" PRIu64 " bytes", tokens->path, header->count,
                                 bfm_plural((long long)header->count), header->documents, bfm_plural((long long)header->documents), size);
}

/* Index of the first id >= vocab in a block, or count. The maximum first: that loop runs at the speed of memory. */
static size_t first_bad(const unsigned char *block, size_t count, uint32_t id_bytes, uint64_t vocab)
{
    uint32_t highest = 0;
    if (id_bytes == 2)
        for (size_t i = 0; i < count; i++)
            highest = ((const uint16_t *)(const void *)block)[i] > highest ? ((const uint16_t *)(const void *)block)[i] : highest;
    else
        for (size_t i = 0; i < count; i++)
            highest = ((const uint32_t *)(const void *)block)[i] > highest ? ((const uint32_t *)(const void *)block)[i] : highest;
    if (highest < vocab)
        return count;
    size_t i = 0;
    while ((id_bytes == 2 ? ((const uint16_t *)(const void *)block)[i] : ((const uint32_t *)(const void *)block)[i]) < vocab)
        i++;
    return i;
}

static bool check_ids(const BfmTokens *tokens, const TokensHeader *header, XXH3_state_t *hash, BfmError *error)
{
    size_t total = (size_t)header->count * header->id_bytes;
    for (size_t done = 0; done < total; done += BLOCK_BYTES) {
        size_t bytes = total - done < BLOCK_BYTES ? total - done : BLOCK_BYTES, count = bytes / header->id_bytes;
        size_t bad = first_bad(tokens->ids + done, count, header->id_bytes, header->vocab);
        if (bad < count)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s: id number %zu is outside the vocabulary of %" PRIu64 "; the file is damaged: pack the text again", tokens->path,
                                 done / header->id_bytes + bad, header->vocab);
        (void)XXH3_64bits_update(hash, tokens->ids + done, bytes);
    }
    (void)XXH3_64bits_update(hash, tokens->ids + total, tokens->file.size - TOKENS_HEADER_BYTES - total);
    return XXH3_64bits_digest(hash) == header->hash ||
           bfm_error_set(error, BFM_ERROR_INPUT, "%s: the content is damaged (its hash does not agree); copy the file or pack the text again", tokens->path);
}

static bool check_content(const BfmTokens *tokens, const TokensHeader *header, BfmError *error)
{
    XXH3_state_t *hash = XXH3_createState();
    if (!hash || XXH3_64bits_reset(hash) != XXH_OK) {
        (void)XXH3_freeState(hash);
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", tokens->path);
    }
    bool sound = check_ids(tokens, header, hash, error);
    (void)XXH3_freeState(hash);
    for (uint64_t i = 0; sound && i < header->documents; i++)
        sound = tokens->starts[i] <= tokens->starts[i + 1] ||
                bfm_error_set(error, BFM_ERROR_INPUT, "%s: document %" PRIu64 " ends before it begins; pack the text again", tokens->path, i);
    if (sound && (tokens->starts[0] != 0 || tokens->starts[header->documents] != header->count))
        sound = bfm_error_set(error, BFM_ERROR_INPUT, "%s: the documents do not cover the ids; pack the text again", tokens->path);
    return sound;
}

static bool load(BfmTokens *tokens, BfmError *error)
{
    TokensHeader header;
    if (tokens->file.size < sizeof header)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: no token file: expected at least %zu bytes, found %zu; make one with bfmc data pack", tokens->path, sizeof header,
                             tokens->file.size);
    memcpy(&header, tokens->file.data, sizeof header);
    if (!check_header(tokens, &header, error) || !check_extent(tokens, &header, error))
        return false;
    tokens->id_bytes = header.id_bytes;
    tokens->ids = tokens->file.data + TOKENS_HEADER_BYTES;
    tokens->starts = (const uint64_t *)(const void *)(tokens->file.data + header.table);
    tokens->info = (BfmTokensInfo){(int64_t)header.vocab, (int64_t)header.count, (int64_t)header.documents, (int64_t)header.source_bytes, header.tokenizer_hash, header.hash};
    return check_content(tokens, &header, error);
}

BfmTokens *bfm_tokens_open(const char *path, BfmError *error)
{
    BfmTokens *tokens = calloc(1, sizeof *tokens);
    char *copy = strdup(path);
    if (!tokens || !copy) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path);
        free(tokens);
        free(copy);
        return NULL;
    }
    tokens->path = copy;
    if (bfm_mapped_file_open(&tokens->file, path, error) && load(tokens, error))
        return tokens;
    bfm_tokens_close(tokens);
    return NULL;
}

void bfm_tokens_close(BfmTokens *tokens)
{
    if (!tokens)
        return;
    bfm_mapped_file_close(&tokens->file);
    free(tokens->path);
    free(tokens);
}

const BfmTokensInfo *bfm_tokens_info(const BfmTokens *tokens) { return &tokens->info; }

const char *bfm_tokens_path(const BfmTokens *tokens) { return tokens->path; }

void bfm_tokens_copy(const BfmTokens *tokens, int64_t start, int64_t count, int32_t *out)
{
    const unsigned char *ids = tokens->ids + (size_t)start * tokens->id_bytes;
    if (tokens->id_bytes == sizeof *out)
        memcpy(out, ids, (size_t)count * sizeof *out);
    else
        for (int64_t i = 0; i < count; i++)
            out[i] = ((const uint16_t *)(const void *)ids)[i];
}

void bfm_tokens_document(const BfmTokens *tokens, int64_t document, int64_t *start, int64_t *end)
{
    *start = (int64_t)tokens->starts[document];
    *end = (int64_t)tokens->starts[document + 1];
}

int64_t bfm_tokens_document_at(const BfmTokens *tokens, int64_t position)
{
    int64_t low = 0, high = tokens->info.documents; /* the last document that starts at or before `position` */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if ((int64_t)tokens->starts[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}
