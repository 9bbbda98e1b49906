/* What a kind of tokenizer provides. A new kind is a row in tokenizers.def and a file with these functions. */
#ifndef BFM_TOKENIZER_KINDS_H
#define BFM_TOKENIZER_KINDS_H

#include "tokenizer/buffers.h"

typedef struct TokenizerKind {
    const char *name;
    /* `model` (empty for kinds without one) is borrowed for the call. Sets *vocab; *handle is the kind's own state, may stay NULL. */
    bool (*open)(BfmText model, void **handle, int64_t *vocab, BfmError *error);
    void (*close)(void *handle);
    bool (*encode)(void *handle, BfmText text, BfmIds *ids, BfmError *error); /* appends */
    /* Appends the bytes; ids are checked < vocab. `*begun`: the text had bytes before; set once it has. */
    bool (*decode)(void *handle, const int32_t *ids, int64_t count, bool *begun, BfmBytes *text, BfmError *error);
    bool (*sizes)(void *handle, int32_t *sizes, BfmError *error); /* [vocab], as bfm_tokenizer_sizes */
    bool (*begin)(void *handle, BfmIds *ids, BfmError *error);    /* appends what a text without words begins with */
    /* Learns a model of `vocab` ids from texts; NULL when the kind learns nothing. */
    bool (*train)(const BfmText *texts, int64_t count, int64_t vocab, BfmBytes *model, BfmError *error);
} TokenizerKind;

#define BFM_TOKENIZER(constant, name, prefix) extern const TokenizerKind bfm_tokenizer_##prefix;
#include "tokenizer/tokenizers.def"
#undef BFM_TOKENIZER

#endif
