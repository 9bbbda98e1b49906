/* Which pass makes an engine's values differ from the interpreter's: as many optional passes are carried out as do no harm, found by halving. */
#ifndef BFM_RUN_BISECT_H
#define BFM_RUN_BISECT_H

#include "opt/passes.h"
#include "run/engine.h"
#include "run/order.h"

typedef struct BisectSettings {
    const EngineKind *engine; /* under suspicion; one that is simplified */
    int threads;
    DimEnv env;
    uint64_t seed;    /* of inputs and draws */
    StepOptions step; /* what is run; `plain` is ignored */
    double tolerance; /* of a difference, relative to the largest number of the tensor */
    /* Lowers the subject afresh: passes change programs in place. NULL: it cannot be lowered. */
    Lowered *(*lower)(void *context);
    void *context;
    void (*progress)(void *context, int64_t passes, double difference); /* after each comparison; may be NULL */
} BisectSettings;

typedef enum {
    BISECT_AGREE, /* with all passes */
    BISECT_PASS,  /* `pass` is at fault, or first makes it show */
    BISECT_OTHER  /* they differ without any optional pass: what is required, the schedule or the kernels */
} BisectVerdict;

typedef struct Bisect {
    BisectVerdict verdict;
    double difference;  /* the largest, relative, with all passes (AGREE) or with the first that does harm */
    const char *output; /* whose */
    int64_t passes;     /* optional ones that a whole compilation carries out */
    int64_t number;     /* PASS: which of them, from 1 */
    PassId pass;
    const char *unit, *before, *after; /* PASS: the unit's name and its text around the pass */
    double without;                    /* PASS: the largest difference just before it */
} Bisect;

/* False: the subject cannot be lowered, differentiated or run. Results are in the arena. */
bool bisect_passes(Arena *arena, const BisectSettings *settings, Bisect *result, BfmError *error);

#endif
