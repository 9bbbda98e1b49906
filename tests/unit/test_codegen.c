/* Kernels against the interpreter: hand-made operations, one per way of running them, at several levels, widths and instruction sets. */
#include "materialise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

typedef struct World {
    Arena *arena;
    Interner *interner;
    Program *program;
    Unit *unit;
} World;

static World world_new(void)
{
    World w = {.arena = arena_new(), .interner = interner_new()};
    w.program = program_new(w.arena, w.interner);
    w.unit = unit_new(w.program, intern(w.interner, "u"));
    return w;
}

static void world_free(World *w)
{
    arena_free(w->arena);
    interner_free(w->interner);
}

static Dim dim(World *w, int64_t value) { return dim_int(w->program->dims, value); }
static Symbol name(World *w, const char *text) { return intern(w->interner, text); }

static int tensor(World *w, const char *text, ElemType type, bool formal, int rank, const Dim *extents, Dim bound)
{
    return formal ? unit_formal(w->unit, name(w, text), type, TENSOR_INPUT, rank, extents, bound) : unit_tensor(w->unit, name(w, text), type, TENSOR_LOCAL, rank, extents, bound);
}
#define EXTENTS(...)                                                                                                                                                               \
    (int)(sizeof((const Dim[]){__VA_ARGS__}) / sizeof(Dim)), (const Dim[]) { __VA_ARGS__ }
#define REAL(w, text, formal, ...)       tensor(w, text, T_REAL, formal, EXTENTS(__VA_ARGS__), NULL)
#define INT(w, text, formal, bound, ...) tensor(w, text, T_INT, formal, EXTENTS(__VA_ARGS__), bound)
#define ACCESS(w, t, ...)                access_indices((w)->program, t, (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), (const int[]){__VA_ARGS__})

static int binary(OpBuilder *ob, ExprKind kind, int a, int b) { return expr_op(ob, kind, a, b, -1); }
static int unary(OpBuilder *ob, ExprKind kind, int a) { return expr_op(ob, kind, a, -1, -1); }

/* ---- running and comparing ------------------------------------------------------------------------------------------------------ */

static uint64_t draw_state = 12345;

static double random_number(void)
{
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(draw_state >> 33) / (double)(1u << 30) - 1.0;
}

static Value random_value(Arena *arena, const Tensor *t, const DimEnv *env)
{
    Value value = {.count = tensor_elements(t, env)};
    assert_true(value.count >= 0);
    if (t->type == T_REAL) {
        value.real = ARENA_ARRAY(arena, double, value.count + 1);
        for (int64_t i = 0; i < value.count; i++)
            value.real[i] = (double)(float)random_number();
        return value;
    }
    int64_t bound = dim_eval(t->bound, env);
    value.integer = ARENA_ARRAY(arena, int32_t, value.count + 1);
    for (int64_t i = 0; i < value.count; i++)
        value.integer[i] = (int32_t)((random_number() + 1) / 2 * (double)(bound + 1)) - 1;
    return value;
}

static bool near(double a, double b)
{
    if (a != a)
        return b != b || b == 0; /* a hole: kernels put 0 */
    return a == b || fabs(a - b) <= 2e-5 * fmax(1, fmax(fabs(a), fabs(b)));
}

static void compare(const Unit *unit, const Value *expected, const Value *got, const char *how)
{
    for (int t = 0; t < unit->tensor_count; t++)
        for (int64_t i = 0; i < got[t].count; i++) {
            bool equal = unit->tensors[t].type == T_INT ? expected[t].integer[i] == got[t].integer[i] : near(expected[t].real[i], got[t].real[i]);
            if (!equal)
                fail_msg("%s: %s[%" PRId64 "] is %g, not %g", how, unit->tensors[t].name, i, got[t].integer ? got[t].integer[i] : got[t].real[i],
                         expected[t].integer ? expected[t].integer[i] : expected[t].real[i]);
        }
}

/* The same bits: two runs that differ only in how ranges are cut, or in instruction set. */
static void same_bits(const Unit *unit, const Value *a, const Value *b, const char *how)
{
    for (int t = 0; t < unit->tensor_count; t++)
        for (int64_t i = 0; i < a[t].count; i++)
            if (unit->tensors[t].type == T_REAL && memcmp(&a[t].real[i], &b[t].real[i], sizeof(double)) != 0 && a[t].real[i] == a[t].real[i])
                fail_msg("%s: %s[%" PRId64 "] is %a and %a", how, unit->tensors[t].name, i, a[t].real[i], b[t].real[i]);
}

