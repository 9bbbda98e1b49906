/* The door to SentencePiece, whose library speaks C++ only: a plug-in (plugin/sentencepiece.cc) that is loaded when a model asks for it,
 * so that nothing else links C++. All functions return false and fill `reason` when SentencePiece refuses. */
#ifndef BFM_TOKENIZER_SENTENCEPIECE_PLUGIN_H
#define BFM_TOKENIZER_SENTENCEPIECE_PLUGIN_H

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SENTENCEPIECE_PLUGIN_VERSION = 2, SENTENCEPIECE_REASON = 512 };

#define SENTENCEPIECE_NO_MEMORY "out of memory" /* a reason that is not the input's */

/* Called with a result that lives only during the call; false stops. */
typedef bool (*SentencepieceSink)(void *context, const void *data, size_t bytes);
/* The next training text, false at the end. */
typedef bool (*SentencepieceSource)(void *context, const char **text, size_t *bytes);

typedef enum { SENTENCEPIECE_TEXT, SENTENCEPIECE_BYTE, SENTENCEPIECE_CONTROL, SENTENCEPIECE_UNKNOWN } SentencepieceType;
typedef struct SentencepiecePiece {
    const char *text; /* as long as the processor; U+2581 for a space, "<0x41>" for a byte */
    size_t bytes;
    SentencepieceType type;
} SentencepiecePiece;

typedef struct SentencepiecePlugin {
    int version;
    bool (*open)(const void *model, size_t bytes, void **processor, int64_t *vocab, char reason[SENTENCEPIECE_REASON]);
    void (*close)(void *processor);
    bool (*encode)(const void *processor, const char *text, size_t bytes, SentencepieceSink sink, void *context, char reason[SENTENCEPIECE_REASON]); /* int32 ids */
    bool (*decode)(const void *processor, const int32_t *ids, size_t count, SentencepieceSink sink, void *context, char reason[SENTENCEPIECE_REASON]);
    SentencepiecePiece (*piece)(const void *processor, int32_t id);
    void (*ends)(const void *processor, int32_t *begin, int32_t *end); /* ids of <s> and </s>, -1 where the model has none */
    /* A model of `vocab` pieces, or of fewer where the texts give no more. */
    bool (*train)(int64_t vocab, SentencepieceSource source, void *source_context, SentencepieceSink sink, void *context, char reason[SENTENCEPIECE_REASON]);
    bool (*sizes)(const void *processor, int32_t *sizes, char reason[SENTENCEPIECE_REASON]); /* [vocab]: bytes of text of each id; -1: unknown */
} SentencepiecePlugin;

#define SENTENCEPIECE_PLUGIN_SYMBOL "bfm_sentencepiece_plugin"
#define SENTENCEPIECE_PLUGIN_FILE   "libbfm_sentencepiece.so"

#ifdef __cplusplus
}
#endif

#endif
