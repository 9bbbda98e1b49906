/* One unit in reverse: where forward tensors come from, how contributions become adjoints, and the walk over its operations. */
#include "grad/internal.h"

#include "ir/volume.h"
#include "support/bug.h"

#include <string.h>

/* Kept from the forward run rather than computed again: what reduced, recurred, ranked or was called, and every integer. Element-wise
   definitions are recomputed, and so are a recurrence that holds more than what it is made from (a state of outer products), and the
   score and its raw form inside a stream, whose size is the reason for streaming. */
static bool must_save(const Backward *b, int tensor)
{
    const Tensor *t = &b->forward->tensors[tensor];
    if (t->role != TENSOR_LOCAL || t->type == T_INT || t->def < 0)
        return true;
    const Op *op = &b->forward->ops[t->def];
    if (op->group > 0) {
        const Group *group = &b->forward->groups[op->group - 1];
        if (group->kind == GROUP_STREAM && (group->raw == t->def || group->score == t->def))
            return false;
    }
    if (op->kind == OP_RECUR)
        return !op_expands(b->forward, op);
    return op->kind != OP_NEST || op->reducer != REDUCE_SET;
}

static int recompute(Backward *b, const Op *op)
{
    int copy = backward_like(b, op->out.tensor, "");
    b->map[op->out.tensor] = copy;
    OpBuilder builder = op_begin(b->target, op->kind);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, op, NULL, backward_tensor_map, b);
    rewrite_all(&rewrite);
    (void)op_finish(&builder);
    return copy;
}

static void map_reserve(Backward *b, int tensor)
{
    if (tensor < b->map_count)
        return;
    int count = b->forward->tensor_count * 2;
    int *map = ARENA_ARRAY(b->forward->program->arena, int, count);
    for (int i = 0; i < count; i++)
        map[i] = i < b->map_count ? b->map[i] : -1;
    b->map = map;
    b->map_count = count;
}

int backward_need(Backward *b, int tensor)
{
    if (!b->map)
        return tensor;
    map_reserve(b, tensor);
    if (b->map[tensor] >= 0)
        return b->map[tensor];
    const Tensor *t = &b->forward->tensors[tensor];
    if (!must_save(b, tensor))
        return recompute(b, &b->forward->ops[t->def]);
    b->map[tensor] = unit_tensor_like(b->target, t, "", t->role == TENSOR_LOCAL ? TENSOR_INPUT : t->role);
    vec_push(&b->source_of, tensor);
    return b->map[tensor];
}

int backward_tensor_map(void *backward, int tensor) { return backward_need(backward, tensor); }

int backward_like(Backward *b, int tensor, const char *suffix)
{
    const Tensor *t = &b->forward->tensors[tensor];
    return unit_tensor(b->target, *suffix ? symbol_suffix(b->forward->program, t->name, suffix) : t->name, t->type, TENSOR_LOCAL, t->rank, t->extent, t->bound);
}

void backward_contribute(Backward *b, int tensor, int contribution)
{
    BFM_ASSERT(tensor < b->tensor_count);
    vec_push(&b->adjoints[tensor], contribution);
}

/* sum = c0[i…] + c1[i…] + … in the order given. */
static int add_tensors(Backward *b, int tensor, const IntList *parts)
{
    Program *program = b->forward->program;
    const Tensor *t = &b->forward->tensors[tensor];
    int rank = t->rank, *indices = ARENA_ARRAY(program->arena, int, rank + 1);
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    for (int k = 0; k < rank; k++)
        indices[k] = op_index(&builder, intern(program->interner, arena_printf(program->arena, "i%d", k)), t->extent[k]);
    int sum = -1;
    for (int p = 0; p < parts->count; p++) {
        int part = expr_read(&builder, access_indices(program, parts->items[p], rank, indices));
        sum = sum < 0 ? part : expr_op(&builder, EXPR_ADD, sum, part, -1);
    }
    builder.op.body = sum;
    int total = backward_like(b, tensor, ".grad");
    builder.op.out = access_indices(program, total, rank, indices);
    (void)op_finish(&builder);
    return total;
}

int backward_copy(Backward *b, int like, int from)
{
    IntList parts = {&from, 1, 1};
    return add_tensors(b, like, &parts);
}

int backward_adjoint(Backward *b, int tensor)
{
    if (tensor >= b->tensor_count || b->adjoints[tensor].count == 0)
        return -1;
    IntList *parts = &b->adjoints[tensor];
    if (parts->count > 1) {
        int total = add_tensors(b, tensor, parts);
        parts->count = 1;
        parts->items[0] = total;
    }
    return parts->items[0];
}

void backward_run(Backward *b, int count)
{
    int failed_group = 0;
    for (int i = count - 1; i >= 0; i--) {
        Op op = b->forward->ops[i]; /* a copy: target may be the same unit, whose array grows */
        if (op.group > 0 && op.group != failed_group && b->forward->groups[op.group - 1].kind == GROUP_STREAM) {
            if (stream_rule(b, op.group)) {
                while (i > 0 && b->forward->ops[i - 1].group == op.group)
                    i--;
                continue;
            }
            failed_group = op.group; /* member by member, then */
        }
        switch (op.kind) {
        case OP_NEST: nest_rule(b, &op); break;
        case OP_RECUR: recur_rule(b, &op); break;
        case OP_TOP: break;
        case OP_CALL: call_rule(b, i); break;
        }
    }
}