static Value *run_once(World *w, const CodegenOptions *options, const InterpContext *context, const Value *formals, uint64_t cut, Arena *arena)
{
    BfmError error = {0};
    Jit *jit = jit_new(&(JitOptions){.cache = ""}, &error);
    assert_non_null(jit);
    Materialise m = {.arena = arena, .jit = jit, .codegen = codegen_new(arena, options), .context = context, .cut = cut};
    Value *all = ARENA_ARRAY(arena, Value, w->unit->tensor_count);
    if (!materialise_run(&m, w->unit, formals, all, &error))
        fail_msg("%s %s", error.message, m.message);
    materialise_free(&m);
    jit_free(jit);
    return all;
}

static void check(World *w, int64_t b, int64_t l)
{
    static const struct {
        const char *how;
        CodegenOptions options;
        uint64_t cut;
        bool bits;
    } runs[] = {
        {"level 2", {.level = 2}, 0, true},
        {"level 2, cut", {.level = 2}, 7, true},
        {"level 0", {.level = 0}, 3, true},
        {"level 1, AVX2", {.level = 1, .cpu = "x86-64-v3"}, 5, true},
        {"level 2, 8 lanes", {.level = 2, .width = 8}, 9, false},
        {"level 2, scalar", {.level = 2, .width = 1}, 11, false},
    };
    const char *problem = unit_verify(w->unit);
    if (problem)
        fail_msg("%s", problem);
    Arena *arena = arena_new();
    InterpContext context = {.precision = INTERP_F64, .env = {{b, l, 0}}, .seed = 42, .step = 3};
    Value *formals = ARENA_ARRAY(arena, Value, w->unit->formal_count + 1), *expected = ARENA_ARRAY(arena, Value, w->unit->tensor_count);
    for (int i = 0; i < w->unit->formal_count; i++)
        formals[i] = random_value(arena, &w->unit->tensors[w->unit->formals[i]], &context.env);
    Value *results = ARENA_ARRAY(arena, Value, w->unit->output_count + 1);
    problem = interp_run(arena, w->unit, &context, formals, results, expected);
    if (problem)
        fail_msg("interp: %s", problem);
    Value *first = NULL;
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        Value *got = run_once(w, &runs[r].options, &context, formals, runs[r].cut, arena);
        compare(w->unit, expected, got, runs[r].how);
        if (!first)
            first = got;
        else if (runs[r].bits)
            same_bits(w->unit, first, got, runs[r].how);
    }
    arena_free(arena);
}

