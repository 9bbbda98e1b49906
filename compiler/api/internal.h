/* What the files of this folder share. */
#ifndef BFM_API_INTERNAL_H
#define BFM_API_INTERNAL_H

#include "run/context.h"
#include "support/vec.h"

/* A module with memory, names and diagnostics of its own. */
struct BfmModule {
    BfmContext context;
    const BfmContext *parent;
    Module *module;
    bool candidate; /* of another module: what it shares is not freed with it */
    Candidate made; /* then */
};

/* The item of this name that can be lowered by itself: MODEL, BLOCK or layer; name NULL: the only model, else the only block. NULL: INPUT. */
const Node *api_item(const BfmModule *module, const char *name, BfmError *error);
/* A copy for the caller, who frees it. */
char *api_text(const Str *text);

#endif
