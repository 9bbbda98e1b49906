/* The loss of a model on a part of a dataset. */
#ifndef BFM_DRIVER_EVALUATE_H
#define BFM_DRIVER_EVALUATE_H

#include "data/dataset.h"
#include "driver/runner.h"

#include <jansson.h>

typedef struct Evaluation {
    int64_t tokens;  /* targets counted */
    double nats;     /* cross-entropy, nats per token */
    double interval; /* half of the 95 % interval of nats, from the spread over batches; NaN with fewer than two */
    double perplexity;
    double bits_per_byte; /* NaN where the bytes are not known */
    bool leaky;           /* the model sees what it predicts: the figures say nothing */
} Evaluation;

/* Whether a program for evaluation sees the tokens it should predict; asked before its result is dropped. */
bool evaluate_is_leaky(Arena *arena, const Lowered *lowered);
/* Reads the part in order, windows of `length` tokens, `batch` at a time, at most `most_tokens` (0: all). The runner's program is one for evaluation, bound to
   (batch, length) here. */
bool evaluate_part(Runner *runner, const BfmTokens *tokens, int64_t batch, int64_t length, int64_t most_tokens, uint64_t seed, Evaluation *evaluation, BfmError *error);
json_t *evaluation_json(const Evaluation *evaluation);

#endif
