/* Models: lines, blocks, repetition, branches and widths become calls of instances in the main unit. */
#include "ir/roles.h"
#include "lower/internal.h"

#include "ir/holes.h"
#include "ir/needs.h"
#include "support/bug.h"
#include "support/pointer_map.h"

#include <string.h>

/* Where lines stand: the stream that flows through them, the names around, the labels used so far. */
typedef struct Label {
    Symbol name;
    int count;
} Label;

typedef struct Labels {
    PointerMap counts;  /* by name: how often it was used */
    VEC(Label) changes; /* what the counts were before, oldest first */
} Labels;

typedef struct Place {
    struct Model *model;
    Scope *scope;
    const char *path;          /* of the enclosing block, with its dot: "" or "pair_0[1]." */
    const char *repetition;    /* "[1]" inside a repeat, "" otherwise */
    const Node *norm, *wiring; /* the block's, NULL = default */
    LTensor *stream;           /* NULL before the first line */
    Span width_span;           /* what set its width */
    int depth;
    Labels *labels; /* ordinals of the body; a repeat is transparent */
    const RepeatInfo *repeat;
    int branch;
    bool unwired; /* the first line of a branch of `parallel`: the branch is wired as a whole */
} Place;

typedef struct SharedParam {
    Symbol name;
    int tensor;
} SharedParam;

typedef struct Model {
    Lower *lw;
    UnitCtx uc; /* of the main unit */
    Instance main;
    Body body; /* for wirings at the level of the model */
    Lowered *result;
    VEC(Binding) bindings;
    PointerMap formals; /* of the main unit, by path: positions in bindings */
    VEC(LineInfo) lines;
    VEC(SharedParam) shared;
    int line_budget;
    Symbol result_name;
} Model;

static bool lines_lower(Place *place, const Node *lines);

/* ---- labels ---- */

static int ordinal(Place *place, Symbol name)
{
    Labels *labels = place->labels;
    const int known = pointer_map_find(&labels->counts, name), count = known < 0 ? 0 : known;
    vec_push(&labels->changes, (Label){name, count});
    pointer_map_set(&labels->counts, name, count + 1);
    return count;
}

/* As they were when there were so many changes. */
static void labels_return(Labels *labels, int changes)
{
    while (labels->changes.count > changes) {
        const Label before = vec_pop(&labels->changes);
        pointer_map_set(&labels->counts, before.name, before.count);
    }
}

static void labels_free(Labels *labels)
{
    pointer_map_free(&labels->counts);
    vec_free(&labels->changes);
}

/* "pair_0[1].moe_1", "mix": the path of a line. Labelled lines count among those of their name too: giving a label renames no other line. */
static Symbol line_path(Place *place, Symbol label, Symbol definition, Span span)
{
    Lower *lw = place->model->lw;
    const int number = ordinal(place, definition);
    const Symbol name = label ? label : symbol_printf(lw, "%s_%d", definition, number);
    if (ordinal(place, symbol_printf(lw, "label %s", name)) > 0)
        diag_add(lw->diags, DIAG_E0206, span, "the label `%s` is used twice in this body", name);
    return symbol_printf(lw, "%s%s%s", place->path, name, place->repetition);
}

/* ---- calls in the main unit ---- */

static int main_formal(Model *model, Symbol path, const FormalInfo *info, const Tensor *like)
{
    Lower *lw = model->lw;
    const int known = pointer_map_find(&model->formals, path);
    if (known >= 0)
        return model->uc.unit->formals[known];
    Binding binding = {.path = path, .role = like->role, .init = info->init, .plain_rank = info->plain_rank};
    memcpy(binding.plain_extent, info->plain_extent, sizeof binding.plain_extent);
    const int id = unit_formal(model->uc.unit, path, like->type, like->role, like->rank, like->extent, like->bound);
    model->uc.unit->tensors[id].span = info->span;
    pointer_map_set(&model->formals, path, model->bindings.count);
    vec_push(&model->bindings, binding);
    (void)lw;
    return id;
}

/* Uses of one line in `repeat … shared` have their parameters in common, but each its own states, losses and metrics: `mix.counts`, then
   `mix.counts[1]`. */
static Symbol use_name(Model *model, Symbol path, Symbol name, int use)
{
    return use == 0 ? symbol_printf(model->lw, "%s.%s", path, name) : symbol_printf(model->lw, "%s.%s[%d]", path, name, use);
}

/* How often the line has been used before; 0 where nothing depends on it. */
static int uses_before(const Model *model, const Instance *instance, Symbol path)
{
    const Unit *unit = model->uc.unit;
    bool counts = instance->unit->output_count > 1;
    int uses = 0;
    for (int i = 0; i < instance->formals.count; i++)
        counts = counts || instance->formals.items[i].kind == FORMAL_STATE;
    if (counts)
        for (int i = 0; i < unit->op_count; i++)
            uses += unit->ops[i].kind == OP_CALL && unit->ops[i].path == path && unit->ops[i].callee == instance->unit;
    return uses;
}

