#include "codegen/codegen.h"

#include "codegen/codegen_internal.h"
#include "support/bug.h"
#include "support/hash.h"

#include <inttypes.h>
#include <string.h>

enum { BUCKETS = sizeof((Codegen *)0)->bucket / sizeof(int) };

Codegen *codegen_new(Arena *arena, const CodegenOptions *options)
{
    Codegen *codegen = ARENA_NEW(arena, Codegen);
    codegen->arena = arena;
    codegen->usable = target_init(&codegen->target, arena, options);
    return codegen;
}

static const KernelEntry *entry_get(Codegen *codegen, const KernelForm *form)
{
    static const char *const names[] = {[FORM_NEST] = "nest", [FORM_RECUR] = "recur", [FORM_SCORES] = "scores", [FORM_TILE] = "tile", [FORM_RANGE] = "range"};
    Str signature = {0};
    form_signature(form, &signature);
    const Hash128 hash = hash_wide(str_text(&signature), signature.length, 0);
    int *bucket = &codegen->bucket[hash.low % BUCKETS];
    for (int i = *bucket - 1; i >= 0; i = codegen->entries[i].next)
        if (strcmp(codegen->entries[i].signature, str_text(&signature)) == 0) {
            str_free(&signature);
            return &codegen->entries[i];
        }
    if (codegen->count == codegen->capacity) {
        codegen->capacity = codegen->capacity ? 2 * codegen->capacity : 64;
        KernelEntry *bigger = ARENA_ARRAY(codegen->arena, KernelEntry, codegen->capacity);
        if (codegen->count)
            memcpy(bigger, codegen->entries, (size_t)codegen->count * sizeof *bigger);
        codegen->entries = bigger;
    }
    KernelEntry *entry = &codegen->entries[codegen->count++];
    *entry = (KernelEntry){.signature = arena_strdup(codegen->arena, str_text(&signature)), .hash = hash, .form = form, .next = *bucket - 1};
    entry->symbol = arena_printf(codegen->arena, "bfm_%s_%016" PRIx64 "%016" PRIx64, names[form->kind], hash.high, hash.low);
    *bucket = codegen->count;
    str_free(&signature);
    return entry;
}

static const KernelCode *code_of(Codegen *codegen, KernelForm *form)
{
    form_plan(form, codegen->target.width);
    KernelCode *code = ARENA_NEW(codegen->arena, KernelCode);
    *code = (KernelCode){.symbol = entry_get(codegen, form)->symbol,
                         .buffer_count = form->buffer_count,
                         .tensors = form->tensors,
                         .dim_count = form->slot_count,
                         .dims = form->dims,
                         .draw_count = form->draw_count,
                         .draw_tags = form->draw_tags,
                         .lanes = form->vector >= 0 ? codegen->target.width : 1,
                         .grain = 1,
                         .fill = form->fill};
    if (form->kind == FORM_TILE || form->kind == FORM_RANGE) {
        code->outer_count = form->parallel_count;
        code->outer = form->parallel;
    } else {
        code->parallel_count = form->parallel_count;
        code->parallel = form->parallel;
        if (form->parallel_count > 0 && form->vector == form->parallel[form->parallel_count - 1])
            code->grain = codegen->target.width;
    }
    return code;
}

const KernelCode *codegen_nest(Codegen *codegen, const Unit *unit, const Op *op)
{
    BFM_ASSERT(op->kind == OP_NEST || op->kind == OP_RECUR);
    return code_of(codegen, form_new(codegen->arena, unit, op, op->kind == OP_NEST ? FORM_NEST : FORM_RECUR, -1, -1, 0, NULL, 0));
}

const KernelCode *codegen_scores(Codegen *codegen, const Unit *unit, const Op *op)
{
    BFM_ASSERT(op->kind == OP_TOP);
    return code_of(codegen, form_new(codegen->arena, unit, op, FORM_SCORES, -1, -1, 0, NULL, 0));
}

const KernelCode *codegen_tile(Codegen *codegen, const Unit *unit, const Op *op, int row, int col, int tile_count, const int *tile_tensors, double outside)
{
    BFM_ASSERT(op->kind == OP_NEST && op->reducer == REDUCE_SET && row != col);
    return code_of(codegen, form_new(codegen->arena, unit, op, FORM_TILE, row, col, tile_count, tile_tensors, outside));
}

const KernelCode *codegen_range(Codegen *codegen, const Unit *unit, const Op *op, int row, int col)
{
    return code_of(codegen, form_new(codegen->arena, unit, op, FORM_RANGE, row, col, 0, NULL, 0));
}

int codegen_count(const Codegen *codegen) { return codegen->count; }
const char *codegen_symbol(const Codegen *codegen, int index) { return codegen->entries[index].symbol; }

bool codegen_print(Codegen *codegen, CodegenText form, Str *out, BfmError *error)
{
    Compiler *compiler = compiler_new(&codegen->target, error);
    bool ok = compiler != NULL;
    for (int i = 0; ok && i < codegen->count; i++)
        ok = compiler_text(compiler, codegen->entries[i].form, codegen->entries[i].symbol, form, out, error);
    compiler_free(compiler);
    return ok;
}
