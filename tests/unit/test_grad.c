/* Reverse mode against finite differences, for every scalar row and every kind of operation. */
#include "ir_sketch.h"

#include "grad/grad.h"

static double losses(const Unit *unit, const Value *results, int count)
{
    double sum = 0;
    for (int o = 0; o < count; o++)
        if (unit->outputs[o].kind == OUTPUT_LOSS)
            for (int64_t i = 0; i < results[o].count; i++)
                sum += results[o].real[i];
    return sum;
}

static void check_formal(Sketch *s, const Unit *unit, Value *formals, int f, const Value *gradient, int outputs)
{
    for (int64_t i = 0; i < formals[f].count; i++) {
        double *x = &formals[f].real[i], old = *x, h = 1e-6;
        *x = old + h;
        double up = losses(unit, sketch_run(s, unit, formals), outputs);
        *x = old - h;
        double down = losses(unit, sketch_run(s, unit, formals), outputs);
        *x = old;
        double expected = (up - down) / (2 * h), got = gradient->real[i];
        if (!(fabs(expected - got) <= 2e-7 * (1 + fabs(expected))))
            fail_msg("%s[%d]: derivative %.10g, differences give %.10g", unit->tensors[unit->formals[f]].name, (int)i, got, expected);
    }
}

/* Differentiates main and compares every gradient; the values of other outputs must not change. */
static void check_gradients(Sketch *s, bool signs)
{
    Unit *unit = s->program->main;
    int outputs = unit->output_count;
    Value *formals = sketch_formals(s, unit, signs, 11);
    double before = losses(unit, sketch_run(s, unit, formals), outputs);
    const char *message = NULL;
    assert_true(grad_program(s->program, NULL, &message));
    const char *wrong = program_verify(s->program);
    if (wrong)
        fail_msg("%s", wrong);
    Value *results = sketch_run(s, unit, formals);
    assert_true(before == losses(unit, results, outputs));
    int checked = 0;
    for (int o = outputs; o < unit->output_count; o++) {
        assert_int_equal(unit->outputs[o].kind, OUTPUT_GRAD);
        check_formal(s, unit, formals, unit->outputs[o].formal, &results[o], outputs);
        checked++;
    }
    int params = 0;
    for (int f = 0; f < unit->formal_count; f++)
        params += unit->tensors[unit->formals[f]].role == TENSOR_PARAM;
    assert_int_equal(checked, params);
    sketch_free(s);
}

/* y[i] = row(x[i], w[i], v[i]) */
static void check_scalar(ExprKind kind, bool signs)
{
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "5"), w = param(s, "w", "5"), v = param(s, "v", "5"), y = local(s, "y", "5");
    begin(s, OP_NEST, REDUCE_SET, "i:5");
    int a = rd(s, x, "i"), b = rd(s, w, "i"), c = rd(s, v, "i");
    if (kind == EXPR_SELECT)
        a = bin(s, EXPR_LT, a, num(s, 0.7));
    int value = expr_op(&s->op, kind, a, scalar_arity(kind) > 1 ? b : -1, scalar_arity(kind) > 2 ? c : -1);
    (void)end(s, y, "i", mul(s, value, value));
    loss_of(s, y, "i:5", "i");
    check_gradients(s, signs);
}

static void test_scalar_rows(void **state)
{
    (void)state;
    for (int kind = EXPR_NEG; kind < EXPR_COUNT; kind++) {
        if (kind == EXPR_STOP || kind == EXPR_EXISTS || kind == EXPR_POINT || kind == EXPR_MOD) /* point: may be no number; mod: 0 by ruling */
            continue;
        bool positive = kind == EXPR_LOG || kind == EXPR_SQRT || kind == EXPR_RSQRT || kind == EXPR_POW;
        check_scalar((ExprKind)kind, false);
        if (!positive)
            check_scalar((ExprKind)kind, true);
    }
}

static void test_powers(void **state)
{
    (void)state;
    double exponents[] = {1, 2, 3, -1, 0.5, -0.5, 0};
    for (int e = 0; e < 7; e++) {
        Sketch sketch = sketch_new(), *s = &sketch;
        int x = param(s, "x", "4"), y = local(s, "y", "4");
        begin(s, OP_NEST, REDUCE_SET, "i:4");
        (void)end(s, y, "i", bin(s, EXPR_POW, rd(s, x, "i"), num(s, exponents[e])));
        loss_of(s, y, "i:4", "i");
        check_gradients(s, false);
    }
}