static bool same_tensor_shape(const Tensor *a, const Tensor *b)
{
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->extent[i] == b->extent[i];
    return same;
}

/* A shared parameter belongs to the first definition that declares it. */
static int shared_formal(Model *model, Symbol path, const FormalInfo *info, const Tensor *like)
{
    for (int i = 0; i < model->shared.count; i++) {
        if (model->shared.items[i].name != info->name)
            continue;
        const Tensor *owner = &model->uc.unit->tensors[model->shared.items[i].tensor];
        if (!same_tensor_shape(owner, like))
            diag_label(model->lw->diags, diag_add(model->lw->diags, DIAG_E0301, info->span, "the shared parameter `%s` has two shapes", info->name), owner->span,
                       "the other is declared here");
        return model->shared.items[i].tensor;
    }
    const int id = main_formal(model, path, info, like);
    vec_push(&model->shared, (SharedParam){info->name, id});
    return id;
}

static int bind_formal(Model *model, const Instance *instance, int i, const LTensor *stream, Symbol path, int use)
{
    Lower *lw = model->lw;
    const FormalInfo *info = &instance->formals.items[i];
    const Tensor *like = &instance->unit->tensors[instance->unit->formals[i]];
    switch (info->kind) {
    case FORMAL_STREAM: return stream->id;
    case FORMAL_AMBIENT: return main_formal(model, info->name, info, like);
    case FORMAL_PARAM: return main_formal(model, symbol_printf(lw, "%s.%s", path, info->name), info, like);
    case FORMAL_STATE: return main_formal(model, use_name(model, path, info->name, use), info, like);
    case FORMAL_SHARED: return shared_formal(model, symbol_printf(lw, "%s.%s", path, info->name), info, like);
    }
    BFM_BUG("formal kind %d", (int)info->kind);
}

static int bind_output(Model *model, const Instance *instance, const Output *output, const int *args, Symbol path, int use)
{
    const Tensor *like = &instance->unit->tensors[output->tensor];
    const Symbol name = output->kind == OUTPUT_RESULT ? output->name : use_name(model, path, output->name, use);
    const int id = unit_tensor(model->uc.unit, name, like->type, TENSOR_LOCAL, like->rank, like->extent, like->bound);
    if (output->kind == OUTPUT_RESULT)
        return id;
    const int number = unit_output(model->uc.unit, name, output->kind, id);
    Output *made = &model->uc.unit->outputs[number];
    made->merge = output->merge;
    made->formal = -1;
    for (int i = 0; output->kind == OUTPUT_NEXT && i < model->uc.unit->formal_count; i++)
        if (model->uc.unit->formals[i] == args[output->formal])
            made->formal = i;
    if (output->kind == OUTPUT_LOSS && strcmp(output->name, "cross_entropy") == 0)
        model->result->cross_entropy = number;
    return id;
}

static LTensor *instance_call(Model *model, Instance *instance, LTensor *stream, Symbol path, Span span)
{
    Lower *lw = model->lw;
    if (!instance->ok)
        return NULL;
    OpBuilder ob = op_begin(model->uc.unit, OP_CALL);
    ob.op.callee = instance->unit;
    ob.op.path = path;
    ob.op.span = span;
    ob.op.arg_count = instance->unit->formal_count;
    ob.op.args = ARENA_ARRAY(lw->arena, int, ob.op.arg_count);
    ob.op.result_count = instance->unit->output_count;
    ob.op.results = ARENA_ARRAY(lw->arena, int, ob.op.result_count);
    const int use = uses_before(model, instance, path);
    for (int i = 0; i < ob.op.arg_count; i++)
        ob.op.args[i] = bind_formal(model, instance, i, stream, path, use);
    LTensor *result = ltensor_new(lw, instance->result_name, -1);
    *result = instance->result;
    for (int i = 0; i < ob.op.result_count; i++) {
        ob.op.results[i] = bind_output(model, instance, &instance->unit->outputs[i], ob.op.args, path, use);
        if (instance->unit->outputs[i].kind == OUTPUT_RESULT)
            result->id = ob.op.results[i];
    }
    result->domain_op = -1;
    result->span = span;
    model->result_name = instance->result_name;
    op_finish(&ob);
    return result;
}

static int64_t stream_width(Place *place)
{
    int64_t width;
    const bool known = place->stream && place->stream->rank > 0 && dim_is_int(axis_size(place->model->lw, &place->stream->axes[place->stream->rank - 1]), &width);
    return known ? width : 0;
}

static LineInfo *line_info(Place *place, Symbol path, Symbol definition, const Node *node, int call)
{
    LineInfo line = {.path = path,
                     .definition = definition,
                     .span = node->span,
                     .depth = place->depth,
                     .call = call,
                     .node = node,
                     .repeat = place->repeat,
                     .branch = place->branch,
                     .width = stream_width(place),
                     .wired = true};
    vec_push(&place->model->lines, line);
    return &vec_last(&place->model->lines);
}

/* ---- norms and wirings of lines ---- */

static const char *what_of(int type) { return type == AST_TYPE_NORM ? "norm" : "wiring"; }

