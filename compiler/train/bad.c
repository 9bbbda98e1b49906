#include "train/bad.h"

#include "ir/interp.h"

#include <math.h>
#include <string.h>

static const char *described(Arena *arena, const BfmTensor *tensor, const char *what)
{
    char place[BFM_PLACE_TEXT];
    const int64_t bad = bfm_tensor_first_bad(tensor);
    return bad < 0 ? NULL : arena_printf(arena, "%s`%s` is %s", what, tensor->name, bfm_tensor_place(tensor, bad, place));
}

const char *bad_tensor(Arena *arena, const Store *store, const Optimizer *optimizer)
{
    const char *found = NULL;
    for (int i = 0; i < store->count && !found; i++) {
        const BfmTensor tensor = store_tensor(store, &store->entries[i], store->entries[i].path);
        found = described(arena, &tensor, store->entries[i].role == TENSOR_STATE ? "the state " : "");
    }
    for (int i = 0; optimizer && i < optimizer_state_count(optimizer) && !found; i++) {
        BfmTensor tensor = optimizer_tensor(arena, optimizer_state(optimizer, i));
        tensor.name = optimizer_state(optimizer, i)->name;
        found = described(arena, &tensor, "the optimiser's state ");
    }
    return found;
}

/* The line of the model whose path the name begins with; NULL: none, such as sums of the stream. */
static const LineInfo *line_of(const Lowered *lowered, const char *name)
{
    const LineInfo *best = NULL;
    for (int i = 0; i < lowered->line_count; i++) {
        const LineInfo *line = &lowered->lines[i];
        const size_t length = strlen(line->path);
        const bool inside = strncmp(name, line->path, length) == 0 && (name[length] == '.' || name[length] == '\0');
        if (inside && (!best || length > strlen(best->path)))
            best = line;
    }
    return best;
}

const char *bad_result(const BfmContext *context, Runner *runner, uint64_t seed, uint64_t step)
{
    const char *name = executable_find_bad(runner->executable, context->arena, seed, step);
    const LineInfo *line = name ? line_of(runner->lowered, name) : NULL;
    const char *pass = name && strstr(name, ".grad") ? " in the backward pass" : "";
    const Source *source = line && line->span.file >= 0 ? diag_source(context->diags, line->span.file) : NULL;
    int row = 0, column = 0;
    if (!line)
        return arena_printf(context->arena, "the model `%s` gives a number that is not finite%s", runner->lowered->model->name, pass);
    if (!source)
        return arena_printf(context->arena, "`%s` gives a number that is not finite%s", line->path, pass);
    diag_position(source, line->span.begin, &row, &column);
    return arena_printf(context->arena, "`%s` (%s:%d) gives a number that is not finite%s", line->path, source->path, row, pass);
}
