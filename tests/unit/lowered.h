/* Models as text, lowered with the library of the source tree. */
#ifndef BFM_TESTS_LOWERED_H
#define BFM_TESTS_LOWERED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lower/lower.h"

typedef struct Loaded {
    Arena *arena;
    Interner *interner;
    Diagnostics *diags;
    Module *module;
} Loaded;

static inline void loaded_free(Loaded *loaded)
{
    arena_free(loaded->arena);
    interner_free(loaded->interner);
    diagnostics_free(loaded->diags);
}

static inline void loaded_fail(const Loaded *loaded, const char *text)
{
    Str out = {0};
    diag_print(loaded->diags, &out, false);
    print_error("%s\n%s\n", text, str_text(&out));
    str_free(&out);
    fail();
}

static inline Loaded loaded_text(const char *text)
{
    Loaded loaded = {arena_new(), interner_new(), diagnostics_new(), NULL};
    loaded.module = module_load_text(loaded.arena, loaded.interner, loaded.diags, BFM_SOURCE_DIR "/stdlib", "test.bfm", text, strlen(text));
    if (diag_errors(loaded.diags) > 0)
        loaded_fail(&loaded, text);
    return loaded;
}

static inline Loaded loaded_file(const char *path)
{
    Loaded loaded = {arena_new(), interner_new(), diagnostics_new(), NULL};
    const char *message = NULL;
    loaded.module = module_load(loaded.arena, loaded.interner, loaded.diags, BFM_SOURCE_DIR "/stdlib", path, &message);
    if (!loaded.module || diag_errors(loaded.diags) > 0)
        loaded_fail(&loaded, path);
    return loaded;
}

/* The model of that name, NULL: the last one. */
static inline Lowered *lowered_model(const Loaded *loaded, const char *name, Mode mode)
{
    const Node *items = loaded->module->files[0].root->kids[FILE_ITEMS], *model = NULL;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_MODEL && (!name || !strcmp(list_at(items, i)->name, name)))
            model = list_at(items, i);
    assert_non_null(model);
    const LowerOptions options = {.mode = mode};
    Lowered *lowered = lower_model(loaded->module, model, &options);
    if (!lowered)
        loaded_fail(loaded, name ? name : "the model");
    return lowered;
}

/* A model of d 16 around some lines. */
static inline Loaded loaded_lines(const char *lines)
{
    Str text = {0};
    str_printf(&text, "use std.layers\nuse std.routers\nmodel m {\n    vocab = 11\n    context = 8\n    embed(d = 16)\n    %s\n    head(tied = false)\n}\n", lines);
    Loaded loaded = loaded_text(str_text(&text));
    str_free(&text);
    return loaded;
}

/* The unit that the n-th call of the model is of. */
static inline const Unit *lowered_call(const Lowered *lowered, int n)
{
    const Unit *unit = lowered->program->main;
    for (int i = 0; i < unit->op_count; i++)
        if (unit->ops[i].kind == OP_CALL && n-- == 0)
            return unit->ops[i].callee;
    fail_msg("the model has fewer calls");
    return NULL;
}

#endif