static void check_sizes(World *w)
{
    static const int64_t sizes[][2] = {{1, 1}, {2, 3}, {3, 17}, {1, 16}, {2, 37}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check(w, sizes[i][0], sizes[i][1]);
}

/* ---- maps ---------------------------------------------------------------------------------------------------------------------- */

static Dim batch(World *w) { return dim_symbol(w->program->dims, DIM_B); }
static Dim length(World *w) { return dim_symbol(w->program->dims, DIM_L); }

/* y[b,l] = tanh(x[b,l]) * g[l] + pos(l) / size(l) */
static void test_map(void **state)
{
    (void)state;
    World w = world_new();
    Dim b = batch(&w), l = length(&w);
    int x = REAL(&w, "x", true, b, l), g = REAL(&w, "g", true, l), y = REAL(&w, "y", false, b, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
    int t = unary(&ob, EXPR_TANH, expr_read(&ob, ACCESS(&w, x, i, j)));
    int s = binary(&ob, EXPR_MUL, t, expr_read(&ob, ACCESS(&w, g, j)));
    int q = binary(&ob, EXPR_DIV, expr_pos(&ob, j), expr_dim(&ob, l));
    ob.op.body = binary(&ob, EXPR_ADD, s, q);
    ob.op.out = ACCESS(&w, y, i, j);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* y[l,b] = x[b,l] where l <= 2*b: a transposition with holes; z the same with an unsafe shift x[b, l - 1] where l >= 1. */
static void test_map_domain(void **state)
{
    (void)state;
    World w = world_new();
    Dim b = batch(&w), l = length(&w);
    int x = REAL(&w, "x", true, b, l), y = REAL(&w, "y", false, l, b), z = REAL(&w, "z", false, b, l);
    Program *p = w.program;
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
    op_cond(&ob, affine_sub(p, affine_scale(p, affine_index(p, i), dim(&w, 2)), affine_index(p, j)));
    ob.op.body = unary(&ob, EXPR_EXP, expr_read(&ob, ACCESS(&w, x, i, j)));
    ob.op.out = ACCESS(&w, y, j, i);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
    Affine before = affine_sub(p, affine_index(p, j), affine_const(p, dim(&w, 1)));
    op_cond(&ob, before);
    Access shifted = ACCESS(&w, x, i, j);
    shifted.subs[1] = sub_affine(before, 1);
    ob.op.body = binary(&ob, EXPR_SUB, expr_read(&ob, ACCESS(&w, x, i, j)), expr_read(&ob, shifted));
    ob.op.out = ACCESS(&w, z, i, j);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* z = x but for row b = 1, where it is 2*x: a SET that extends a tensor. */
static void test_extend(void **state)
{
    (void)state;
    World w = world_new();
    Dim b = batch(&w), l = length(&w);
    Program *p = w.program;
    int x = REAL(&w, "x", true, b, l), z = REAL(&w, "z", false, b, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
    Affine off = affine_sub(p, affine_index(p, i), affine_const(p, dim(&w, 1)));
    op_cond(&ob, off);
    op_cond(&ob, affine_scale(p, off, dim(&w, -1)));
    ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, x, i, j)), expr_const(&ob, 2));
    ob.op.out = ACCESS(&w, z, i, j);
    ob.op.init = ACCESS(&w, x, i, j);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* Gather y[l,k] = x[at[l], k], reverse r[l] = x0[last - l], strided s[l] = x[l, 2]; points whose index is none are holes. */
static void test_gather(void **state)
{
    (void)state;
    World w = world_new();
    Dim l = length(&w), k = dim(&w, 5);
    Program *p = w.program;
    int x = REAL(&w, "x", true, l, k), at = INT(&w, "at", true, l, l), y = REAL(&w, "y", false, l, k), c = REAL(&w, "c", true, l);
    int r = REAL(&w, "r", false, l), s = REAL(&w, "s", false, l), n = INT(&w, "n", false, l, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int i = op_index(&ob, name(&w, "i"), l), j = op_index(&ob, name(&w, "j"), k);
    Access gather = ACCESS(&w, x, i, j), inner = ACCESS(&w, at, i);
    gather.subs[0] = sub_read(p, inner, 1);
    ob.op.body = expr_read(&ob, gather);
    ob.op.out = ACCESS(&w, y, i, j);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    i = op_index(&ob, name(&w, "i"), l);
    Access back = ACCESS(&w, c, i);
    back.subs[0] = sub_affine(affine_sub(p, affine_const(p, dim_sub(p->dims, l, dim(&w, 1))), affine_index(p, i)), 1);
    ob.op.body = unary(&ob, EXPR_SIGMOID, expr_read(&ob, back));
    ob.op.out = ACCESS(&w, r, i);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    i = op_index(&ob, name(&w, "i"), l);
    Access column = ACCESS(&w, x, i, i);
    column.subs[1] = sub_affine(affine_const(p, dim(&w, 2)), 1);
    Access through = ACCESS(&w, c, i);
    through.subs[0] = sub_read(p, ACCESS(&w, at, i), 1);
    ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, column), expr_read(&ob, through));
    ob.op.out = ACCESS(&w, s, i);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    i = op_index(&ob, name(&w, "i"), l);
    int value = expr_read(&ob, ACCESS(&w, at, i));
    ob.op.body = binary(&ob, EXPR_SUB, value, expr_const(&ob, 1)); /* 0 - 1 and none become none */
    ob.op.out = ACCESS(&w, n, i);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* A guard on data, and an integer subscript twice removed: y[i] = x[at[at2[i]]] where m[i] > 0. */
static void test_guard(void **state)
{
    (void)state;
    World w = world_new();
    Dim l = length(&w), b = batch(&w);
    Program *p = w.program;
    int x = REAL(&w, "x", true, b), at = INT(&w, "at", true, b, l), at2 = INT(&w, "at2", true, l, l), m = REAL(&w, "m", true, l), y = REAL(&w, "y", false, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int i = op_index(&ob, name(&w, "i"), l);
    Access middle = ACCESS(&w, at, i), read = ACCESS(&w, x, i);
    middle.subs[0] = sub_read(p, ACCESS(&w, at2, i), 1);
    read.subs[0] = sub_read(p, middle, 1);
    op_guard(&ob, binary(&ob, EXPR_LT, expr_const(&ob, 0), expr_read(&ob, ACCESS(&w, m, i))));
    ob.op.body = expr_read(&ob, read);
    ob.op.out = ACCESS(&w, y, i);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* ---- reductions ------------------------------------------------------------------------------------------------------------------ */

static void reduction(World *w, Reducer reducer, int x, int y, const Dim *extents, bool rows)
{
    OpBuilder ob = op_begin(w->unit, OP_NEST);
    ob.op.reducer = reducer;
    int i = op_index(&ob, name(w, "i"), extents[0]), j = op_index(&ob, name(w, "j"), extents[1]);
    int value = expr_read(&ob, ACCESS(w, x, i, j));
    ob.op.body = binary(&ob, EXPR_MUL, value, expr_const(&ob, 3.25));
    ob.op.out = ACCESS(w, y, rows ? i : j);
    op_finish(&ob);
}

static void test_reduce(void **state)
{
    (void)state;
    static const Reducer reducers[] = {REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_LSE};
    World w = world_new();
    Dim extents[2] = {dim(&w, 19), length(&w)};
    int x = tensor(&w, "x", T_REAL, true, 2, extents, NULL);
    for (int r = 0; r < 4; r++) {
        reduction(&w, reducers[r], x, tensor(&w, "rows", T_REAL, false, 1, &extents[0], NULL), extents, true);
        reduction(&w, reducers[r], x, tensor(&w, "columns", T_REAL, false, 1, &extents[1], NULL), extents, false);
    }
    check_sizes(&w);
    world_free(&w);
}

/* z[i] = sum over j <= i of x[i,j]*v[j]; lse over j <= i, i - j < 3; an empty max over j < i. */
static void test_triangle(void **state)
{
    (void)state;
    World w = world_new();
    Dim l = length(&w);
    Program *p = w.program;
    int x = REAL(&w, "x", true, l, l), v = REAL(&w, "v", true, l);
    for (int form = 0; form < 3; form++) {
        int z = REAL(&w, "z", false, l);
        OpBuilder ob = op_begin(w.unit, OP_NEST);
        ob.op.reducer = form == 0 ? REDUCE_SUM : form == 1 ? REDUCE_LSE : REDUCE_MAX;
        int i = op_index(&ob, name(&w, "i"), l), j = op_index(&ob, name(&w, "j"), l);
        Affine difference = affine_sub(p, affine_index(p, i), affine_index(p, j));
        op_cond(&ob, form == 2 ? affine_sub(p, difference, affine_const(p, dim(&w, 1))) : difference);
        if (form == 1)
            op_cond(&ob, affine_sub(p, affine_const(p, dim(&w, 2)), difference));
        ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, x, i, j)), expr_read(&ob, ACCESS(&w, v, j)));
        ob.op.out = ACCESS(&w, z, i);
        op_finish(&ob);
    }
    check_sizes(&w);
    world_free(&w);
}

/* Products of matrices, plain and by an integer index of the weight, and a scalar over everything. */
static void test_contract(void **state)
{
    (void)state;
    World w = world_new();
    Dim l = length(&w), d = dim(&w, 21), f = dim(&w, 13), n = dim(&w, 4);
    Program *p = w.program;
    int x = REAL(&w, "x", true, l, d), weight = REAL(&w, "weight", true, n, d, f), which = INT(&w, "which", true, n, l);
    int y = REAL(&w, "y", false, l, f), back = REAL(&w, "back", false, l, d), grad = REAL(&w, "grad", false, n, d, f), total = tensor(&w, "total", T_REAL, false, 0, NULL, NULL);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    ob.op.reducer = REDUCE_SUM;
    int i = op_index(&ob, name(&w, "i"), l), o = op_index(&ob, name(&w, "o"), f), k = op_index(&ob, name(&w, "k"), d);
    Access chosen = ACCESS(&w, weight, i, k, o);
    chosen.subs[0] = sub_read(p, ACCESS(&w, which, i), 1);
    ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, x, i, k)), expr_read(&ob, chosen));
    ob.op.out = ACCESS(&w, y, i, o);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    ob.op.reducer = REDUCE_SUM;
    i = op_index(&ob, name(&w, "i"), l), k = op_index(&ob, name(&w, "k"), d), o = op_index(&ob, name(&w, "o"), f);
    chosen = ACCESS(&w, weight, i, k, o);
    chosen.subs[0] = sub_read(p, ACCESS(&w, which, i), 1);
    ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, y, i, o)), expr_read(&ob, chosen));
    ob.op.out = ACCESS(&w, back, i, k);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    ob.op.reducer = REDUCE_SUM;
    i = op_index(&ob, name(&w, "i"), l), k = op_index(&ob, name(&w, "k"), d), o = op_index(&ob, name(&w, "o"), f);
    ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, x, i, k)), expr_read(&ob, ACCESS(&w, y, i, o)));
    ob.op.out = ACCESS(&w, grad, i, k, o);
    ob.op.out.subs[0] = sub_read(p, ACCESS(&w, which, i), 1);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    ob.op.reducer = REDUCE_SUM;
    i = op_index(&ob, name(&w, "i"), l), k = op_index(&ob, name(&w, "k"), d);
    int value = expr_read(&ob, ACCESS(&w, back, i, k));
    ob.op.body = binary(&ob, EXPR_MUL, value, value);
    ob.op.out = access_new(p, total, 0);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* y[at[i], j] += x[i, j], max=, lse= likewise; a histogram; a scattered integer set. */
