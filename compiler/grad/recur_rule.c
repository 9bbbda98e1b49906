/* Recurrences. With c(a) what the reverse recurrence holds after point a, and A' the coefficient (1 at points outside the domain):
     inclusive output:  λ = H̄ + R,  R exclusive reverse recurrence of A' and A'·H̄;   c = A'·(c + H̄)
     exclusive output:  λ = R,       R exclusive reverse recurrence of A' and H̄;      c = A'·c + H̄
   B̄ = λ and Ā = λ·H(prev) over the domain; init gets c after the first point. */
#include "grad/internal.h"

typedef struct RecurGrad {
    Backward *b;
    const Op *op;
    int ybar;   /* adjoint of the output */
    int inside; /* 1 on the domain, 0 elsewhere; -1: the domain is the whole box */
    int coef;   /* A on the domain; -1: A is the constant 1, or read from the expression itself */
} RecurGrad;

/* T[a] sum= value over the recurrence's domain, 0 elsewhere; value is 1 (expr < 0) or an expression of it. */
static int spread(RecurGrad *r, int expr, const char *suffix)
{
    Backward *b = r->b;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder_indices(&builder, r->op);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, r->op, NULL, backward_tensor_map, b);
    rewrite_domain(&rewrite);
    builder.op.body = expr < 0 ? expr_const(&builder, 1) : rewrite_expr(&rewrite, expr);
    int tensor = backward_like(b, r->op->out.tensor, suffix);
    builder.op.out = rewrite_subs(&rewrite, &r->op->out, tensor);
    rewrite_keep_none(&rewrite);
    (void)op_finish(&builder);
    return tensor;
}

/* A' at the point, -1 for the constant 1. */
static int coefficient(RecurGrad *r, Rewrite *rewrite)
{
    if (r->op->body2 < 0)
        return -1;
    if (r->inside < 0)
        return rewrite_expr(rewrite, r->op->body2);
    OpBuilder *to = rewrite->to;
    int inside = expr_read(to, rewrite_subs(rewrite, &r->op->out, r->inside));
    int coef = expr_read(to, rewrite_subs(rewrite, &r->op->out, r->coef));
    return expr_op(to, EXPR_SELECT, inside, coef, expr_const(to, 1));
}

/* The reverse recurrence over the whole box. */
static int reverse(RecurGrad *r, bool exclusive, const char *suffix)
{
    Backward *b = r->b;
    Program *program = b->forward->program;
    OpBuilder builder = op_begin(b->target, OP_RECUR);
    builder_indices(&builder, r->op);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, r->op, NULL, backward_tensor_map, b);
    int ybar = expr_read(&builder, rewrite_subs(&rewrite, &r->op->out, r->ybar));
    int a = coefficient(r, &rewrite);
    builder.op.body = r->op->exclusive || a < 0 ? ybar : expr_op(&builder, EXPR_MUL, a, ybar, -1);
    builder.op.body2 = a;
    builder.op.scan_count = r->op->scan_count;
    builder.op.scan = r->op->scan;
    builder.op.reverse = !r->op->reverse;
    builder.op.exclusive = exclusive;
    builder.op.init = access_new(program, -1, 0);
    int tensor = backward_like(b, r->op->out.tensor, suffix);
    builder.op.out = rewrite_subs(&rewrite, &r->op->out, tensor);
    (void)op_finish(&builder);
    return tensor;
}

/* What H held before each point's own update: where one index is scanned from 0 on, H one step before. */
static int previous(RecurGrad *r, Seed *seed)
{
    Backward *b = r->b;
    if (r->op->exclusive)
        return backward_need(b, r->op->out.tensor);
    if (r->op->scan_count == 1 && r->op->init.tensor < 0) {
        seed->behind = r->op->scan[0];
        return backward_need(b, r->op->out.tensor);
    }
    OpBuilder builder = op_begin(b->target, OP_RECUR);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, r->op, NULL, backward_tensor_map, b);
    Op exclusive = *r->op;
    rewrite.from = &exclusive;
    rewrite_all(&rewrite);
    builder.op.exclusive = true;
    int tensor = backward_like(b, r->op->out.tensor, ".before");
    builder.op.out.tensor = tensor;
    (void)op_finish(&builder);
    return tensor;
}

/* λ[a] = H̄[a] + R[a] */
static int add_carry(RecurGrad *r, int carry)
{
    Backward *b = r->b;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    builder_indices(&builder, r->op);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, r->op, NULL, backward_tensor_map, b);
    int ybar = expr_read(&builder, rewrite_subs(&rewrite, &r->op->out, r->ybar));
    int carried = expr_read(&builder, rewrite_subs(&rewrite, &r->op->out, carry));
    builder.op.body = expr_op(&builder, EXPR_ADD, ybar, carried, -1);
    int tensor = backward_like(b, r->op->out.tensor, ".adjoint");
    builder.op.out = rewrite_subs(&rewrite, &r->op->out, tensor);
    (void)op_finish(&builder);
    return tensor;
}

static bool is_scanned(const Op *op, int index)
{
    for (int s = 0; s < op->scan_count; s++)
        if (op->scan[s] == index)
            return true;
    return false;
}

/* init̄[β] sum= c after the first point: conditions hold the scanned indices there (an axis may be empty, so that there is none). */
static void init_rule(RecurGrad *r)
{
    Backward *b = r->b;
    const Op *op = r->op;
    if (op->init.tensor < 0 || op->init.tensor >= b->tensor_count || !b->varied[op->init.tensor])
        return;
    Program *program = b->forward->program;
    int carry = reverse(r, false, ".carry");
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder_indices(&builder, op);
    for (int i = 0; i < op->index_count; i++) {
        Affine index = affine_index(program, i), last = affine_const(program, dim_sub(program->dims, op->indices[i].extent, dim_int(program->dims, 1)));
        if (is_scanned(op, i))
            op_cond(&builder, op->reverse ? affine_sub(program, index, last) : affine_scale(program, index, dim_int(program->dims, -1)));
    }
    Rewrite rewrite = rewrite_begin(&builder, b->forward, op, NULL, backward_tensor_map, b);
    builder.op.body = expr_read(&builder, rewrite_subs(&rewrite, &op->out, carry));
    int contribution = backward_like(b, op->init.tensor, ".grad");
    builder.op.out = rewrite_subs(&rewrite, &op->init, contribution);
    (void)op_finish(&builder);
    backward_contribute(b, op->init.tensor, contribution);
}

void recur_rule(Backward *b, const Op *op)
{
    if (op->out.tensor >= b->tensor_count || !b->varied[op->out.tensor])
        return;
    RecurGrad r = {.b = b, .op = op, .ybar = backward_adjoint(b, op->out.tensor), .inside = -1, .coef = -1};
    if (r.ybar < 0)
        return;
    if (op->body2 >= 0 && !op_full_box(op)) {
        r.inside = spread(&r, -1, ".inside");
        r.coef = spread(&r, op->body2, ".coef");
    }
    int carry = reverse(&r, true, ".carried");
    int lambda = op->exclusive ? carry : add_carry(&r, carry);
    Seed seed = seed_of(lambda);
    expression_rule(b, op, op->body, &seed);
    if (op->body2 >= 0) {
        bool varied = false;
        for (int id = op->body2; id >= 0; id--)
            varied = varied || (op->exprs[id].kind == EXPR_READ && b->varied[op->exprs[id].access.tensor]);
        if (varied)
            seed.factor = previous(&r, &seed);
        if (varied)
            expression_rule(b, op, op->body2, &seed);
    }
    init_rule(&r);
}
