#include "lower/groups.h"

#include "support/glob.h"

enum { EXAMPLES = 4 };

/* The parameter of this number, counted over all models; NULL past the last. */
static const char *parameter(const Lowered *const *models, int count, int *model, int *formal)
{
    for (; *model < count; ++*model, *formal = 0)
        for (const Program *program = models[*model]->program; *formal < program->main->formal_count; ++*formal)
            if (program->bindings[*formal].role == TENSOR_PARAM)
                return program->bindings[(*formal)++].path;
    return NULL;
}

static int matches(const char *glob, const Lowered *const *models, int count)
{
    int found = 0, model = 0, formal = 0;
    for (const char *path; (path = parameter(models, count, &model, &formal));)
        found += glob_match(glob, path);
    return found;
}

static void warn(const Module *module, const Node *group, const Lowered *const *models, int count)
{
    Diagnostic *diag = diag_add(module->diags, DIAG_W0603, group->span, "no parameter's path matches \"%s\": this group changes nothing", group->name);
    const char *wider = arena_printf(module->arena, "*%s*", group->name);
    Str list = {0};
    int model = 0, formal = 0, given = 0;
    for (const char *path; given < EXAMPLES && (path = parameter(models, count, &model, &formal)); given++)
        str_printf(&list, "%s%s", given ? ", " : "", path);
    diag_note(module->diags, diag, "paths are such as %s", str_text(&list));
    str_free(&list);
    const int found = matches(wider, models, count);
    if (found > 0)
        diag_fix(module->diags, diag, "a glob stands for the whole path: \"%s\" matches %d", wider, found);
}

void groups_warn(const Module *module, const Node *recipe, const Lowered *const *models, int count)
{
    const Node *items = recipe->kids[RECIPE_ITEMS];
    if (recipe->span.file != module->files[0].root->span.file)
        return;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_ON && matches(list_at(items, i)->name, models, count) == 0)
            warn(module, list_at(items, i), models, count);
}

void groups_warn_all(const Module *module, const Lowered *const *models, int count)
{
    for (int i = 0; count > 0 && i < module->item_count; i++)
        if (module->items[i].file == 0 && module->items[i].node->kind == NODE_RECIPE)
            groups_warn(module, module->items[i].node, models, count);
}