static void test_scatter(void **state)
{
    (void)state;
    World w = world_new();
    Dim l = length(&w), d = dim(&w, 18), n = dim(&w, 6);
    Program *p = w.program;
    int x = REAL(&w, "x", true, l, d), at = INT(&w, "at", true, n, l);
    static const Reducer reducers[] = {REDUCE_SUM, REDUCE_MAX, REDUCE_LSE, REDUCE_MIN};
    for (int r = 0; r < 4; r++) {
        int y = REAL(&w, "y", false, n, d);
        OpBuilder ob = op_begin(w.unit, OP_NEST);
        ob.op.reducer = reducers[r];
        int i = op_index(&ob, name(&w, "i"), l), j = op_index(&ob, name(&w, "j"), d);
        ob.op.body = expr_read(&ob, ACCESS(&w, x, i, j));
        ob.op.out = ACCESS(&w, y, i, j);
        ob.op.out.subs[0] = sub_read(p, ACCESS(&w, at, i), 1);
        op_finish(&ob);
    }
    int count = REAL(&w, "count", false, n);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    ob.op.reducer = REDUCE_SUM;
    int i = op_index(&ob, name(&w, "i"), l);
    ob.op.body = expr_const(&ob, 1);
    ob.op.out = ACCESS(&w, count, i);
    ob.op.out.subs[0] = sub_read(p, ACCESS(&w, at, i), 1);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* Overlapping windows: y[2*i + j] += x[i, j], an affine scatter; and an identity scatter v[p[i]] = i over a permutation made here. */
static void test_scatter_affine(void **state)
{
    (void)state;
    World w = world_new();
    Dim l = length(&w), three = dim(&w, 3);
    Program *p = w.program;
    Dim out = dim_add(p->dims, dim_mul(p->dims, l, dim(&w, 2)), dim(&w, 1));
    int x = REAL(&w, "x", true, l, three), y = REAL(&w, "y", false, out), turned = INT(&w, "turned", false, l, l), v = INT(&w, "v", false, l, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    ob.op.reducer = REDUCE_SUM;
    int i = op_index(&ob, name(&w, "i"), l), j = op_index(&ob, name(&w, "j"), three);
    ob.op.body = expr_read(&ob, ACCESS(&w, x, i, j));
    ob.op.out = ACCESS(&w, y, i);
    ob.op.out.subs[0] = sub_affine(affine_add(p, affine_scale(p, affine_index(p, i), dim(&w, 2)), affine_index(p, j)), 1);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    i = op_index(&ob, name(&w, "i"), l);
    ob.op.body = binary(&ob, EXPR_SUB, expr_dim(&ob, dim_sub(p->dims, l, dim(&w, 1))), expr_pos(&ob, i));
    ob.op.out = ACCESS(&w, turned, i);
    op_finish(&ob);
    ob = op_begin(w.unit, OP_NEST);
    i = op_index(&ob, name(&w, "i"), l);
    ob.op.body = expr_pos(&ob, i);
    ob.op.out = ACCESS(&w, v, i);
    ob.op.out.subs[0] = sub_read(p, ACCESS(&w, turned, i), 1);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* ---- recurrences, rankings, draws ------------------------------------------------------------------------------------------------ */

static void test_recur(void **state)
{
    (void)state;
    for (int variant = 0; variant < 8; variant++) {
        World w = world_new();
        Dim b = batch(&w), l = length(&w), d = dim(&w, 19), n = dim(&w, 3);
        int x = REAL(&w, "x", true, b, l, d, n), a = REAL(&w, "a", true, l, d), first = REAL(&w, "first", true, b, d), h = REAL(&w, "h", false, b, l, d, n);
        int c = INT(&w, "c", false, dim_add(w.program->dims, dim_mul(w.program->dims, l, n), dim(&w, 1)), b, l, n), z = REAL(&w, "z", true, b, l, n);
        OpBuilder ob = op_begin(w.unit, OP_RECUR);
        int i = op_index(&ob, name(&w, "i"), b), t = op_index(&ob, name(&w, "t"), l), j = op_index(&ob, name(&w, "j"), d), k = op_index(&ob, name(&w, "k"), n);
        ob.op.scan_count = 2;
        ob.op.scan = arena_memdup(w.arena, (int[]){t, k}, 2 * sizeof(int));
        ob.op.body = expr_read(&ob, ACCESS(&w, x, i, t, j, k));
        ob.op.body2 = variant & 1 ? expr_read(&ob, ACCESS(&w, a, t, j)) : -1;
        ob.op.reverse = variant & 2, ob.op.exclusive = variant & 4;
        ob.op.init = variant & 1 ? ACCESS(&w, first, i, j) : (Access){.tensor = -1};
        op_guard(&ob, binary(&ob, EXPR_LT, expr_const(&ob, -0.5), expr_read(&ob, ACCESS(&w, x, i, t, j, k))));
        ob.op.out = ACCESS(&w, h, i, t, j, k);
        op_finish(&ob);
        ob = op_begin(w.unit, OP_RECUR);
        i = op_index(&ob, name(&w, "i"), b), t = op_index(&ob, name(&w, "t"), l), k = op_index(&ob, name(&w, "k"), n);
        ob.op.scan_count = 2;
        ob.op.scan = arena_memdup(w.arena, (int[]){t, k}, 2 * sizeof(int));
        ob.op.body = binary(&ob, EXPR_LT, expr_const(&ob, 0), expr_read(&ob, ACCESS(&w, z, i, t, k)));
        ob.op.body2 = -1;
        ob.op.reverse = variant & 2, ob.op.exclusive = variant & 4;
        ob.op.init = (Access){.tensor = -1};
        ob.op.out = ACCESS(&w, c, i, t, k);
        op_finish(&ob);
        check(&w, 2, 5);
        check(&w, 1, 17);
        world_free(&w);
    }
}

/* A state of outer products, wider than what is carried at once, with rows that are no whole number of lanes. */
static void test_wide_recur(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        World w = world_new();
        Dim b = batch(&w), l = length(&w), m = dim(&w, 67), n = dim(&w, 71);
        int a = REAL(&w, "a", true, b, l), k = REAL(&w, "k", true, b, l, m), v = REAL(&w, "v", true, b, l, n), first = REAL(&w, "first", true, m, n),
            s = REAL(&w, "s", false, b, l, m, n);
        OpBuilder ob = op_begin(w.unit, OP_RECUR);
        int i = op_index(&ob, name(&w, "i"), b), t = op_index(&ob, name(&w, "t"), l), e = op_index(&ob, name(&w, "e"), m), f = op_index(&ob, name(&w, "f"), n);
        ob.op.scan_count = 1;
        ob.op.scan = arena_memdup(w.arena, &t, sizeof t);
        ob.op.body = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, k, i, t, e)), expr_read(&ob, ACCESS(&w, v, i, t, f)));
        ob.op.body2 = expr_read(&ob, ACCESS(&w, a, i, t));
        ob.op.reverse = variant & 1, ob.op.exclusive = variant & 2;
        ob.op.init = variant & 1 ? ACCESS(&w, first, e, f) : (Access){.tensor = -1};
        ob.op.out = ACCESS(&w, s, i, t, e, f);
        op_finish(&ob);
        check(&w, 2, 5);
        world_free(&w);
    }
}

