/* Trained models: the folder of a run, or one of its checkpoints, evaluated on text and made to write some. */
#ifndef BFM_RUN_H
#define BFM_RUN_H

#include <bfm/data.h>
#include <bfm/tree.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmRun BfmRun;

/* RUN or RUN/ckpt/STEP. Nothing is read before it is used; the context must outlive the run. */
BFM_API BfmRun *bfm_run_new(const BfmContext *context, const char *path);
/* NULL is allowed. */
BFM_API void bfm_run_free(BfmRun *run);
/* Whose diagnostics are those of the run's model.bfm. */
BFM_API const BfmModule *bfm_run_module(const BfmRun *run);

/* ---- evaluation ---- */

typedef enum { BFM_LEAK_NONE, BFM_LEAK_POSSIBLE, BFM_LEAK_SHOWN } BfmLeak;

typedef struct BfmEvaluation {
    int64_t tokens;       /* targets that the loss counted */
    int64_t documents;    /* that they are of */
    double bytes;         /* of source text that they stand for */
    double nats;          /* cross-entropy, nats per target */
    double interval;      /* half of the 95 % interval of nats, documents being the sample; NaN with fewer than two, or where the loss is no mean over targets */
    double perplexity;    /* exp(nats) */
    double bits_per_byte; /* NaN where the targets stand for no bytes */
    BfmLeak leak;         /* the model sees what it predicts, or may: the figures then say nothing */
} BfmEvaluation;
/* As `bfmc eval --json` has it. To be freed with bfm_text_free. */
BFM_API char *bfm_evaluation_json(const BfmEvaluation *evaluation);

typedef struct BfmEvaluateOptions {
    const char *engine; /* "jit" or "interp"; NULL: jit */
    int threads;        /* 0: one per CPU */
    BfmDataPart part;
    int64_t tokens; /* the first targets of the part; 0: all */
} BfmEvaluateOptions;
/* The loss on a part of a data folder, which must have been packed with the tokenizer of the run. *step: of the checkpoint. False: INPUT or ENVIRONMENT; error->message is empty
   where the diagnostics say why. */
BFM_API bool bfm_evaluate(BfmRun *run, const char *data, const BfmEvaluateOptions *options, BfmEvaluation *evaluation, int64_t *step, BfmError *error);

/* ---- text ---- */

typedef struct BfmGenerateOptions {
    const char *prompt; /* bytes; NULL or "": a text begins */
    size_t prompt_length;
    int64_t tokens;     /* to write */
    double temperature; /* 0: always the likeliest token */
    double top_p;       /* draw from the fewest tokens whose probabilities add up to this; 1: from all */
    uint64_t seed;
    int threads; /* 0: one per CPU */
    bool verify; /* compare every logit with the forward pass, bit for bit */
    /* Callbacks may be NULL. ready: compiled, the prompt is read. write: the prompt, then pieces of valid UTF-8 as they come; false with an error ends the text. stop: asked before
       each token. */
    void (*ready)(void *user);
    bool (*write)(void *user, const char *text, size_t length, BfmError *error);
    bool (*stop)(void *user);
    void *user;
} BfmGenerateOptions;

typedef struct BfmGenerated {
    int64_t tokens;      /* written; fewer than wanted where `stop` ended the text */
    bool verified;       /* compared */
    int64_t differences; /* logits that differ in a bit from the forward pass */
} BfmGenerated;

/* The report: text says what was verified (NULL: nothing was); JSON has prompt, text, times. To be freed with bfm_report_free. The same seed writes the same text. */
BFM_API bool bfm_generate(BfmRun *run, const BfmGenerateOptions *options, BfmGenerated *generated, BfmReport *report, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