const Node *line_default(const Lower *lw, int type)
{
    const Node *declared = module_find(lw->module, intern(lw->interner, what_of(type)), NODE_DEFAULT, -1);
    return declared ? declared->kids[DEFAULT_VALUE] : NULL;
}

static Val named_value(Lower *lw, int type, const Node *node, Scope *scope, Span where)
{
    Node *declared = node_new(lw->arena, NODE_TYPE, span_none());
    declared->op = type;
    node = node ? node : line_default(lw, type);
    if (node)
        return attribute_value(lw, declared, node, scope, intern(lw->interner, what_of(type)));
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0201, where, "this line names no %s, and no file declares `default %s = …`", what_of(type), what_of(type));
    diag_fix(lw->diags, diag, "add `use std.%ss`, or say `%s = …`", what_of(type), what_of(type));
    return val_poison();
}

bool is_line_default(Lower *lw, int type, const Val *value)
{
    if (!line_default(lw, type))
        return false;
    const Val usual = named_value(lw, type, NULL, scope_new(lw, NULL), span_none());
    return usual.kind == value->kind && strcmp(val_text(lw, &usual), val_text(lw, value)) == 0;
}

static const Node *no_wiring(Lower *lw) { return ast_name(lw->arena, intern(lw->interner, "none")); }

static bool line_wiring(Place *place, const Node *definition, Span where, const Node *line_norm, const Node *line_wiring_node, Val *norm, Val *wiring)
{
    Lower *lw = place->model->lw;
    const Node *own_norm = definition ? definition->kids[DEFINITION_NORM] : NULL, *own_wiring = definition ? definition->kids[DEFINITION_WIRING] : NULL;
    const bool plain = definition && definition->op == AST_DEF_NORM && !own_wiring;
    const Node *norm_node = line_norm ? line_norm : own_norm ? own_norm : place->norm;
    const Node *wiring_node = line_wiring_node ? line_wiring_node : own_wiring ? own_wiring : place->wiring;
    const bool none = !line_wiring_node && (plain || place->unwired);
    *wiring = named_value(lw, AST_TYPE_WIRING, none ? no_wiring(lw) : wiring_node, place->scope, where);
    *norm = named_value(lw, AST_TYPE_NORM, norm_node, place->scope, where);
    return wiring->kind != VAL_POISON && norm->kind != VAL_POISON;
}

/* Errors inside a definition of another file also show the line that asked for it. */
static void point_at_line(Lower *lw, int first, const Node *line)
{
    for (int i = first; i < diag_count(lw->diags); i++) {
        Diagnostic *diag = (Diagnostic *)diag_get(lw->diags, i);
        if (diag->span.file != line->span.file && line->span.file >= 0)
            diag_label(lw->diags, diag, line->span, "for this line");
    }
}

static bool layer_line(Place *place, const Node *line, const Node *definition)
{
    const int reported = diag_count(place->model->lw->diags);
    Model *model = place->model;
    Lower *lw = model->lw;
    const Node *call = line->kids[LINE_CALL];
    const Symbol path = line_path(place, line->name, definition->name, line->span);
    DefValue *def = ARENA_NEW(lw->arena, DefValue);
    Scope *scope;
    Val norm, wiring;
    def->node = definition;
    const bool takes_stream = list_count(definition->kids[DEFINITION_INPUTS]) > 0;
    if (takes_stream && !place->stream) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0302, line->span, "`%s` needs a stream, and there is none yet", definition->name);
        diag_fix(lw->diags, diag, "begin the model with `embed(d = …)`");
        return false;
    }
    if (list_count(definition->kids[DEFINITION_INPUTS]) > 1) {
        diag_add(lw->diags, DIAG_E0302, line->span, "`%s` takes several tensors and cannot be a line", definition->name);
        return false;
    }
    Node *arguments = call->kind == NODE_CALL ? (Node *)call : NULL;
    if (!line_wiring(place, definition, line->span, line->kids[LINE_NORM], line->kids[LINE_WIRING], &norm, &wiring) ||
        !instance_scope(lw, def, arguments, place->scope, &place->stream, takes_stream ? 1 : 0, call->span, &scope))
        return false;
    const Symbol key = instance_key(lw, "line", definition, scope, takes_stream ? place->stream : NULL, &norm, &wiring);
    Instance *instance = instance_find(lw, key);
    if (!instance)
        instance = instance_make(lw, key, def, arguments, place->scope, scope, takes_stream ? place->stream : NULL, &norm, &wiring, call->span);
    LTensor *result = instance_call(model, instance, place->stream, path, line->span);
    point_at_line(lw, reported, line);
    for (int i = 0; i < lw->requirements.count; i++)
        if (lw->requirements.items[i].line.file < 0)
            lw->requirements.items[i].line = line->span;
    if (!result)
        return false;
    const int op = model->uc.unit->op_count - 1;
    const bool width_set = !place->stream || axis_size(lw, &result->axes[result->rank - 1]) != axis_size(lw, &place->stream->axes[place->stream->rank - 1]);
    if (width_set)
        place->width_span = line->span;
    place->stream = result;
    line_attributes(lw, line_info(place, path, definition->name, line, op), definition, arguments, scope, &norm, &wiring);
    return true;
}

