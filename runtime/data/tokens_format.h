/* The header of a token file as it lies on disk (tokens.h has the table); shared by writer and reader. */
#ifndef BFM_DATA_TOKENS_FORMAT_H
#define BFM_DATA_TOKENS_FORMAT_H

#include <stdint.h>

enum { TOKENS_VERSION = 1, TOKENS_HEADER_BYTES = 128, TOKENS_HASHED_BYTES = 120, TOKENS_NARROW_VOCAB = 65536, TOKENS_ALIGNMENT = 8 };

typedef struct TokensHeader {
    char magic[8];
    uint32_t version, id_bytes;
    uint64_t vocab, count, documents, source_bytes, tokenizer_hash, hash, table, file_bytes;
    uint64_t zeros[5];
    uint64_t header_hash;
} TokensHeader;

_Static_assert(sizeof(TokensHeader) == TOKENS_HEADER_BYTES, "the layout on disk is the layout in memory");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "token files are little endian and read in place");

#define TOKENS_MAGIC "BFMTOK\r\n"

#endif
