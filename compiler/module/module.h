/* Modules: a file with everything it uses, and the definitions found in it by name.
   `use std.layers` names stdlib/layers.bfm of the library folder; any other `use a.b` names a/b.bfm beside the file that says so. */
#ifndef BFM_MODULE_MODULE_H
#define BFM_MODULE_MODULE_H

#include "tree/ast.h"

/* One name may have several definitions: optimiser forms by rank, in the order of the text. */
typedef struct ModuleItem {
    const Node *node;
    int file; /* position in Module.files */
    int next; /* position of the next item of the same name, -1 */
} ModuleItem;

typedef struct ModuleFile {
    const char *path;
    Node *root; /* FILE */
    int use_count;
    int *uses; /* positions in Module.files */
} ModuleFile;

typedef struct Module {
    Arena *arena;
    Interner *interner;
    Diagnostics *diags;
    const char *library; /* folder that holds the std.* files */
    int file_count;
    ModuleFile *files; /* files[0] is the one that was asked for; the others in the order in which they are met */
    int item_count;
    ModuleItem *items;
    int slot_count; /* a power of two */
    int *slots;     /* hash table over names: position of the first item of a name, -1 */
} Module;

/* Reads the file and what it uses, all of it. NULL where the file itself cannot be read (`message` says why);
   everything else is a diagnostic, and the module holds what could be understood. */
Module *module_load(Arena *arena, Interner *interner, Diagnostics *diags, const char *library, const char *path, const char **message);
/* The same for a text in memory, shown to the user under `path`. */
Module *module_load_text(Arena *arena, Interner *interner, Diagnostics *diags, const char *library, const char *path, const char *text, size_t length);

/* One file for itself, as it was parsed: what it uses is not loaded, and nothing is found by name. */
Module *module_alone(Arena *arena, Interner *interner, Diagnostics *diags, const char *library, const char *path, const char *text, size_t length);

/* The same module for what is needed for a while only: `arena` takes what is made from it. */
static inline Module module_in(const Module *module, Arena *arena)
{
    Module scratch = *module;
    scratch.arena = arena;
    return scratch;
}

/* A candidate: a module that was loaded, with one item replaced. It has memory, names and diagnostics of its own and shares everything else, which it only
   reads: any number of them may be made from one module, in threads at once, as long as nobody changes the module. */
typedef struct Candidate {
    Module *module; /* for lower_* and all who take a Module */
    Node *item;     /* a deep copy of the item, to be edited before candidate_check */
} Candidate;

/* `item`: one of the module's. The copy must keep its kind and name. candidate_free frees everything that was made from it. */
Candidate candidate_new(const Module *base, const Node *item);
/* Whether the edited item is a tree that a text could give (*message says otherwise where it is not, else NULL), of a form that its kind may have (module->diags). */
bool candidate_check(Candidate *candidate, const char **message);
void candidate_free(Candidate *candidate);

/* The item of this name and node kind; for DEFINITIONs also of this AST_DEF_… (-1: any). The asking file's own come first, then those it uses. */
const Node *module_find(const Module *module, Symbol name, NodeKind kind, int def);
const Node *module_find_any(const Module *module, Symbol name);
/* The n-th DEFINITION of the name and AST_DEF_…, NULL past the last. */
const Node *module_find_form(const Module *module, Symbol name, int def, int n);
/* Position of the first item of this name, -1: none; its `next` leads to the others. */
int module_first(const Module *module, Symbol name);
/* The item's own text has been reported as an error, by the parser or forms.c (NODE_BROKEN): what uses it fails without another message. */
bool module_malformed(const Module *module, const Node *item);
/* Whether the file at this path is one of the module's. */
bool module_has_file(const Module *module, const char *path);
/* Similar name for "did you mean": NULL if none is close. */
Symbol module_similar(const Module *module, const char *name, NodeKind kind, int def);
/* Distance of two names in edits, for suggestions. */
int name_distance(const char *a, const char *b);

#endif
