/* Short ways to write programs of the tensor IR in tests, and to run them. */
#ifndef BFM_TEST_IR_SKETCH_H
#define BFM_TEST_IR_SKETCH_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"
#include "ir/ir.h"

typedef struct Sketch {
    Arena *arena;
    Interner *interner;
    Program *program;
    Unit *unit;   /* under construction */
    OpBuilder op; /* under construction */
} Sketch;

static inline Sketch sketch_new(void)
{
    Sketch s = {.arena = arena_new(), .interner = interner_new()};
    s.program = program_new(s.arena, s.interner);
    s.unit = s.program->main = unit_new(s.program, intern(s.interner, "main"));
    return s;
}

static inline void sketch_free(Sketch *s)
{
    interner_free(s->interner);
    arena_free(s->arena);
}

/* "4", "b", "l", "2b" */
static inline Dim sketch_dim(Sketch *s, const char **text)
{
    char *end;
    long value = strtol(*text, &end, 10);
    Dim dim = dim_int(s->program->dims, end == *text ? 1 : value);
    *text = end;
    for (; **text == 'b' || **text == 'l'; (*text)++)
        dim = dim_mul(s->program->dims, dim, dim_symbol(s->program->dims, **text == 'b' ? DIM_B : DIM_L));
    return dim;
}

/* name, shape "2,b,3"; bound > 0 makes it an integer tensor. */
static inline int sketch_tensor(Sketch *s, const char *name, const char *shape, TensorRole role, int bound)
{
    Dim extent[8];
    int rank = 0;
    for (const char *at = shape; *at; at += *at == ',')
        extent[rank++] = sketch_dim(s, &at);
    ElemType type = bound ? T_INT : T_REAL;
    Dim limit = bound ? dim_int(s->program->dims, bound) : NULL;
    Symbol symbol = intern(s->interner, name);
    return role == TENSOR_LOCAL ? unit_tensor(s->unit, symbol, type, role, rank, extent, limit) : unit_formal(s->unit, symbol, type, role, rank, extent, limit);
}

static inline int param(Sketch *s, const char *name, const char *shape) { return sketch_tensor(s, name, shape, TENSOR_PARAM, 0); }
static inline int input(Sketch *s, const char *name, const char *shape) { return sketch_tensor(s, name, shape, TENSOR_INPUT, 0); }
static inline int local(Sketch *s, const char *name, const char *shape) { return sketch_tensor(s, name, shape, TENSOR_LOCAL, 0); }
static inline int integers(Sketch *s, const char *name, const char *shape, int bound, bool formal)
{
    return sketch_tensor(s, name, shape, formal ? TENSOR_INPUT : TENSOR_LOCAL, bound);
}

/* Indices "i:3 j:l" */
static inline void begin(Sketch *s, OpKind kind, Reducer reducer, const char *indices)
{
    s->op = op_begin(s->unit, kind);
    s->op.op.reducer = reducer;
    for (const char *at = indices; *at;) {
        size_t length = strcspn(at, ":");
        Symbol name = intern_n(s->interner, at, length);
        at += length + 1;
        (void)op_index(&s->op, name, sketch_dim(s, &at));
        at += *at == ' ';
    }
}

static inline int index_named(Sketch *s, const char **text)
{
    size_t length = 0;
    while ((*text)[length] >= 'a' && (*text)[length] <= 'z')
        length++;
    for (int i = 0; i < s->op.op.index_count; i++)
        if (strlen(s->op.op.indices[i].name) == length && !strncmp(s->op.op.indices[i].name, *text, length)) {
            *text += length;
            return i;
        }
    fail_msg("no index at %s", *text);
    return -1;
}

/* "i", "l-s", "2-i", "3" */
static inline Affine sketch_affine(Sketch *s, const char **text)
{
    Program *p = s->program;
    Affine sum = affine_const(p, dim_int(p->dims, 0));
    while (**text && !strchr(",)/", **text)) {
        int sign = **text == '-' ? -1 : 1;
        *text += **text == '-' || **text == '+';
        Affine term = **text >= '0' && **text <= '9' ? affine_const(p, sketch_dim(s, text)) : affine_index(p, index_named(s, text));
        sum = affine_add(p, sum, affine_scale(p, term, dim_int(p->dims, sign)));
    }
    return sum;
}

