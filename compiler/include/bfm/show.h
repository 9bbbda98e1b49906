/* Pictures of models, and the stages of their compilation as text; the search for a pass at fault. */
#ifndef BFM_SHOW_H
#define BFM_SHOW_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    BFM_STAGE_PICTURE,  /* for a terminal; a model, block or layer */
    BFM_STAGE_SVG,      /* the same as a drawing */
    BFM_STAGE_IR,       /* the tensor program of a model, as are all that follow */
    BFM_STAGE_SCHEDULE, /* kernels of a step with its derivative (evaluation: without) */
    BFM_STAGE_LLVM,     /* the functions that they call */
    BFM_STAGE_ASM
} BfmStage;

typedef enum { BFM_MODE_TRAIN, BFM_MODE_EVAL, BFM_MODE_DECODE } BfmMode;

typedef struct BfmShowOptions {
    BfmStage stage;
    BfmMode mode;      /* what a model is lowered for */
    bool gradient;     /* IR: with the derivative of the losses */
    const char *after; /* IR: as this pass left it, on the way to the kernels; NULL: as lowered */
    int columns;       /* PICTURE: of the terminal; 0: 80 */
    bool color;        /* PICTURE */
} BfmShowOptions;

/* `item`: NULL: the only model, else (pictures) the only block. JSON of pictures: what is drawn; NULL otherwise. To be freed with bfm_report_free. False: INPUT or ENVIRONMENT;
   error->message is empty where the diagnostics (check.h) say why. */
BFM_API bool bfm_show(BfmModule *module, const char *item, const BfmShowOptions *options, BfmReport *report, BfmError *error);

typedef struct BfmBisectOptions {
    int64_t batch, length;                                           /* 0: 2, 8 */
    int64_t width;                                                   /* of the stream of a block or layer; 0: what it says itself */
    int threads;                                                     /* 0: one per CPU */
    uint64_t seed;                                                   /* of inputs and draws */
    bool forward;                                                    /* without the derivative */
    double tolerance;                                                /* of a difference, relative to the largest number of the tensor; 0: 1e-3 */
    void (*progress)(void *user, int64_t passes, double difference); /* after each comparison; may be NULL */
    void *user;
} BfmBisectOptions;

typedef enum { BFM_BISECT_AGREE, BFM_BISECT_PASS, BFM_BISECT_OTHER } BfmBisectVerdict;

/* Runs a step of a model, block or layer by the interpreter and compiled, and where they differ looks for the first optional pass that does harm. */
BFM_API bool bfm_bisect(BfmModule *module, const char *item, const BfmBisectOptions *options, BfmBisectVerdict *verdict, BfmReport *report, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
