/* What the work needs, whoever asks for it: a command, a trial of a search, a test. There is no state outside of it. Below it nothing prints, reads options or
   knows exit codes: a function that fails returns false or NULL and says why in a BfmError, or in the diagnostics (then the error has no message). */
#ifndef BFM_RUN_CONTEXT_H
#define BFM_RUN_CONTEXT_H

#include "bfm/error.h"
#include "module/module.h"

struct PassWatch;

typedef struct BfmContext {
    const char *library; /* the folder of std.*; NULL: not found */
    Arena *arena;        /* lives as long as the context */
    Interner *interner;
    Diagnostics *diags;
    struct PassWatch *watch; /* of programs that are lowered (opt/passes.h); NULL: nobody */
    /* Remarks that belong to no place of a file ("resuming at step 300"); NULL: nobody listens. */
    void (*note)(void *listener, const char *text);
    void *listener;
} BfmContext;

__attribute__((format(printf, 2, 3))) void context_note(const BfmContext *context, const char *format, ...);
/* Returns false, for `return context_rejected(…)`: the diagnostics say what is wrong. */
bool context_rejected(BfmError *error);
/* The error has no message: the diagnostics say what is wrong. */
static inline bool error_in_diagnostics(const BfmError *error) { return error->message[0] == '\0'; }

/* ---- files ---- */

/* FILE[:NAME] */
typedef struct Target {
    const char *path;
    const char *name; /* NULL where none was given */
} Target;
/* Splits the text at its last colon, unless a file has the whole text as its name. */
Target target_parse(Arena *arena, const char *text);

/* PATH=VALUE, applied below the item that the target names, else to the path as written, else below the first model of the file that has it. */
typedef struct Overrides {
    int count;
    const char *const *texts; /* each with a `=` behind its first character */
} Overrides;

/* Applies one override to a module. INPUT: it has no place; a value that is no expression is a diagnostic. */
bool context_override(const BfmContext *context, Module *module, const Target *target, const char *text, BfmError *error);
/* Loads the file and what it uses, and applies the overrides. NULL: it cannot be read, or an override has no place. Diagnostics may be there all the same. */
Module *context_module(const BfmContext *context, const Target *target, const Overrides *overrides, BfmError *error);
/* The item of the target: by name, else the only one of `kind` in the file. NULL: INPUT. */
const Node *context_pick(const BfmContext *context, const Module *module, const Target *target, NodeKind kind, BfmError *error);

#endif