/* ---- blocks ---- */

static void bind_width(Place *place, Scope *scope)
{
    Lower *lw = place->model->lw;
    if (place->stream)
        scope_set(scope, intern(lw->interner, "d"), val_dim(axis_size(lw, &place->stream->axes[place->stream->rank - 1]), place->width_span));
}

/* `brainformer_1(d = 1024)` on a stream of another width: both widths, where each was set, and the fix. */
static bool check_width(Place *place, Scope *scope, const Node *line)
{
    Lower *lw = place->model->lw;
    const Val *asked = scope_find_local(scope, intern(lw->interner, "d"));
    if (!asked || !place->stream || asked->kind != VAL_NUMBER)
        return true;
    const Dim width = axis_size(lw, &place->stream->axes[place->stream->rank - 1]);
    if (asked->dim == width)
        return true;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0301, line->span, "this block is %s wide, but the stream is %s wide", dim_text(lw, asked->dim), dim_text(lw, width));
    if (asked->span.file >= 0)
        diag_label(lw->diags, diag, asked->span, "the block's width is set here");
    if (place->width_span.file >= 0)
        diag_label(lw->diags, diag, place->width_span, "the stream's width is set here");
    diag_fix(lw->diags, diag, "change the width of the stream with `project(d = %s)`, or leave `d` out: the stream binds it", dim_text(lw, asked->dim));
    return false;
}

static bool block_line(Place *place, const Node *line, const Node *block)
{
    Model *model = place->model;
    Lower *lw = model->lw;
    const Node *call = line->kids[LINE_CALL];
    const Symbol path = line_path(place, line->name, block->name, line->span);
    Scope *scope = scope_new(lw, place->scope);
    Labels labels = {0};
    scope->barrier = true;
    bind_width(place, scope);
    if (++lw->depth > CALL_DEPTH_MAX) {
        diag_add(lw->diags, DIAG_E0413, line->span, "`%s` contains itself", block->name);
        lw->depth--;
        return false;
    }
    bool ok =
        attributes_bind(lw, block, block->kids[BLOCK_ATTRIBUTES], call->kind == NODE_CALL ? call : NULL, NULL, place->scope, scope, line->span) && check_width(place, scope, line);
    if (ok) {
        (void)line_info(place, path, block->name, line, -1);
        Place inner = *place;
        inner.scope = scope;
        inner.path = arena_printf(lw->arena, "%s.", path);
        inner.repetition = "";
        inner.norm = line->kids[LINE_NORM] ? line->kids[LINE_NORM] : block->kids[BLOCK_NORM];
        inner.wiring = line->kids[LINE_WIRING] ? line->kids[LINE_WIRING] : block->kids[BLOCK_WIRING];
        inner.labels = &labels;
        inner.depth++;
        inner.unwired = false;
        ok = lines_lower(&inner, block->kids[BLOCK_BODY]);
        if (ok)
            unread_warn(lw, block, scope);
        place->stream = inner.stream;
        place->width_span = inner.width_span;
    }
    lw->depth--;
    labels_free(&labels);
    return ok;
}

static bool call_line(Place *place, const Node *line)
{
    Lower *lw = place->model->lw;
    const Node *call = line->kids[LINE_CALL];
    if (call->kind != NODE_CALL && call->kind != NODE_NAME) {
        if (call->kind != NODE_ERROR)
            diag_add(lw->diags, DIAG_E0302, call->span, "a line is a layer or a block with its attributes: `ffn(hidden = 512)`");
        return false;
    }
    const Val *bound = scope_find(place->scope, call->name);
    const Node *block = module_find(lw->module, call->name, NODE_BLOCK, -1);
    const Node *definition = bound && bound->kind == VAL_DEF ? bound->def->node : module_find(lw->module, call->name, NODE_DEFINITION, AST_DEF_LAYER);
    if (!definition)
        definition = module_find(lw->module, call->name, NODE_DEFINITION, AST_DEF_NORM);
    if ((block && module_malformed(lw->module, block)) || (!block && definition && module_malformed(lw->module, definition)))
        return false;
    if (block)
        return block_line(place, line, block);
    if (definition && (definition->op == AST_DEF_LAYER || definition->op == AST_DEF_NORM))
        return layer_line(place, line, definition);
    const Node *other = module_find_any(lw->module, call->name);
    Diagnostic *diag = diag_add(lw->diags, other ? DIAG_E0202 : DIAG_E0201, call->span, "there is no layer or block named `%s`", call->name);
    Symbol similar = module_similar(lw->module, call->name, NODE_DEFINITION, AST_DEF_LAYER);
    if (!similar)
        similar = module_similar(lw->module, call->name, NODE_BLOCK, -1);
    if (other)
        diag_label(lw->diags, diag, other->name_span, "`%s` is something else", call->name);
    else if (similar)
        diag_fix(lw->diags, diag, "did you mean `%s`?", similar);
    else if (lw->module->file_count == 1)
        diag_fix(lw->diags, diag, "the library's layers come with `use std.layers`");
    return false;
}

