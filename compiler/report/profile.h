/* A model, block or layer made ready to be timed: compiled cold and warm, on random inputs. */
#ifndef BFM_REPORT_PROFILE_H
#define BFM_REPORT_PROFILE_H

#include "codegen/compile.h"
#include "run/context.h"
#include "lower/lower.h"

/* What happens between the text and the end of the first step. */
typedef enum { PHASE_READ, PHASE_LOWER, PHASE_DIFFERENTIATE, PHASE_SCHEDULE, PHASE_CODE, PHASE_BIND, PHASE_RUN, PHASE_COUNT } ProfilePhase;

typedef struct ProfileTimes {
    double phase[PHASE_COUNT];
    double total;
    int64_t compiled, cached; /* functions through LLVM, functions from the object cache */
    int64_t faults;           /* pages that PHASE_RUN touched first */
    double system;            /* seconds of all threads in the system during PHASE_RUN: getting these pages, for the most part */
} ProfileTimes;

typedef struct ProfileSettings {
    int64_t batch, length, width; /* length 0: the context of a model, else 512; width 0: what the block says */
    bool forward;
    uint64_t seed;
} ProfileSettings;

typedef struct Profile {
    const BfmContext *context;
    ProfileSettings settings;
    Module *module;
    const Node *subject; /* MODEL, BLOCK or layer */
    Lowered *lowered;
    Arena *arena; /* of the compilation that runs */
    BfmPool *pool;
    Jit *jit;
    const Compiled *compiled;
    BfmInstance *instance;
    void **formals; /* memory of each formal of the plan */
    int formal_count;
    ProfileTimes cold, warm;
    double fill_s; /* making the random inputs: in no other figure */
} Profile;

/* Compiles twice with an object cache of its own, empty at first, and runs one step each time. */
Profile *profile_new(const BfmContext *context, const Target *target, const Overrides *overrides, const ProfileSettings *settings, BfmPool *pool, BfmError *error);
void profile_free(Profile *profile); /* NULL is allowed */
/* Runs `steps` steps; their time together in seconds. Negative: the run failed. */
double profile_run(Profile *profile, int64_t steps, BfmError *error);

const char *profile_phase_text(ProfilePhase phase);

#endif
