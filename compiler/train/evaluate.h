/* The loss of a model on a part of a dataset. */
#ifndef BFM_TRAIN_EVALUATE_H
#define BFM_TRAIN_EVALUATE_H

#include "data/dataset.h"
#include "run/model.h"
#include "run/runner.h"
#include "lower/verdict.h"

#include <jansson.h>

/* What is evaluated: the first targets of a part. Every id of a part but its first is a target. */
typedef struct EvalText {
    const BfmTokens *tokens; /* borrowed */
    int64_t targets;
    double *sizes; /* [vocab of the part]: bytes of the source text that an id stands for */
} EvalText;

typedef struct Evaluation {
    int64_t tokens;    /* targets that the loss counted */
    int64_t documents; /* that they are of */
    double bytes;      /* of source text that they stand for */
    double nats;       /* cross-entropy, nats per target */
    double interval;   /* half of the 95 % interval of nats, documents being the sample; NaN with fewer than two, or where the loss is no mean over targets */
    double perplexity;
    double bits_per_byte; /* of these targets over these bytes; NaN where they stand for none */
    Leak leak;            /* the model sees what it predicts, or may: the figures then say nothing */
    const char *bad;      /* where the first number that is not finite comes from, NULL: all figures are finite */
} Evaluation;

/* Whether a program for evaluation sees the tokens it should predict; asked before its result is dropped. */
Leak evaluate_leak(Arena *arena, const Lowered *lowered);
/* The first `most` targets of a part, all of them where `most` is 0 or there are fewer. INPUT: it has none. */
bool evaluate_text(Arena *arena, const BfmDataset *data, BfmPart part, int64_t most, EvalText *text, BfmError *error);
/* Reads the text in order, windows of `length` tokens, `batch` at a time. The runner's program is one of order_evaluation, bound to (batch, length) here.
   Stops early, with evaluation->bad, at a loss that is not finite. */
bool evaluate_part(const BfmContext *context, Runner *runner, const EvalText *text, int64_t batch, int64_t length, RunKey key, Evaluation *evaluation, BfmError *error);
json_t *evaluation_json(const Evaluation *evaluation);

#endif