/* ---- repeat, parallel, at ---- */

static bool repeat_line(Place *place, const Node *node)
{
    Lower *lw = place->model->lw;
    int64_t count;
    const Val value = eval_const(lw, place->scope, node->kids[REPEAT_COUNT]);
    if (value.kind == VAL_POISON)
        return false;
    if (!val_int(&value, &count) || count < 0 || count > BODY_LINES_MAX) {
        diag_add(lw->diags, DIAG_E0303, node->kids[REPEAT_COUNT]->span, "`repeat` takes a whole number from 0 to %d, not %s", BODY_LINES_MAX, val_text(lw, &value));
        return false;
    }
    const int changes = place->labels->changes.count;
    bool ok = true;
    const char *outer = place->repetition;
    const RepeatInfo *around = place->repeat;
    for (int64_t r = 0; r < count && ok; r++) {
        if (r > 0) /* each repetition uses the same labels */
            labels_return(place->labels, changes);
        if (!(node->op & AST_SHARED))
            place->repetition = arena_printf(lw->arena, "%s[%lld]", outer, (long long)r);
        RepeatInfo *repeat = ARENA_NEW(lw->arena, RepeatInfo);
        *repeat = (RepeatInfo){around, node, count, r, (node->op & AST_SHARED) != 0, place->depth};
        place->repeat = repeat;
        ok = lines_lower(place, node->kids[REPEAT_BODY]);
    }
    place->repeat = around;
    place->repetition = outer;
    return ok;
}

typedef struct Branches {
    Place *place;
    const Node *node;
    const char *path;
    bool ok;
} Branches;

static LTensor *sum_streams(Model *model, LTensor *a, LTensor *b, Span span)
{
    Lower *lw = model->lw;
    Scope *scope = scope_new(lw, NULL);
    const Symbol left = intern(lw->interner, "a"), right = intern(lw->interner, "b");
    scope_set(scope, left, (Val){.kind = VAL_TENSOR, .tensor = a, .span = a->span, .expr = -1});
    scope_set(scope, right, (Val){.kind = VAL_TENSOR, .tensor = b, .span = b->span, .expr = -1});
    Node *sum = node_new(lw->arena, NODE_BINARY, span);
    sum->op = AST_ADD;
    sum->kids[BINARY_LEFT] = ast_name(lw->arena, left);
    sum->kids[BINARY_RIGHT] = ast_name(lw->arena, right);
    return eval_tensor(&model->body, scope, sum);
}

/* The sub-layer of a `parallel`: each branch on the same input, all results added, in the order of the text. */
static LTensor *apply_branches(void *context, LTensor *argument, Symbol label, Span span)
{
    Branches *branches = context;
    Place inner = *branches->place;
    Labels labels = {0};
    LTensor *sum = NULL;
    (void)label;
    inner.path = branches->path;
    inner.repetition = "";
    inner.labels = &labels;
    inner.depth++;
    const Node *list = branches->node->kids[PARALLEL_BRANCHES];
    for (int i = 0; i < list_count(list) && branches->ok; i++) {
        inner.stream = argument;
        inner.branch = i;
        inner.unwired = list_count(list_at(list, i)) == 1;
        branches->ok = lines_lower(&inner, list_at(list, i)) && inner.stream;
        if (branches->ok)
            sum = sum ? sum_streams(inner.model, sum, inner.stream, span) : inner.stream;
        branches->ok = branches->ok && sum;
    }
    labels_free(&labels);
    return branches->ok ? sum : NULL;
}

typedef struct MainNorm {
    Place *place;
    const Val *norm;
    const char *path;
} MainNorm;

static Instance *plain_instance(Place *place, const DefValue *def, const Node *call, LTensor *x, Scope *caller, Span span)
{
    Lower *lw = place->model->lw;
    Scope *scope;
    const Val none = {.kind = VAL_NONE, .expr = -1}, wiring = named_value(lw, AST_TYPE_WIRING, no_wiring(lw), place->scope, span);
    if (wiring.kind == VAL_POISON || !instance_scope(lw, def, call, caller, &x, 1, span, &scope))
        return NULL;
    const Symbol key = instance_key(lw, "plain", def->node, scope, x, &none, &wiring);
    Instance *instance = instance_find(lw, key);
    return instance ? instance : instance_make(lw, key, def, call, caller, scope, x, &none, &wiring, span);
}

static LTensor *apply_main_norm(void *context, LTensor *argument, Symbol label, Span span)
{
    MainNorm *apply = context;
    Lower *lw = apply->place->model->lw;
    if (apply->norm->kind != VAL_DEF)
        return argument;
    Instance *instance = plain_instance(apply->place, apply->norm->def, NULL, argument, apply->place->scope, span);
    return instance ? instance_call(apply->place->model, instance, argument, symbol_printf(lw, "%s%s", apply->path, label), span) : NULL;
}

static bool need_stream(Place *place, const Node *node)
{
    if (place->stream)
        return true;
    diag_add(place->model->lw->diags, DIAG_E0302, node->span, "there is no stream yet: a model begins with an embedding");
    return false;
}

