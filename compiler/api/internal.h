/* What the files of this folder share. */
#ifndef BFM_API_INTERNAL_H
#define BFM_API_INTERNAL_H

#include "lower/lower.h"
#include "run/context.h"
#include "support/vec.h"

#include "bfm/run.h"
#include "train/evaluate.h"

#include <jansson.h>

/* A module with memory, names and diagnostics of its own. */
struct BfmModule {
    BfmContext context;
    const BfmContext *parent;
    Module *module;
    bool candidate;              /* of another module: what it shares is not freed with it */
    Candidate made;              /* then */
    VEC(const char *) overrides; /* PATH=VALUE, applied */
    const char *item;            /* that they were for; NULL */
};

/* A module without a file yet, and what freed it again is bfm_module_free: where a function loads files itself, for their diagnostics. */
BfmModule *api_workspace(const BfmContext *parent);
/* The item of this name that can be lowered by itself: MODEL, BLOCK or layer; name NULL: the only model, else the only block. NULL: INPUT. */
const Node *api_item(const BfmModule *module, const char *name, BfmError *error);
/* That item for `mode`; a block or a layer stands on a stream of its own, of this width (0: what the block says, else the compiler's choice) and at this length (0: the usual one).
   NULL after errors. */
Lowered *api_lower(const BfmModule *module, const Node *item, int64_t width, int64_t length, Mode mode);
/* True, or false with an empty error where the module has errors. */
bool api_is_sound(const BfmModule *module, BfmError *error);
/* A report of both, which are freed. */
BfmReport api_made(Str *text, json_t *json);
/* A report with one line of text. The object is dropped. */
__attribute__((format(printf, 2, 3))) BfmReport api_report(json_t *json, const char *format, ...);
/* The engine of this name (NULL: jit). NULL: INPUT. */
const EngineKind *api_engine(const char *name, BfmError *error);
/* The figures for the caller. */
BfmEvaluation api_evaluation(const Evaluation *evaluation);
/* The folder that holds libbfm.so. */
const char *api_folder(Arena *arena);
/* A copy for the caller, who frees it. */
char *api_text(const Str *text);
/* The same of a report's object, which is dropped. NULL: none. */
char *api_json(json_t *json);

#endif
