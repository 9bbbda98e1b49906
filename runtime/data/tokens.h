/* Token files: a header, the ids of all documents one after another, and where each document begins. Little endian.
 *
 *   byte   0  magic "BFMTOK\r\n" (a transfer that rewrites line ends damages it visibly)
 *          8  u32 version (1)            12  u32 bytes of one id: 2 (vocab <= 65536) or 4
 *         16  u64 vocab                  24  u64 ids          32  u64 documents
 *         40  u64 bytes of source text (what bits per byte are counted against)
 *         48  u64 hash of the tokenizer  56  u64 XXH3 of everything after the header
 *         64  u64 first byte of the document table            72  u64 bytes of the file
 *         80  zeros                     120  u64 XXH3 of the first 120 bytes
 *        128  the ids, zero bytes up to a multiple of 8, then u64 first id of each document and, last, the number of ids
 */
#ifndef BFM_DATA_TOKENS_H
#define BFM_DATA_TOKENS_H

#include "bfm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct BfmTokensInfo {
    int64_t vocab; /* ids lie in [0, vocab); 1 to 2^31 - 1 */
    int64_t count; /* ids */
    int64_t documents;
    int64_t source_bytes;    /* bytes of the text the ids stand for */
    uint64_t tokenizer_hash; /* bfm_tokenizer_hash of what made them */
    uint64_t hash;           /* of ids and document table: the identity of the content */
} BfmTokensInfo;

/* -- writing: documents one after another; the file appears on finish -- */
typedef struct BfmTokensWriter BfmTokensWriter;

BfmTokensWriter *bfm_tokens_writer_new(const char *path, int64_t vocab, uint64_t tokenizer_hash, BfmError *error);
void bfm_tokens_writer_free(BfmTokensWriter *writer); /* unfinished: nothing is left behind; NULL is fine */
bool bfm_tokens_writer_document(BfmTokensWriter *writer, const int32_t *ids, int64_t count, int64_t source_bytes, BfmError *error);
bool bfm_tokens_writer_finish(BfmTokensWriter *writer, BfmTokensInfo *info, BfmError *error); /* `info` may be NULL */

/* -- reading -- */
typedef struct BfmTokens BfmTokens;

/* Maps the file and reads it through once: hash, every id < vocab, ascending document table. NULL (INPUT) names what is wrong. */
BfmTokens *bfm_tokens_open(const char *path, BfmError *error);
void bfm_tokens_close(BfmTokens *tokens); /* NULL is fine */

const BfmTokensInfo *bfm_tokens_info(const BfmTokens *tokens);
const char *bfm_tokens_path(const BfmTokens *tokens);
/* ids [start, start + count) as int32; the caller keeps the range inside [0, info.count]. Safe from several threads. */
void bfm_tokens_copy(const BfmTokens *tokens, int64_t start, int64_t count, int32_t *out);
void bfm_tokens_document(const BfmTokens *tokens, int64_t document, int64_t *start, int64_t *end); /* in ids; document < info.documents */
int64_t bfm_tokens_document_at(const BfmTokens *tokens, int64_t position);                         /* the document that holds an id */

#endif