static bool parallel_line(Place *place, const Node *node)
{
    Model *model = place->model;
    Lower *lw = model->lw;
    Val norm, wiring;
    const Symbol path = line_path(place, node->name, intern(lw->interner, "parallel"), node->span);
    if (!need_stream(place, node) || !line_wiring(place, NULL, node->span, node->kids[PARALLEL_NORM], node->kids[PARALLEL_WIRING], &norm, &wiring))
        return false;
    (void)line_info(place, path, intern(lw->interner, "parallel"), node, -1);
    const char *prefix = arena_printf(lw->arena, "%s.", path);
    Branches branches = {place, node, prefix, true};
    MainNorm normed = {place, &norm, prefix};
    Scope *scope = wiring_scope(lw, wiring.def->node, place->stream, apply_value(lw, apply_branches, &branches), apply_value(lw, apply_main_norm, &normed));
    LTensor *result = scope ? eval_tensor(&model->body, scope, wiring.def->node->kids[DEFINITION_VALUE]) : NULL;
    if (result)
        place->stream = result;
    return result != NULL;
}

/* The library's definition of this name, applied to the stream with one attribute given. */
static LTensor *width_change(Place *place, const char *name, const char *attribute, Dim width, LTensor *x, Symbol path, Span span)
{
    Lower *lw = place->model->lw;
    const Node *definition = module_find(lw->module, intern(lw->interner, name), NODE_DEFINITION, AST_DEF_LAYER);
    if (!definition) {
        diag_fix(lw->diags, diag_add(lw->diags, DIAG_E0201, span, "`at` needs the library's layer `%s`", name), "write `use std.layers`");
        return NULL;
    }
    DefValue *def = ARENA_NEW(lw->arena, DefValue);
    def->node = definition;
    def->bound = ARENA_NEW(lw->arena, struct Binding_);
    def->bound->name = intern(lw->interner, attribute);
    def->bound->value = ARENA_NEW(lw->arena, Val);
    *def->bound->value = val_dim(width, span);
    def->count = 1;
    Instance *instance = plain_instance(place, def, NULL, x, place->scope, span);
    return instance ? instance_call(place->model, instance, x, path, span) : NULL;
}

static bool at_line(Place *place, const Node *node)
{
    Model *model = place->model;
    Lower *lw = model->lw;
    const Symbol path = line_path(place, node->name, intern(lw->interner, "at"), node->span);
    if (!need_stream(place, node))
        return false;
    const Dim outer = axis_size(lw, &place->stream->axes[place->stream->rank - 1]);
    const Val factor = eval_const(lw, place->scope, node->kids[AT_WIDTH]);
    if (factor.kind == VAL_POISON)
        return false;
    int64_t inner_width;
    const Dim inner = factor.kind == VAL_NUMBER && factor.dim ? dim_mul(lw->dims, outer, factor.dim) : NULL;
    if (!inner || !dim_is_int(inner, &inner_width) || inner_width < 1) {
        diag_add(lw->diags, DIAG_E0303, node->kids[AT_WIDTH]->span, "`at` takes a factor on the width that gives a whole number of at least 1; %s of %s does not",
                 val_text(lw, &factor), dim_text(lw, outer));
        return false;
    }
    line_info(place, path, intern(lw->interner, "at"), node, -1)->width = inner_width;
    Labels labels = {0};
    Place body = *place;
    body.path = arena_printf(lw->arena, "%s.", path);
    body.repetition = "";
    body.labels = &labels;
    body.depth++;
    body.width_span = node->kids[AT_WIDTH]->span;
    body.unwired = false;
    Scope *scope = scope_new(lw, place->scope);
    body.scope = scope;
    scope_set(scope, intern(lw->interner, "d"), val_dim(inner, node->kids[AT_WIDTH]->span));
    body.stream = width_change(place, "enter", "inner", inner, place->stream, path, node->span);
    const bool ok = body.stream && lines_lower(&body, node->kids[AT_BODY]);
    labels_free(&labels);
    LTensor *back = ok ? width_change(&body, "leave", "outer", outer, body.stream, path, node->span) : NULL;
    LTensor *sum = back ? sum_streams(model, place->stream, back, node->span) : NULL;
    if (sum)
        place->stream = sum;
    return sum != NULL;
}

static bool lines_lower(Place *place, const Node *lines)
{
    Model *model = place->model;
    bool ok = true;
    for (int i = 0; i < list_count(lines) && ok; i++) {
        const Node *line = list_at(lines, i);
        if (model->line_budget-- <= 0) {
            lines_too_many(model->lw, line->span);
            return false;
        }
        expansion_begin(model->lw);
        switch ((int)line->kind) {
        case NODE_LINE: ok = call_line(place, line); break;
        case NODE_REPEAT: ok = repeat_line(place, line); break;
        case NODE_PARALLEL: ok = parallel_line(place, line); break;
        case NODE_AT: ok = at_line(place, line); break;
        default: break; /* settings were read; errors were reported */
        }
    }
    return ok;
}