static void test_top(void **state)
{
    (void)state;
    World w = world_new();
    Dim b = batch(&w), l = length(&w), k = dim(&w, 3);
    Program *p = w.program;
    int x = REAL(&w, "x", true, b, l), at = INT(&w, "at", true, l, l), i3 = INT(&w, "i3", false, l, b, k);
    OpBuilder ob = op_begin(w.unit, OP_TOP);
    int i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
    Access through = ACCESS(&w, x, i, j);
    through.subs[1] = sub_read(p, ACCESS(&w, at, j), 1);
    ob.op.reduced = 1;
    ob.op.top_k = k;
    ob.op.body = unary(&ob, EXPR_ABS, expr_read(&ob, through));
    ob.op.out = ACCESS(&w, i3, i);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

static void test_draw(void **state)
{
    (void)state;
    World w = world_new();
    Dim b = batch(&w), l = length(&w);
    int y = REAL(&w, "y", false, b, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
    Affine subs[2] = {affine_index(w.program, i), affine_index(w.program, j)};
    Dim extents[2] = {b, l};
    ob.op.body = binary(&ob, EXPR_MUL, expr_draw(&ob, name(&w, "noise"), 2, subs, extents), expr_const(&ob, 2));
    ob.op.out = ACCESS(&w, y, i, j);
    op_finish(&ob);
    check_sizes(&w);
    world_free(&w);
}

/* Every scalar node, on lanes and (hoisted) as a scalar. */
static void test_scalars(void **state)
{
    (void)state;
    for (int kind = 0; kind < EXPR_COUNT; kind++) {
        int arity = scalar_arity((ExprKind)kind);
        if (arity == 0)
            continue;
        World w = world_new();
        Dim b = batch(&w), l = length(&w);
        int x = REAL(&w, "x", true, b, l), r = REAL(&w, "r", true, b), y = REAL(&w, "y", false, b, l), z = REAL(&w, "z", false, b);
        OpBuilder ob = op_begin(w.unit, OP_NEST);
        int i = op_index(&ob, name(&w, "i"), b), j = op_index(&ob, name(&w, "j"), l);
        int a = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, x, i, j)), expr_const(&ob, 4)), s = expr_read(&ob, ACCESS(&w, r, i));
        int c = expr_pos(&ob, j);
        ob.op.body = expr_op(&ob, (ExprKind)kind, kind == EXPR_POW || kind == EXPR_MOD ? unary(&ob, EXPR_ABS, a) : a, arity > 1 ? s : -1, arity > 2 ? c : -1);
        ob.op.body = kind == EXPR_MOD || kind == EXPR_FLOOR ? unary(&ob, EXPR_STOP, binary(&ob, EXPR_MUL, ob.op.body, expr_const(&ob, kind == EXPR_FLOOR))) : ob.op.body;
        ob.op.out = ACCESS(&w, y, i, j);
        op_finish(&ob);
        ob = op_begin(w.unit, OP_NEST);
        i = op_index(&ob, name(&w, "i"), b);
        s = expr_read(&ob, ACCESS(&w, r, i));
        a = binary(&ob, EXPR_ADD, s, expr_const(&ob, 1.5));
        ob.op.body = expr_op(&ob, (ExprKind)kind, a, arity > 1 ? s : -1, arity > 2 ? s : -1);
        ob.op.out = ACCESS(&w, z, i);
        op_finish(&ob);
        check(&w, 3, 19);
        world_free(&w);
    }
}

