#include "lower/groups.h"

#include "ir/roles.h"
#include "support/glob.h"

#include <string.h>

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

static int of_role(const char *name, const Lowered *const *models, int count)
{
    int found = 0;
    for (int m = 0; m < count; m++)
        for (int f = 0; f < models[m]->program->main->formal_count; f++) {
            const Binding *binding = &models[m]->program->bindings[f];
            found += binding->role == TENSOR_PARAM && strcmp(role_name(binding->use), name) == 0;
        }
    return found;
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

static void warn_role(const Module *module, const Node *group)
{
    Diagnostic *diag = diag_add(module->diags, DIAG_W0603, group->span, "no parameter is a %s: this group changes nothing", group->name);
    diag_note(module->diags, diag, "a matrix is a factor of sums of products, a table is looked up by an integer, a vector is neither");
}

void groups_warn(const Module *module, const Node *recipe, const Lowered *const *models, int count)
{
    const Node *items = recipe->kids[RECIPE_ITEMS];
    if (recipe->span.file != module->files[0].root->span.file)
        return;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_ON && matches(list_at(items, i)->name, models, count) == 0)
            warn(module, list_at(items, i), models, count);
    ParamRole role;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_ON_ROLE && role_find(list_at(items, i)->name, &role) && of_role(list_at(items, i)->name, models, count) == 0)
            warn_role(module, list_at(items, i));
}

void groups_warn_all(const Module *module, const Lowered *const *models, int count)
{
    for (int i = 0; count > 0 && i < module->item_count; i++)
        if (module->items[i].file == 0 && module->items[i].node->kind == NODE_RECIPE)
            groups_warn(module, module->items[i].node, models, count);
}