/* stop(x)·x has the derivative of a constant times x: compared with x̄ = value, by hand. */
static void test_stop(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "3"), loss = local(s, "loss", "");
    begin(s, OP_NEST, REDUCE_SUM, "i:3");
    int read = rd(s, x, "i");
    (void)end(s, loss, "", mul(s, un(s, EXPR_STOP, mul(s, read, read)), read));
    output(s, "loss", OUTPUT_LOSS, loss);
    assert_true(grad_program(s->program, NULL, NULL));
    Value *formals = sketch_formals(s, s->unit, true, 5), *results = sketch_run(s, s->unit, formals);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(results[1].real[i] - formals[0].real[i] * formals[0].real[i]) < 1e-14);
    sketch_free(s);
}

/* Two layers, a residual, a row statistic. */
static void test_contractions(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "b,l,4"), w = param(s, "w", "4,5"), v = param(s, "v", "5,4"), g = param(s, "g", "4");
    int m = local(s, "m", "b,l"), n = local(s, "n", "b,l,4"), h = local(s, "h", "b,l,5"), y = local(s, "y", "b,l,4");
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l i:4");
    int square = rd(s, x, "b,l,i");
    (void)end(s, m, "b,l", mul(s, num(s, 0.25), mul(s, square, square)));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l i:4");
    (void)end(s, n, "b,l,i", mul(s, mul(s, rd(s, x, "b,l,i"), un(s, EXPR_RSQRT, add(s, rd(s, m, "b,l"), num(s, 1e-6)))), rd(s, g, "i")));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l f:5 i:4");
    (void)end(s, h, "b,l,f", mul(s, rd(s, n, "b,l,i"), rd(s, w, "i,f")));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l o:4 f:5");
    (void)end(s, y, "b,l,o", mul(s, un(s, EXPR_TANH, rd(s, h, "b,l,f")), rd(s, v, "f,o")));
    int z = local(s, "z", "b,l,4");
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l i:4");
    (void)end(s, z, "b,l,i", add(s, rd(s, x, "b,l,i"), rd(s, y, "b,l,i")));
    loss_of(s, z, "b:b l:l i:4", "b,l,i");
    check_gradients(s, true);
}

/* Reducers with a causal condition and a guard. */
static void check_reducer(Reducer reducer, bool scattered)
{
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "4,5"), w = param(s, "w", "5"), id = integers(s, "id", "4", 3, true), y = local(s, "y", scattered ? "3" : "4");
    begin(s, OP_NEST, reducer, "i:4 j:5");
    cond(s, "i+1-j");
    int first = s->op.op.index_count > 0 ? pos(s, "j") : -1;
    op_guard(&s->op, bin(s, EXPR_NE, first, num(s, 2)));
    char subs[32];
    (void)snprintf(subs, sizeof subs, "@%d(i)", id);
    (void)end(s, y, scattered ? subs : "i", mul(s, rd(s, x, "i,j"), add(s, rd(s, w, "j"), rd(s, w, "4-j"))));
    int z = local(s, "z", scattered ? "3" : "4");
    begin(s, OP_NEST, REDUCE_SET, scattered ? "i:3" : "i:4");
    int value = un(s, EXPR_TANH, rd(s, y, "i")); /* an empty lse or max is infinite */
    (void)end(s, z, "i", value);
    loss_of(s, z, scattered ? "i:3" : "i:4", "i");
    check_gradients(s, true);
}

static void test_reducers(void **state)
{
    (void)state;
    Reducer all[] = {REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_LSE};
    for (int r = 0; r < 4; r++) {
        check_reducer(all[r], false);
        check_reducer(all[r], true);
    }
}

/* Ties of max go to the lowest index. */
static void test_ties(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "2,3"), loss = local(s, "loss", "");
    begin(s, OP_NEST, REDUCE_MAX, "i:2 j:3");
    (void)end(s, loss, "", rd(s, x, "i,j"));
    output(s, "loss", OUTPUT_LOSS, loss);
    assert_true(grad_program(s->program, NULL, NULL));
    double values[] = {1, 5, 2, 5, 5, 0}, expected[] = {0, 1, 0, 0, 0, 0};
    Value formal = {6, values, NULL}, *results = sketch_run(s, s->unit, &formal);
    for (int i = 0; i < 6; i++)
        assert_true(results[1].real[i] == expected[i]);
    sketch_free(s);
}