/* ---- sharing, the cache, tiles, ranges, text ---------------------------------------------------------------------------------- */

static const KernelCode *simple_map(World *w, Codegen *codegen, Dim rows, Dim columns)
{
    int x = REAL(w, "x", true, rows, columns), y = REAL(w, "y", false, rows, columns);
    OpBuilder ob = op_begin(w->unit, OP_NEST);
    int i = op_index(&ob, name(w, "i"), rows), j = op_index(&ob, name(w, "j"), columns);
    int scaled = binary(&ob, EXPR_DIV, expr_read(&ob, ACCESS(w, x, i, j)), expr_dim(&ob, columns)); /* a static size is a constant here */
    ob.op.body = unary(&ob, EXPR_EXP, scaled);
    ob.op.out = ACCESS(w, y, i, j);
    int number = op_finish(&ob);
    return codegen_nest(codegen, w->unit, &w->unit->ops[number]);
}

static void test_sharing(void **state)
{
    (void)state;
    char folder[] = "/tmp/bfm-test-cache-XXXXXX";
    assert_non_null(mkdtemp(folder));
    World w = world_new();
    for (int round = 0; round < 2; round++) {
        Codegen *codegen = codegen_new(w.arena, NULL);
        const KernelCode *a = simple_map(&w, codegen, batch(&w), length(&w)), *b = simple_map(&w, codegen, dim(&w, 512), dim(&w, 512));
        assert_string_equal(a->symbol, b->symbol);
        assert_int_equal(codegen_count(codegen), 1);
        BfmError error = {0};
        Jit *jit = jit_new(&(JitOptions){.cache = folder}, &error);
        assert_non_null(jit);
        assert_true(jit_add(jit, codegen, &error) && jit_add(jit, codegen, &error));
        JitCounters counters = jit_counters(jit);
        assert_int_equal(counters.compiled, round == 0);
        assert_int_equal(counters.cached, round == 1);
        assert_int_equal(counters.present, 1);
        assert_non_null(jit_symbol(jit, a->symbol, &error));
        assert_null(jit_symbol(jit, "absent", &error));
        jit_free(jit);
    }
    char command[128];
    (void)snprintf(command, sizeof command, "for f in %s/*.o; do truncate -s 100 $f; done", folder);
    assert_int_equal(system(command), 0);
    Codegen *codegen = codegen_new(w.arena, NULL);
    simple_map(&w, codegen, batch(&w), length(&w));
    Jit *jit = jit_new(&(JitOptions){.cache = folder}, NULL);
    assert_true(jit_add(jit, codegen, NULL));
    assert_int_equal(jit_counters(jit).compiled, 1); /* a damaged file counts as absent */
    jit_free(jit);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    world_free(&w);
}

