/* Requirements on sizes that are known at run time only: kept while lowering, asked when a batch and a length are given. */
#include "lower/internal.h"

#include <string.h>

bool requirement_deferred(Body *body, const Node *condition)
{
    Lower *lw = body->lw;
    Rational known;
    if (condition->kind != NODE_BINARY || condition->op < AST_LT || condition->op > AST_GE)
        return false;
    const int errors = diag_raised(lw->diags);
    const Val left = eval_const(lw, body->scope, condition->kids[BINARY_LEFT]), right = eval_const(lw, body->scope, condition->kids[BINARY_RIGHT]);
    if (diag_raised(lw->diags) > errors)
        return true; /* told */
    if (left.kind != VAL_NUMBER || right.kind != VAL_NUMBER || !left.dim || !right.dim || dim_is_rational(dim_sub(lw->dims, left.dim, right.dim), &known))
        return false;
    vec_push(&lw->requirements, (Requirement){body->node ? body->node->name : NULL, NULL, condition->op, left.dim, right.dim, condition->span, span_none()});
    return true;
}

static bool holds(int op, int order) { return op == AST_LT ? order < 0 : op == AST_LE ? order <= 0 : op == AST_GT ? order > 0 : order >= 0; }

static const char *number_text(Arena *arena, Rational value)
{
    char text[64];
    (void)rational_print(value, text, sizeof text);
    return arena_strdup(arena, text);
}

void requirements_warn(const Module *module, const Lowered *lowered, int64_t batch, int64_t length)
{
    const DimEnv env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_N] = 1}};
    for (int i = 0; i < lowered->requirement_count; i++) {
        const Requirement *requirement = &lowered->requirements[i];
        const Rational left = dim_eval_exact(requirement->left, &env), right = dim_eval_exact(requirement->right, &env);
        if (!rational_valid(left) || !rational_valid(right) || holds(requirement->op, rational_compare(left, right)))
            continue;
        const bool line = requirement->line.file >= 0;
        Diagnostic *diag = diag_add(module->diags, DIAG_W0502, line ? requirement->line : requirement->span, "a requirement of `%s` does not hold for %lld × %lld tokens",
                                    requirement->definition ? requirement->definition : "?", (long long)batch, (long long)length);
        diag_label(module->diags, diag, requirement->span, "the left side is %s, the right side %s", number_text(module->arena, left), number_text(module->arena, right));
        if (requirement->waiver)
            diag_fix(module->diags, diag, "change sizes or attributes, or write `%s = true`", requirement->waiver);
    }
}
