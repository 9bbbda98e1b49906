/* Tensors that meet by position: element by element, axis by axis, whatever the parts of their axes are. Two axes fit where their sizes are equal; one of
   several parts is then read as a whole, row-major. */
#include "lower/internal.h"

#include <string.h>

static bool same_parts(const Axis *a, const Axis *b)
{
    bool same = a->parts == b->parts;
    for (int i = 0; same && i < a->parts; i++)
        same = a->part[i] == b->part[i];
    return same;
}

/* The axis of what two tensors of equal sizes make together: their parts where they have the same. */
static Axis common_axis(Lower *lw, const Axis *a, const Axis *b)
{
    Axis axis = same_parts(a, b) ? *a : axis_of(axis_size(lw, a));
    if (a->low != b->low)
        axis.low = NULL;
    return axis;
}

/* Reads a tensor at the operation's language indices, one for each of its axes. */
static int read_by_position(Lower *lw, OpCtx *ctx, const LTensor *tensor)
{
    Sub subs[TENSOR_AXES_MAX * 2 + 1];
    int count = 0;
    if (tensor->packed)
        subs[count++] = sub_index(lw->program, ctx->pack_index);
    for (int i = 0; i < tensor->rank; i++) {
        IndexBinding binding = ctx->indices.items[i];
        binding.axis.low = NULL; /* positions count from 0 */
        const bool same = same_parts(&binding.axis, &tensor->axes[i]);
        for (int part = 0; same && part < binding.axis.parts; part++)
            subs[count++] = sub_index(lw->program, binding.ids[part]);
        if (!same)
            subs[count++] = sub_affine(index_affine(lw, &binding), tensor->axes[i].parts);
    }
    Access access = access_new(lw->program, tensor->id, count);
    memcpy(access.subs, subs, (size_t)count * sizeof *subs);
    return expr_read(&ctx->ob, access);
}

bool fits_shape(Lower *lw, const LTensor *tensor, const LTensor *like, int *axis)
{
    bool fits = tensor->rank == like->rank;
    for (*axis = 0; fits && *axis < like->rank; ++*axis)
        if (axis_size(lw, &tensor->axes[*axis]) != axis_size(lw, &like->axes[*axis]))
            return false;
    return fits;
}

LTensor *tensor_like(Body *body, LTensor *tensor, const LTensor *like)
{
    Lower *lw = body->lw;
    bool same = tensor->rank == like->rank && tensor->packed == like->packed && tensor->integer == like->integer;
    for (int i = 0; same && i < like->rank; i++)
        same = axis_same(&tensor->axes[i], &like->axes[i]);
    if (same)
        return tensor;
    OpCtx ctx = ctx_begin(body, body->scope, OP_NEST, NULL);
    TargetAxes axes = {0};
    ctx.ob.op.reducer = REDUCE_SET;
    if (like->packed || tensor->packed)
        ctx_pack(&ctx);
    for (int i = 0; i < like->rank; i++)
        target_axes_push(&axes, ctx_index(&ctx, symbol_printf(lw, "i%d", i), &like->axes[i]));
    LTensor *result = ctx_finish(lw, &ctx, tensor->name, read_by_position(lw, &ctx, tensor), &axes, like->integer, &like->points_into, tensor->span);
    ctx_free(&ctx);
    return result;
}

LTensor *tensor_plain(Body *body, LTensor *tensor, bool integer)
{
    LTensor plain = *tensor;
    plain.integer = integer;
    for (int i = 0; i < plain.rank; i++)
        plain.axes[i] = axis_of(axis_size(body->lw, &tensor->axes[i]));
    return tensor_like(body, tensor, &plain);
}

static bool same_shape(Lower *lw, const LTensor *a, const LTensor *b, Span span)
{
    bool same = a->rank == b->rank;
    int axis = 0;
    for (; same && axis < a->rank; axis++)
        if (axis_size(lw, &a->axes[axis]) != axis_size(lw, &b->axes[axis])) {
            same = false;
            break;
        }
    if (same)
        return true;
    Diagnostic *diag;
    if (a->rank != b->rank) {
        diag = diag_add(lw->diags, DIAG_E0301, span, "a tensor of %d %s cannot be joined with one of %d", a->rank, axes_word(a->rank), b->rank);
    } else {
        diag = diag_add(lw->diags, DIAG_E0301, span, "the stream is %s wide, but what joins it is %s wide", axis_text(lw, &a->axes[axis]), axis_text(lw, &b->axes[axis]));
        diag_fix(lw->diags, diag, "change the width of the stream by `project(d = %s)`, or run the layer on its own width with `at … { }`", axis_text(lw, &b->axes[axis]));
    }
    if (b->span.file >= 0)
        diag_label(lw->diags, diag, b->span, "this is what joins");
    return false;
}

LTensor *eval_elementwise(Body *body, Scope *scope, const Node *node)
{
    Lower *lw = body->lw;
    const Node *sides[2] = {node->kids[BINARY_LEFT], node->kids[BINARY_RIGHT]};
    LTensor *tensors[2] = {NULL, NULL};
    Val constants[2];
    for (int i = 0; i < 2; i++) {
        const bool constant =
            sides[i]->kind == NODE_NUMBER || (sides[i]->kind == NODE_NAME && scope_find(scope, sides[i]->name) && val_is_const(scope_find(scope, sides[i]->name)));
        if (constant)
            constants[i] = eval_const(lw, scope, sides[i]);
        else if (!(tensors[i] = eval_tensor(body, scope, sides[i])))
            return NULL;
    }
    const LTensor *like = tensors[0] ? tensors[0] : tensors[1];
    if (!like || (tensors[0] && tensors[1] && !same_shape(lw, tensors[0], tensors[1], node->span)))
        return NULL;
    OpCtx ctx = ctx_begin(body, scope, OP_NEST, NULL);
    TargetAxes axes = {0};
    ctx.ob.op.reducer = REDUCE_SET;
    for (int i = 0; i < like->rank; i++) {
        const Axis axis = tensors[0] && tensors[1] ? common_axis(lw, &tensors[0]->axes[i], &tensors[1]->axes[i]) : like->axes[i];
        target_axes_push(&axes, ctx_index(&ctx, symbol_printf(lw, "i%d", i), &axis));
    }
    for (int i = 0; i < 2; i++)
        if (tensors[i])
            constants[i] = (Val){.kind = VAL_EXPR, .expr = read_by_position(lw, &ctx, tensors[i]), .owner = &ctx, .span = sides[i]->span};
    const Val sum = arithmetic(lw, &ctx, node->op, constants[0], constants[1], node->span);
    const int expr = val_expr(lw, &ctx, &sum, node->span);
    LTensor *result = expr < 0 ? NULL : ctx_finish(lw, &ctx, intern(lw->interner, "y"), expr, &axes, false, NULL, node->span);
    ctx_free(&ctx);
    return result;
}
