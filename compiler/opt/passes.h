/* The passes as rows of passes.def, and who looks on while they run: times, verification, texts in between, passes that are left out. */
#ifndef BFM_OPT_PASSES_H
#define BFM_OPT_PASSES_H

#include "opt/opt.h"

typedef enum {
#define PASS(name, ...)  PASS_##name,
#define STAGE(name, ...) PASS_##name,
#include "opt/passes.def"
    PASS_COUNT
} PassId;

typedef struct PassInfo {
    const char *name;
    bool unit, optional; /* unit: a pass over one unit; otherwise a stage, which is only marked */
    const char *requires, *preserves, *breaks;
} PassInfo;

const PassInfo *pass_info(PassId pass);
bool pass_find(const char *name, PassId *pass);

typedef struct PassTimes {
    int64_t runs, changes;
    double seconds; /* wall clock; of a stage since the mark before it, the passes in between taken off */
} PassTimes;

/* Belongs to the caller; programs made from a program are watched as it is. One thread at a time. */
typedef struct PassWatch {
    PassTimes times[PASS_COUNT];
    bool verify;          /* every unit after each pass; a broken rule is a bug of ours and ends in bfm_bug */
    uint64_t off;         /* bit p: PASS_p, an optional one, is left out */
    bool limited;         /* at most `limit` optional passes are carried out: the first that does harm is found by halving */
    int64_t limit, count; /* count: so far */
    /* Around each pass that is carried out, and after each stage; NULL: nobody asks. `number` counts the optional passes, this one included. */
    void (*before)(void *context, PassId pass, const Unit *unit, int64_t number);
    void (*after)(void *context, PassId pass, const Unit *unit, bool changed, int64_t number);
    void *context;
    double mark; /* since when the stage at hand runs */
} PassWatch;

/* Time begins to run. NULL: nothing. */
void passes_begin(PassWatch *watch);
/* Watches a program, and everything that will be made from it. NULL: nobody. */
void passes_watch(Program *program, PassWatch *watch);
/* Carries the pass out on the unit, unless its program's watch leaves it out. Whether anything changed. */
bool pass_run(PassId pass, Unit *unit, const OptOptions *options);
/* A stage ended; `unit`: what it gave. */
void pass_stage(PassId stage, const Unit *unit);

/* A table of times for people, the rows that ran. */
void passes_print(const PassWatch *watch, Str *out);

#endif