/* Gather through integers, none among them; spans; shifted and mirrored subscripts. */
static void test_subscripts(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "b,l,4"), w = param(s, "w", "3,4"), token = integers(s, "token", "7", 6, true), which = integers(s, "which", "7", 3, true);
    int y = local(s, "y", "7"), z = local(s, "z", "b,l"), u = local(s, "u", "b,l,4");
    char subs[64], weights[64];
    (void)snprintf(subs, sizeof subs, "@%d(p)/2,i", token);
    (void)snprintf(weights, sizeof weights, "@%d(p),i", which);
    begin(s, OP_NEST, REDUCE_SUM, "p:7 i:4");
    (void)end(s, y, "p", mul(s, rd(s, x, subs), rd(s, w, weights)));
    begin(s, OP_NEST, REDUCE_SUM, "p:7");
    (void)snprintf(subs, sizeof subs, "@%d(p)/2", token);
    (void)end(s, z, subs, mul(s, rd(s, y, "p"), rd(s, y, "6-p")));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l s:2 i:4");
    cond(s, "l-s");
    (void)end(s, u, "b,l,i", mul(s, mul(s, rd(s, x, "b,l-s,3-i"), rd(s, w, "s,i")), rd(s, z, "b,l")));
    loss_of(s, u, "b:b l:l i:4", "b,l,i");
    check_gradients(s, true);
}

static void check_recur(bool reverse, bool exclusive, bool coefficient, bool cut, bool two, bool started)
{
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = param(s, "x", "2,3,4"), a = param(s, "a", "2,3,4"), start = param(s, "start", "2"), h = local(s, "h", "2,3,4");
    int id = integers(s, "id", "3,4", 2, true), scan[2] = {1, 2};
    begin(s, OP_RECUR, REDUCE_SET, "n:2 i:3 j:4");
    if (cut) {
        cond(s, "i+2-j");
        op_guard(&s->op, un(s, EXPR_EXISTS, rd(s, id, "i,j")));
    }
    s->op.op.scan = arena_memdup(s->arena, two ? scan : scan + 1, sizeof *scan * (two ? 2 : 1));
    s->op.op.scan_count = two ? 2 : 1;
    s->op.op.reverse = reverse;
    s->op.op.exclusive = exclusive;
    if (started)
        s->op.op.init = two ? at(s, start, "n") : at(s, x, "n,i,0");
    else
        s->op.op.init.tensor = -1;
    if (coefficient)
        s->op.op.body2 = mul(s, rd(s, a, "n,i,j"), rd(s, a, "n,i,3-j"));
    int body = mul(s, rd(s, x, "n,i,j"), rd(s, a, "n,i,j"));
    (void)end(s, h, "n,i,j", body);
    int y = local(s, "y", "2,3,4");
    begin(s, OP_NEST, REDUCE_SET, "n:2 i:3 j:4");
    (void)end(s, y, "n,i,j", mul(s, rd(s, h, "n,i,j"), rd(s, h, "n,i,j")));
    loss_of(s, y, "n:2 i:3 j:4", "n,i,j");
    check_gradients(s, true);
}

static void test_recurrences(void **state)
{
    (void)state;
    for (int bits = 0; bits < 64; bits++)
        check_recur(bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32);
}

/* A unit y = tanh(x·w), rows of y, called twice with one weight, nested in another unit. */
static Unit *inner_unit(Sketch *s)
{
    Unit *main = s->unit, *inner = s->unit = unit_new(s->program, intern(s->interner, "inner"));
    int x = input(s, "x", "b,4"), w = param(s, "w", "4,4"), unused = param(s, "unused", "2"), h = local(s, "h", "b,4"), y = local(s, "y", "b,4");
    (void)unused;
    begin(s, OP_NEST, REDUCE_SUM, "b:b o:4 i:4");
    (void)end(s, h, "b,o", mul(s, rd(s, x, "b,i"), rd(s, w, "i,o")));
    begin(s, OP_NEST, REDUCE_SET, "b:b o:4");
    (void)end(s, y, "b,o", add(s, mul(s, num(s, 2), un(s, EXPR_TANH, rd(s, h, "b,o"))), rd(s, x, "b,o")));
    int extra = local(s, "extra", "");
    begin(s, OP_NEST, REDUCE_SUM, "b:b o:4");
    (void)end(s, extra, "", mul(s, rd(s, y, "b,o"), rd(s, h, "b,o")));
    output(s, "y", OUTPUT_RESULT, y);
    output(s, "extra", OUTPUT_LOSS, extra);
    output(s, "h", OUTPUT_METRIC, h);
    s->unit = main;
    return inner;
}

