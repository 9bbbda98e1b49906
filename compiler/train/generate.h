/* Text from a trained model: its derived decoder, compiled, fed token by token, and held against the forward program. */
#ifndef BFM_TRAIN_GENERATE_H
#define BFM_TRAIN_GENERATE_H

#include "codegen/compile.h"
#include "train/trained.h"
#include "generate/decoder.h"

typedef struct Generator {
    const BfmContext *context;
    Trained trained;
    Unit *forward;   /* all positions at once */
    Program *decode; /* derived from it */
    Jit *jit;
    BfmPool *pool;
    BfmDecoder *decoder;   /* one row of `length` positions */
    int64_t vocab, length; /* length: the model's context */
    const float *logits;   /* [vocab] of the last position fed */
    /* The window: what the decoder has been fed since it last forgot. */
    int32_t *window; /* [length] */
    int64_t known;   /* positions of it */
    float *compared; /* [length, vocab] logits of the window, only if they are to be verified */
    int64_t windows; /* how many there were, this one included */
} Generator;

/* Opens RUN or RUN/ckpt/STEP and derives, checks and compiles its decoder, to run on so many threads (0: one per CPU). generator_close in any case. */
bool generator_open(const BfmContext *context, const char *argument, bool verify, int threads, Generator *generator, BfmError *error);
void generator_close(Generator *generator);

/* Continues the window by tokens [count], which must fit: INPUT otherwise. */
bool generator_feed(Generator *generator, const int32_t *tokens, int64_t count, BfmError *error);
bool generator_is_full(const Generator *generator);
/* Begins again with the last half of the window, so that any number may follow. */
bool generator_slide(Generator *generator, BfmError *error);

/* What a comparison of the window with the forward program found. */
typedef struct Verification {
    int64_t positions;       /* compared, all windows together */
    int64_t differences;     /* logits that differ in a bit */
    int64_t position, token; /* the first */
    float decoded, computed;
    double largest; /* difference */
} Verification;
/* Adds the window, all positions of it at once at the length of the context. */
bool generator_verify(Generator *generator, Verification *verification, BfmError *error);

#endif