typedef union Function {
    void *address;
    BfmTileFn *tile;
    BfmRangeFn *range;
} Function;

/* score[b,i,j] = raw[b,i,j] * 0.5 + bias[i] where j <= i, on tiles that overlap the diagonal; and the range of columns of a block of rows. */
static void test_tile(void **state)
{
    (void)state;
    World w = world_new();
    Dim b = batch(&w), l = length(&w);
    Program *p = w.program;
    int raw = REAL(&w, "raw", true, b, l, l), bias = REAL(&w, "bias", true, b, l), score = REAL(&w, "score", false, b, l, l);
    OpBuilder ob = op_begin(w.unit, OP_NEST);
    int g = op_index(&ob, name(&w, "g"), b), i = op_index(&ob, name(&w, "i"), l), j = op_index(&ob, name(&w, "j"), l);
    op_cond(&ob, affine_sub(p, affine_index(p, i), affine_index(p, j)));
    int half = binary(&ob, EXPR_MUL, expr_read(&ob, ACCESS(&w, raw, g, i, j)), expr_const(&ob, 0.5));
    ob.op.body = binary(&ob, EXPR_ADD, half, expr_read(&ob, ACCESS(&w, bias, g, i)));
    ob.op.out = ACCESS(&w, score, g, i, j);
    int number = op_finish(&ob);
    const Op *op = &w.unit->ops[number];
    Codegen *codegen = codegen_new(w.arena, NULL);
    const KernelCode *code = codegen_tile(codegen, w.unit, op, i, j, 1, &raw, -INFINITY), *range = codegen_range(codegen, w.unit, op, i, j);
    BfmError error = {0};
    Jit *jit = jit_new(&(JitOptions){.cache = ""}, &error);
    assert_non_null(jit);
    if (!jit_add(jit, codegen, &error))
        fail_msg("%s", error.message);
    Function f = {jit_symbol(jit, code->symbol, &error)}, r = {jit_symbol(jit, range->symbol, &error)};
    DimEnv env = {{3, 100}};
    int64_t dims[16], range_dims[16];
    for (int k = 0; k < code->dim_count; k++)
        dims[k] = dim_eval(code->dims[k], &env);
    for (int k = 0; k < range->dim_count; k++)
        range_dims[k] = dim_eval(range->dims[k], &env);
    float biases[300], tile[7 * 32], *tiles[2] = {tile, tile};
    void *buffers[4] = {0};
    for (int k = 0; k < 300; k++)
        biases[k] = (float)k;
    for (int k = 1; k < code->buffer_count; k++)
        buffers[k] = code->tensors[k] == bias ? biases : NULL;
    for (int k = 0; k < 7 * 32; k++)
        tile[k] = (float)(2 * k);
    assert_int_equal(code->outer_count, 1);
    f.tile(buffers, dims, (const int64_t[]){2}, 10, 5, 7, 21, tiles, 32);
    for (int row = 0; row < 7; row++)
        for (int col = 0; col < 32; col++) {
            float expected = col >= 21 ? (float)(2 * (row * 32 + col)) : 5 + col <= 10 + row ? (float)(row * 32 + col) + biases[200 + 10 + row] : -INFINITY;
            assert_true(tile[row * 32 + col] == expected);
        }
    int64_t bounds[2];
    r.range(range_dims, (const int64_t[]){2}, 10, 7, bounds);
    assert_int_equal(bounds[0], 0);
    assert_int_equal(bounds[1], 17);
    jit_free(jit);
    world_free(&w);
}

static void test_print(void **state)
{
    (void)state;
    World w = world_new();
    Codegen *codegen = codegen_new(w.arena, NULL);
    const char *symbol = simple_map(&w, codegen, batch(&w), length(&w))->symbol;
    Str text = {0};
    assert_true(codegen_print(codegen, CODEGEN_LLVM, &text, NULL) && codegen_print(codegen, CODEGEN_ASM, &text, NULL));
    assert_non_null(strstr(text.text, symbol));
    str_free(&text);
    world_free(&w);
}

int main(int argument_count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),     cmocka_unit_test(test_map_domain), cmocka_unit_test(test_extend),   cmocka_unit_test(test_gather),  cmocka_unit_test(test_guard),
        cmocka_unit_test(test_reduce),  cmocka_unit_test(test_triangle),   cmocka_unit_test(test_contract), cmocka_unit_test(test_scatter), cmocka_unit_test(test_scatter_affine),
        cmocka_unit_test(test_recur),   cmocka_unit_test(test_wide_recur), cmocka_unit_test(test_top),      cmocka_unit_test(test_draw),    cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_sharing), cmocka_unit_test(test_tile),       cmocka_unit_test(test_print),
    };
    if (argument_count > 1)
        cmocka_set_test_filter(arguments[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