/* ---- the model ---- */

static void lower_begin(Lower *lw, const Module *module, const LowerOptions *options)
{
    *lw = (Lower){.arena = module->arena, .interner = module->interner, .diags = module->diags, .module = module, .options = *options};
    lw->program = program_new(lw->arena, lw->interner);
    lw->dims = lw->program->dims;
}

/* Indices of positions may subscript axes of the context, so programs hold for lengths up to it only. */
static void bound_length(Lower *lw, int64_t context)
{
    lw->context = dim_int(lw->dims, context);
    lw->program->most[DIM_L] = lw->program->most[DIM_N] = context;
}

static bool model_settings(Lower *lw, const Node *node, Scope *scope, Lowered *result)
{
    bool ok = true;
    for (int i = 0; i < list_count(node->kids[MODEL_BODY]); i++) {
        const Node *setting = list_at(node->kids[MODEL_BODY], i);
        if (setting->kind != NODE_SETTING)
            continue;
        if (scope_find_local(scope, setting->name)) {
            diag_add(lw->diags, DIAG_E0206, setting->span, "`%s` is set twice", setting->name);
            ok = false;
        }
        const Val value = eval_const(lw, scope, setting->kids[SETTING_VALUE]);
        scope_set(scope, setting->name, value);
        ok = ok && value.kind != VAL_POISON;
        int64_t *known = strcmp(setting->name, "vocab") == 0 ? &result->vocab : strcmp(setting->name, "context") == 0 ? &result->context : NULL;
        if (known && value.kind != VAL_POISON && (!val_int(&value, known) || *known < 1 || *known > INT32_MAX)) {
            diag_add(lw->diags, DIAG_E0303, setting->kids[SETTING_VALUE]->span, "`%s` is a whole number from 1 to 2147483647, not %s", setting->name, val_text(lw, &value));
            ok = false;
        }
    }
    if (ok && result->context)
        bound_length(lw, result->context);
    return ok;
}

/* A setting is there for attributes that are taken by name; the length and the vocabulary mean something by themselves. */
static void unused_settings(Lower *lw, const Node *node)
{
    for (int i = 0; i < lw->model_scope->entries.count; i++) {
        const ScopeEntry *entry = &lw->model_scope->entries.items[i];
        const Node *setting =
            entry->used || strcmp(entry->name, "vocab") == 0 || strcmp(entry->name, "context") == 0 ? NULL : list_find(lw, node->kids[MODEL_BODY], NODE_SETTING, entry->name);
        if (!setting)
            continue;
        Diagnostic *diag = diag_add(lw->diags, DIAG_W0604, setting->span, "nothing in `%s` reads the setting `%s`", node->name, setting->name);
        diag_note(lw->diags, diag, "a setting of a model is taken by name by lines that require an attribute and are not given it");
    }
}

/* Scores without a loss can be looked at, but neither trained nor evaluated. */
static void check_loss(Lower *lw, const Node *node, const Lowered *result)
{
    if (result->cross_entropy >= 0)
        return;
    Diagnostic *diag = diag_add(lw->diags, DIAG_W0507, node->name_span, "the model `%s` has no loss `cross_entropy`", node->name);
    diag_note(lw->diags, diag, "it can be neither trained nor evaluated, and gives no text");
    diag_fix(lw->diags, diag, "end it with `head()`, or with a layer of your own that declares `loss cross_entropy = …`");
}

static bool model_body(Model *model, const Node *node)
{
    Lower *lw = model->lw;
    Labels labels = {0};
    Place place = {.model = model,
                   .scope = lw->model_scope,
                   .path = "",
                   .repetition = "",
                   .norm = node->kids[MODEL_NORM],
                   .wiring = node->kids[MODEL_WIRING],
                   .width_span = span_none(),
                   .labels = &labels};
    bool ok = lines_bounded(lw, node->kids[MODEL_BODY]) && lines_lower(&place, node->kids[MODEL_BODY]);
    labels_free(&labels);
    if (ok && !place.stream) {
        diag_add(lw->diags, DIAG_E0302, node->name_span, "the model `%s` has no lines", node->name);
        ok = false;
    }
    if (ok) {
        unused_settings(lw, node);
        unread_warn(lw, node, lw->model_scope);
        check_loss(lw, node, model->result);
    }
    if (ok)
        model->result->result = unit_output(model->uc.unit, model->result_name ? model->result_name : intern(lw->interner, "y"), OUTPUT_RESULT, place.stream->id);
    return ok;
}