static void call(Sketch *s, Unit *callee, const char *path, int arg_count, const int *args, int result_count, const int *results)
{
    s->op = op_begin(s->unit, OP_CALL);
    s->op.op.callee = callee;
    s->op.op.path = intern(s->interner, path);
    s->op.op.arg_count = arg_count;
    s->op.op.args = arena_memdup(s->arena, args, sizeof *args * (size_t)arg_count);
    s->op.op.result_count = result_count;
    s->op.op.results = arena_memdup(s->arena, results, sizeof *results * (size_t)result_count);
    (void)op_finish(&s->op);
}

static Unit *outer_unit(Sketch *s, Unit *inner)
{
    Unit *main = s->unit, *outer = s->unit = unit_new(s->program, intern(s->interner, "outer"));
    int x = input(s, "x", "b,4"), w = param(s, "w", "4,4"), u = param(s, "u", "2"), m = local(s, "m", "b,4"), y = local(s, "y", "b,4");
    int first = local(s, "first", ""), second = local(s, "second", ""), sum = local(s, "sum", "");
    call(s, inner, "a", 3, (int[]){x, w, u}, 3, (int[]){m, first, -1});
    call(s, inner, "b", 3, (int[]){m, w, u}, 3, (int[]){y, second, -1});
    begin(s, OP_NEST, REDUCE_SET, "");
    (void)end(s, sum, "", mul(s, rd(s, first, ""), rd(s, second, "")));
    output(s, "y", OUTPUT_RESULT, y);
    output(s, "sum", OUTPUT_LOSS, sum);
    s->unit = main;
    return outer;
}

static void test_calls(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    Unit *inner = inner_unit(s), *outer = outer_unit(s, inner);
    int x = param(s, "x", "b,4"), w = param(s, "w", "4,4"), v = param(s, "v", "4,4"), u = param(s, "u", "2");
    int y[3] = {local(s, "y", "b,4"), local(s, "y", "b,4"), local(s, "y", "b,4")};
    int loss[2] = {local(s, "loss", ""), local(s, "loss", "")};
    call(s, outer, "0", 4 - 1, (int[]){x, w, u}, 2, (int[]){y[0], loss[0]});
    call(s, outer, "1", 3, (int[]){y[0], v, u}, 2, (int[]){y[1], loss[1]});
    call(s, inner, "2", 3, (int[]){y[1], w, u}, 3, (int[]){y[2], -1, -1});
    output(s, "one", OUTPUT_LOSS, loss[0]);
    output(s, "two", OUTPUT_LOSS, loss[1]);
    loss_of(s, y[2], "b:b i:4", "b,i");
    check_gradients(s, true);
}

/* A result seeded from outside: the formal comes last. */
static void test_seeds(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = input(s, "x", "3"), y = local(s, "y", "3");
    begin(s, OP_NEST, REDUCE_SET, "i:3");
    int read = rd(s, x, "i");
    (void)end(s, y, "i", mul(s, read, read));
    output(s, "y", OUTPUT_RESULT, y);
    bool wanted[] = {true};
    assert_true(grad_program(s->program, &(GradOptions){.wanted = wanted, .seed_results = true}, NULL));
    assert_int_equal(s->unit->formal_count, 2);
    double values[] = {1, 2, 3}, seed[] = {1, 10, 100};
    Value formals[] = {{3, values, NULL}, {3, seed, NULL}}, *results = sketch_run(s, s->unit, formals);
    assert_true(results[1].real[0] == 2 && results[1].real[1] == 40 && results[1].real[2] == 600);
    sketch_free(s);
}

static void test_nothing(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = input(s, "x", "3");
    output(s, "x", OUTPUT_RESULT, x);
    const char *message = NULL;
    assert_false(grad_program(s->program, NULL, &message));
    assert_non_null(message);
    sketch_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalar_rows), cmocka_unit_test(test_powers), cmocka_unit_test(test_stop),       cmocka_unit_test(test_contractions),
        cmocka_unit_test(test_reducers),    cmocka_unit_test(test_ties),   cmocka_unit_test(test_subscripts), cmocka_unit_test(test_recurrences),
        cmocka_unit_test(test_calls),       cmocka_unit_test(test_seeds),  cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