/* Subscripts "i,l-s,@7(g,p)/2": affine, or the value of integer tensor 7 over 2 axes. */
static inline Access at_text(Sketch *s, int tensor, const char **text)
{
    Access access = access_new(s->program, tensor, 8);
    access.count = 0;
    while (**text && **text != ')') {
        Sub sub;
        if (**text == '@') {
            char *end;
            int read = (int)strtol(*text + 1, &end, 10);
            *text = end + 1;
            sub = sub_read(s->program, at_text(s, read, text), 1);
            (*text)++;
        } else {
            sub = sub_affine(sketch_affine(s, text), 1);
        }
        if (**text == '/') {
            char *end;
            sub.span = (int)strtol(*text + 1, &end, 10);
            *text = end;
        }
        access.subs[access.count++] = sub;
        *text += **text == ',';
    }
    return access;
}

__attribute__((format(printf, 3, 4))) static inline Access at(Sketch *s, int tensor, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *p = text;
    return at_text(s, tensor, &p);
}

static inline int rd(Sketch *s, int tensor, const char *subs) { return expr_read(&s->op, at(s, tensor, "%s", subs)); }
static inline int num(Sketch *s, double value) { return expr_const(&s->op, value); }
static inline int pos(Sketch *s, const char *name) { return expr_pos(&s->op, index_named(s, &name)); }
static inline int un(Sketch *s, ExprKind kind, int a) { return expr_op(&s->op, kind, a, -1, -1); }
static inline int bin(Sketch *s, ExprKind kind, int a, int b) { return expr_op(&s->op, kind, a, b, -1); }
static inline int mul(Sketch *s, int a, int b) { return bin(s, EXPR_MUL, a, b); }
static inline int add(Sketch *s, int a, int b) { return bin(s, EXPR_ADD, a, b); }
static inline void cond(Sketch *s, const char *affine) { op_cond(&s->op, sketch_affine(s, &affine)); }

/* Ends the operation: out[subs] (+)= body. */
static inline int end(Sketch *s, int out, const char *subs, int body)
{
    s->op.op.body = body;
    s->op.op.out = at(s, out, "%s", subs);
    return op_finish(&s->op);
}

static inline void output(Sketch *s, const char *name, OutputKind kind, int tensor) { (void)unit_output(s->unit, intern(s->interner, name), kind, tensor); }

/* loss sum= T[…]·(1 + 0.1·flat position) over all elements: every element's adjoint differs. */
static inline void loss_of(Sketch *s, int tensor, const char *indices, const char *subs)
{
    int loss = local(s, "loss", "");
    begin(s, OP_NEST, REDUCE_SUM, indices);
    int weight = num(s, 1);
    double scale = 0.37;
    for (int i = s->op.op.index_count - 1; i >= 0; i--, scale *= 1.7)
        weight = add(s, weight, mul(s, num(s, scale), expr_pos(&s->op, i)));
    (void)end(s, loss, "", mul(s, rd(s, tensor, subs), weight));
    output(s, "loss", OUTPUT_LOSS, loss);
}

/* ---- running ---------------------------------------------------------------------------------------------------------------- */

static inline double sketch_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static inline InterpContext sketch_context(void)
{
    InterpContext context = {.precision = INTERP_F64, .seed = 7, .step = 3};
    context.env.value[DIM_B] = 2;
    context.env.value[DIM_L] = 3;
    return context;
}

/* Formals: reals in [0.2, 1.2) with varied signs if `signs`, integers anywhere below their bound and sometimes none. */
static inline Value *sketch_formals(Sketch *s, const Unit *unit, bool signs, uint64_t seed)
{
    InterpContext context = sketch_context();
    Value *formals = ARENA_ARRAY(s->arena, Value, unit->formal_count + 1);
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        Value *value = &formals[f];
        value->count = tensor_elements(tensor, &context.env);
        value->real = tensor->type == T_REAL ? ARENA_ARRAY(s->arena, double, value->count + 1) : NULL;
        value->integer = tensor->type == T_INT ? ARENA_ARRAY(s->arena, int32_t, value->count + 1) : NULL;
        for (int64_t i = 0; i < value->count; i++) {
            double draw = sketch_random(&seed), sign = signs && sketch_random(&seed) < 0.5 ? -1 : 1;
            if (value->real)
                value->real[i] = sign * (0.2 + draw);
            else
                value->integer[i] = draw < 0.2 ? -1 : (int32_t)(sketch_random(&seed) * (double)dim_eval(tensor->bound, &context.env));
        }
    }
    return formals;
}

static inline Value *sketch_run(Sketch *s, const Unit *unit, const Value *formals)
{
    InterpContext context = sketch_context();
    Value *results = ARENA_ARRAY(s->arena, Value, unit->output_count + 1);
    const char *error = interp_run(s->arena, unit, &context, formals, results, NULL);
    if (error)
        fail_msg("%s", error);
    return results;
}

#endif