static void model_end(Model *model)
{
    Lower *lw = model->lw;
    Lowered *result = model->result;
    /* callees before callers: the main unit was created first */
    Unit **units = lw->program->units;
    for (int i = 0, k = 0; i < lw->program->unit_count; i++)
        if (units[i] != model->uc.unit)
            units[k++] = units[i];
    units[lw->program->unit_count - 1] = model->uc.unit;
    for (int i = 0; i < lw->program->unit_count; i++)
        units[i]->position = i;
    lw->program->main = model->uc.unit;
    needs_collect(lw->program, place_text, lw);
    lw->program->bindings = arena_memdup(lw->arena, model->bindings.items, (size_t)model->bindings.count * sizeof(Binding));
    result->line_count = model->lines.count;
    result->lines = arena_memdup(lw->arena, model->lines.items, (size_t)model->lines.count * sizeof(LineInfo));
    result->requirement_count = lw->requirements.count;
    result->requirements = arena_memdup(lw->arena, lw->requirements.items, (size_t)lw->requirements.count * sizeof(Requirement));
    vec_free(&model->bindings);
    pointer_map_free(&model->formals);
    vec_free(&model->lines);
    vec_free(&model->shared);
    vec_free(&model->main.formals);
    lower_free(lw);
}

static void model_begin(Model *model, Lower *lw, Lowered *result, const Node *node)
{
    *result = (Lowered){.program = lw->program, .model = node, .cross_entropy = -1, .terms = -1, .points = -1};
    *model = (Model){.lw = lw, .result = result, .line_budget = BODY_LINES_MAX};
    lw->model_scope = scope_new(lw, NULL);
    model->uc = (UnitCtx){.unit = unit_new(lw->program, node->name), .instance = &model->main, .pack = -1};
    model->body = (Body){.lw = lw, .uc = &model->uc, .scope = lw->model_scope, .prefix = ""};
}

static Lowered *finished(Lowered *result)
{
    program_expect(result->program, "lowering");
    const char *holes = program_holes(result->program);
    if (holes)
        BFM_BUG("lowering made a program that lacks values: %s", holes);
    program_roles(result->program);
    return result;
}

Lowered *lower_model(const Module *module, const Node *node, const LowerOptions *options)
{
    Lower lw;
    Model model;
    lower_begin(&lw, module, options);
    Lowered *result = ARENA_NEW(module->arena, Lowered);
    model_begin(&model, &lw, result, node);
    const int errors = diag_raised(module->diags);
    const bool ok = attributes_bind(&lw, node, node->kids[MODEL_ATTRIBUTES], NULL, NULL, NULL, lw.model_scope, node->span) && model_settings(&lw, node, lw.model_scope, result) &&
                    model_body(&model, node) && diag_raised(module->diags) == errors;
    model_end(&model);
    return ok ? finished(result) : NULL;
}

/* The width that a block says itself, 0 if it says none. */
static int64_t own_width(Lower *lw, const Node *definition)
{
    const Node *attributes = definition->kind == NODE_BLOCK ? definition->kids[BLOCK_ATTRIBUTES] : NULL;
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        int64_t width;
        if (attribute->name != intern(lw->interner, "d") || !attribute->kids[ATTRIBUTE_DEFAULT])
            continue;
        const Val value = eval_const(lw, lw->model_scope, attribute->kids[ATTRIBUTE_DEFAULT]);
        if (val_int(&value, &width))
            return width;
    }
    return 0;
}

static LTensor *stream_input(Model *model, int64_t width)
{
    Lower *lw = model->lw;
    LTensor like = {.rank = 3, .axes = {axis_of(dim_symbol(lw->dims, DIM_B)), axis_of(dim_symbol(lw->dims, DIM_L)), axis_of(dim_int(lw->dims, width))}, .span = span_none()};
    LTensor *stream = stream_formal(lw, &model->uc, &like);
    vec_push(&model->bindings, (Binding){.path = stream->name, .role = TENSOR_INPUT});
    stream->domain_op = stream->previous = stream->scan_axis = -1;
    return stream;
}

Lowered *lower_block(const Module *module, const Node *definition, int64_t width, int64_t context, const LowerOptions *options)
{
    enum { BLOCK_VOCAB = 256, BLOCK_WIDTH = 512 };
    Lower lw;
    Model model;
    Labels labels = {0};
    lower_begin(&lw, module, options);
    Lowered *result = ARENA_NEW(module->arena, Lowered);
    model_begin(&model, &lw, result, definition);
    const int errors = diag_raised(module->diags);
    result->vocab = BLOCK_VOCAB;
    result->context = context;
    bound_length(&lw, context);
    scope_set(lw.model_scope, intern(lw.interner, "vocab"), val_dim(dim_int(lw.dims, BLOCK_VOCAB), span_none()));
    scope_set(lw.model_scope, intern(lw.interner, "context"), val_dim(lw.context, span_none()));
    if (width == 0)
        width = own_width(&lw, definition);
    Node *line = node_new(lw.arena, NODE_LINE, definition->span);
    line->kids[LINE_CALL] = ast_name(lw.arena, definition->name);
    Place place = {.model = &model,
                   .scope = lw.model_scope,
                   .path = "",
                   .repetition = "",
                   .stream = stream_input(&model, width ? width : BLOCK_WIDTH),
                   .width_span = span_none(),
                   .labels = &labels};
    bool ok = call_line(&place, line) && diag_raised(module->diags) == errors;
    if (ok)
        result->result = unit_output(model.uc.unit, model.result_name, OUTPUT_RESULT, place.stream->id);
    labels_free(&labels);
    model_end(&model);
    return ok ? finished(result) : NULL;
}
