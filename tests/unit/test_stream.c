/* Streams, forward and backward, against the interpreter and against their members run one by one. */
#include "run_compiled.h"

static void group_of(Sketch *s, Group group)
{
    int number = unit_group(s->unit, group);
    int ids[64], count = 0;
    ids[count++] = group.raw;
    if (group.score != group.raw)
        ids[count++] = group.score;
    ids[count++] = group.kind == GROUP_STREAM ? group.lse : group.score_grad;
    if (group.kind == GROUP_STREAM_GRAD && group.raw_grad != group.score_grad)
        ids[count++] = group.raw_grad;
    for (int i = 0; i < group.use_count; i++)
        ids[count++] = group.uses[i];
    for (int i = 0; i < group.pick_count; i++)
        ids[count++] = group.picks[i];
    for (int i = 0; i < group.dprob_count; i++)
        ids[count++] = group.dprobs[i];
    for (int i = 0; i < group.sink_count; i++)
        ids[count++] = group.sinks[i];
    for (int i = 0; i < count; i++)
        s->unit->ops[ids[i]].group = number;
}

/* Several blocks of rows and columns, the last ones ragged. */
static InterpContext wide_context(void)
{
    InterpContext context = sketch_context();
    context.env.value[DIM_L] = 150;
    return context;
}

static int exp_of(Sketch *s, int score, const char *score_subs, int lse, const char *lse_subs)
{
    return un(s, EXPR_EXP, bin(s, EXPR_SUB, rd(s, score, score_subs), rd(s, lse, lse_subs)));
}

/* Grouped query heads, causal, a bias table and a mask of segments in the score; its derivative by the rule. */
static void test_heads(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int q = input(&s, "q", "b,l,2,3,5"), k = input(&s, "k", "b,l,2,5"), v = input(&s, "v", "b,l,2,4"), g = input(&s, "g", "b,l,2,3,4");
    int segment = integers(&s, "segment", "b,l", 2, true), bias = param(&s, "bias", "2,3");
    int raw = local(&s, "raw", "b,2,3,l,l"), score = local(&s, "score", "b,2,3,l,l"), lse = local(&s, "lse", "b,2,3,l"), o = local(&s, "o", "b,l,2,3,4");
    Group group = {.kind = GROUP_STREAM};
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l j:l e:5");
    group.raw = end(&s, raw, "b,n,r,i,j", mul(&s, rd(&s, q, "b,i,n,r,e"), rd(&s, k, "b,j,n,e")));
    char same_i[32], same_j[32];
    (void)snprintf(same_i, sizeof same_i, "b,i"), (void)snprintf(same_j, sizeof same_j, "b,j");
#define DOMAIN()                                                                                                                                                                   \
    do {                                                                                                                                                                           \
        cond(&s, "i-j");                                                                                                                                                           \
        op_guard(&s.op, bin(&s, EXPR_EQ, rd(&s, segment, same_i), rd(&s, segment, same_j)));                                                                                       \
    } while (0)
    begin(&s, OP_NEST, REDUCE_SET, "b:b n:2 r:3 i:l j:l");
    DOMAIN();
    group.score = end(&s, score, "b,n,r,i,j",
                      add(&s, un(&s, EXPR_TANH, mul(&s, num(&s, 0.4), rd(&s, raw, "b,n,r,i,j"))), mul(&s, rd(&s, bias, "n,r"), bin(&s, EXPR_SUB, pos(&s, "i"), pos(&s, "j")))));
    begin(&s, OP_NEST, REDUCE_LSE, "b:b n:2 r:3 i:l j:l");
    DOMAIN();
    group.lse = end(&s, lse, "b,n,r,i", rd(&s, score, "b,n,r,i,j"));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l n:2 r:3 c:4 j:l");
    DOMAIN();
    group.uses[group.use_count++] = end(&s, o, "b,i,n,r,c", mul(&s, exp_of(&s, score, "b,n,r,i,j", lse, "b,n,r,i"), rd(&s, v, "b,j,n,c")));
    group_of(&s, group);

    int d = local(&s, "d", "b,2,3,l"), raw2 = local(&s, "raw2", "b,2,3,l,l"), score2 = local(&s, "score2", "b,2,3,l,l"), dp = local(&s, "dp", "b,2,3,l,l");
    int ds = local(&s, "ds", "b,2,3,l,l"), dr = local(&s, "dr", "b,2,3,l,l"), dq = local(&s, "dq", "b,l,2,3,5"), dk = local(&s, "dk", "b,l,2,5"), dv = local(&s, "dv", "b,l,2,4");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l c:4");
    end(&s, d, "b,n,r,i", mul(&s, rd(&s, o, "b,i,n,r,c"), rd(&s, g, "b,i,n,r,c")));
    Group back = {.kind = GROUP_STREAM_GRAD, .lse = -1};
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l j:l e:5");
    back.raw = end(&s, raw2, "b,n,r,i,j", mul(&s, rd(&s, q, "b,i,n,r,e"), rd(&s, k, "b,j,n,e")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b n:2 r:3 i:l j:l");
    DOMAIN();
    back.score = end(&s, score2, "b,n,r,i,j",
                     add(&s, un(&s, EXPR_TANH, mul(&s, num(&s, 0.4), rd(&s, raw2, "b,n,r,i,j"))), mul(&s, rd(&s, bias, "n,r"), bin(&s, EXPR_SUB, pos(&s, "i"), pos(&s, "j")))));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l j:l c:4");
    back.dprobs[back.dprob_count++] = end(&s, dp, "b,n,r,i,j", mul(&s, rd(&s, g, "b,i,n,r,c"), rd(&s, v, "b,j,n,c")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b n:2 r:3 i:l j:l");
    DOMAIN();
    back.score_grad = end(&s, ds, "b,n,r,i,j", mul(&s, exp_of(&s, score2, "b,n,r,i,j", lse, "b,n,r,i"), bin(&s, EXPR_SUB, rd(&s, dp, "b,n,r,i,j"), rd(&s, d, "b,n,r,i"))));
    begin(&s, OP_NEST, REDUCE_SET, "b:b n:2 r:3 i:l j:l");
    DOMAIN();
    int t = un(&s, EXPR_TANH, mul(&s, num(&s, 0.4), rd(&s, raw2, "b,n,r,i,j")));
    back.raw_grad = end(&s, dr, "b,n,r,i,j", mul(&s, rd(&s, ds, "b,n,r,i,j"), mul(&s, num(&s, 0.4), bin(&s, EXPR_SUB, num(&s, 1), mul(&s, t, t)))));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l j:l e:5");
    DOMAIN();
    back.sinks[back.sink_count++] = end(&s, dq, "b,i,n,r,e", mul(&s, rd(&s, dr, "b,n,r,i,j"), rd(&s, k, "b,j,n,e")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l j:l e:5");
    DOMAIN();
    back.sinks[back.sink_count++] = end(&s, dk, "b,j,n,e", mul(&s, rd(&s, dr, "b,n,r,i,j"), rd(&s, q, "b,i,n,r,e")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b n:2 r:3 i:l j:l c:4");
    DOMAIN();
    back.sinks[back.sink_count++] = end(&s, dv, "b,j,n,c", mul(&s, exp_of(&s, score2, "b,n,r,i,j", lse, "b,n,r,i"), rd(&s, g, "b,i,n,r,c")));
    group_of(&s, back);
    output(&s, "o", OUTPUT_RESULT, o), output(&s, "lse", OUTPUT_RESULT, lse);
    output(&s, "dq", OUTPUT_RESULT, dq), output(&s, "dk", OUTPUT_RESULT, dk), output(&s, "dv", OUTPUT_RESULT, dv);
    InterpContext small = sketch_context(), wide = wide_context();
    compare_in(&s, &small, formals_in(&s, &small, 11), "stream backward");
    compare_in(&s, &wide, formals_in(&s, &wide, 11), "stream backward");
    sketch_free(&s);
}

/* Scores that are the raw products, picked at a target: no scores stored, gradients of both operands. */
static void test_picks(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l,6"), w = param(&s, "w", "300,6"), target = integers(&s, "target", "b,l", 300, true), gl = input(&s, "gl", "b,l"), gp = input(&s, "gp", "b,l");
    int raw = local(&s, "raw", "b,l,300"), lse = local(&s, "lse", "b,l"), pick = local(&s, "pick", "b,l");
    char at_target[64];
    (void)snprintf(at_target, sizeof at_target, "b,i,@%d(b,i)", target);
    Group group = {.kind = GROUP_STREAM};
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l v:300 e:6");
    group.raw = group.score = end(&s, raw, "b,i,v", mul(&s, rd(&s, x, "b,i,e"), rd(&s, w, "v,e")));
    begin(&s, OP_NEST, REDUCE_LSE, "b:b i:l v:300");
    group.lse = end(&s, lse, "b,i", rd(&s, raw, "b,i,v"));
    begin(&s, OP_NEST, REDUCE_SET, "b:b i:l");
    group.picks[group.pick_count++] = end(&s, pick, "b,i", rd(&s, raw, at_target));
    group_of(&s, group);

    int raw2 = local(&s, "raw2", "b,l,300"), ds = local(&s, "ds", "b,l,300"), dx = local(&s, "dx", "b,l,6"), dw = local(&s, "dw", "300,6");
    Group back = {.kind = GROUP_STREAM_GRAD, .lse = -1};
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l v:300 e:6");
    back.raw = back.score = end(&s, raw2, "b,i,v", mul(&s, rd(&s, x, "b,i,e"), rd(&s, w, "v,e")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b i:l v:300");
    int hit = bin(&s, EXPR_EQ, pos(&s, "v"), rd(&s, target, "b,i"));
    back.score_grad = back.raw_grad =
        end(&s, ds, "b,i,v", add(&s, mul(&s, exp_of(&s, raw2, "b,i,v", lse, "b,i"), rd(&s, gl, "b,i")), expr_op(&s.op, EXPR_SELECT, hit, rd(&s, gp, "b,i"), num(&s, 0))));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l e:6 v:300");
    back.sinks[back.sink_count++] = end(&s, dx, "b,i,e", mul(&s, rd(&s, ds, "b,i,v"), rd(&s, w, "v,e")));
    begin(&s, OP_NEST, REDUCE_SUM, "v:300 e:6 b:b i:l");
    back.sinks[back.sink_count++] = end(&s, dw, "v,e", mul(&s, rd(&s, ds, "b,i,v"), rd(&s, x, "b,i,e")));
    group_of(&s, back);
    output(&s, "lse", OUTPUT_RESULT, lse), output(&s, "pick", OUTPUT_RESULT, pick), output(&s, "dx", OUTPUT_RESULT, dx), output(&s, "dw", OUTPUT_RESULT, dw);
    InterpContext small = sketch_context(), wide = wide_context();
    compare_in(&s, &small, formals_in(&s, &small, 12), "stream backward");
    compare_in(&s, &wide, formals_in(&s, &wide, 12), "stream backward");
    sketch_free(&s);
}

/* A score that reads a table of distances, through another one, a slope per head, and biases of its rows, its columns and its places: each has a
   gradient, and none of them is a product. A window leaves out what is far away. */
static void test_totals(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int q = input(&s, "q", "b,l,3,5"), k = input(&s, "k", "b,l,3,5"), v = input(&s, "v", "b,l,3,4"), g = input(&s, "g", "b,l,3,4"), d = input(&s, "d", "b,3,l");
    int bucket = integers(&s, "bucket", "2l", 7, true), table = input(&s, "table", "7,3"), slope = input(&s, "slope", "3"), rows = input(&s, "rows", "b,l"),
        columns = input(&s, "columns", "3,l"), places = input(&s, "places", "l,l");
    int raw = local(&s, "raw", "b,3,l,l"), score = local(&s, "score", "b,3,l,l"), lse = local(&s, "lse", "b,3,l"), o = local(&s, "o", "b,l,3,4");
    char entry[96];
    (void)snprintf(entry, sizeof entry, "@%d(i-j+1l),r", bucket);
#define WINDOW() cond(&s, "i-j"), cond(&s, "j-i+70")
#define SCORE(raw)                                                                                                                                                                 \
    add(&s, add(&s, mul(&s, rd(&s, slope, "r"), rd(&s, raw, "b,r,i,j")), rd(&s, table, entry)),                                                                                    \
        add(&s, add(&s, rd(&s, rows, "b,i"), rd(&s, columns, "r,j")), rd(&s, places, "i,j")))
    Group group = {.kind = GROUP_STREAM};
    begin(&s, OP_NEST, REDUCE_SUM, "b:b r:3 i:l j:l e:5");
    group.raw = end(&s, raw, "b,r,i,j", mul(&s, rd(&s, q, "b,i,r,e"), rd(&s, k, "b,j,r,e")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b r:3 i:l j:l");
    WINDOW();
    group.score = end(&s, score, "b,r,i,j", SCORE(raw));
    begin(&s, OP_NEST, REDUCE_LSE, "b:b r:3 i:l j:l");
    WINDOW();
    group.lse = end(&s, lse, "b,r,i", rd(&s, score, "b,r,i,j"));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l r:3 c:4 j:l");
    WINDOW();
    group.uses[group.use_count++] = end(&s, o, "b,i,r,c", mul(&s, exp_of(&s, score, "b,r,i,j", lse, "b,r,i"), rd(&s, v, "b,j,r,c")));
    group_of(&s, group);

    int raw2 = local(&s, "raw2", "b,3,l,l"), score2 = local(&s, "score2", "b,3,l,l"), dp = local(&s, "dp", "b,3,l,l"), ds = local(&s, "ds", "b,3,l,l");
    int dr = local(&s, "dr", "b,3,l,l"), dq = local(&s, "dq", "b,l,3,5"), dtable = local(&s, "dtable", "7,3"), dslope = local(&s, "dslope", "3"), drows = local(&s, "drows", "b,l"),
        dcolumns = local(&s, "dcolumns", "3,l"), dplaces = local(&s, "dplaces", "l,l");
    Group back = {.kind = GROUP_STREAM_GRAD, .lse = -1};
    begin(&s, OP_NEST, REDUCE_SUM, "b:b r:3 i:l j:l e:5");
    back.raw = end(&s, raw2, "b,r,i,j", mul(&s, rd(&s, q, "b,i,r,e"), rd(&s, k, "b,j,r,e")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b r:3 i:l j:l");
    WINDOW();
    back.score = end(&s, score2, "b,r,i,j", SCORE(raw2));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b r:3 i:l j:l c:4");
    back.dprobs[back.dprob_count++] = end(&s, dp, "b,r,i,j", mul(&s, rd(&s, g, "b,i,r,c"), rd(&s, v, "b,j,r,c")));
    begin(&s, OP_NEST, REDUCE_SET, "b:b r:3 i:l j:l");
    WINDOW();
    back.score_grad = end(&s, ds, "b,r,i,j", mul(&s, exp_of(&s, score2, "b,r,i,j", lse, "b,r,i"), bin(&s, EXPR_SUB, rd(&s, dp, "b,r,i,j"), rd(&s, d, "b,r,i"))));
    begin(&s, OP_NEST, REDUCE_SET, "b:b r:3 i:l j:l");
    WINDOW();
    back.raw_grad = end(&s, dr, "b,r,i,j", mul(&s, rd(&s, ds, "b,r,i,j"), rd(&s, slope, "r")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b r:3 i:l j:l e:5");
    WINDOW();
    back.sinks[back.sink_count++] = end(&s, dq, "b,i,r,e", mul(&s, rd(&s, dr, "b,r,i,j"), rd(&s, k, "b,j,r,e")));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b r:3 i:l j:l");
    WINDOW();
    back.sinks[back.sink_count++] = end(&s, dslope, "r", mul(&s, rd(&s, ds, "b,r,i,j"), rd(&s, raw2, "b,r,i,j")));
    const struct {
        int tensor;
        const char *at;
    } reads[] = {{dtable, entry}, {drows, "b,i"}, {dcolumns, "r,j"}, {dplaces, "i,j"}};
    for (int t = 0; t < 4; t++) {
        begin(&s, OP_NEST, REDUCE_SUM, "b:b r:3 i:l j:l");
        WINDOW();
        back.sinks[back.sink_count++] = end(&s, reads[t].tensor, reads[t].at, rd(&s, ds, "b,r,i,j"));
    }
    group_of(&s, back);
    const int outputs[] = {o, dq, dslope, dtable, drows, dcolumns, dplaces};
    for (int t = 0; t < 7; t++)
        output(&s, s.unit->tensors[outputs[t]].name, OUTPUT_RESULT, outputs[t]);
    InterpContext small = sketch_context(), wide = wide_context();
    compare_in(&s, &small, formals_in(&s, &small, 13), "stream backward");
    compare_in(&s, &wide, formals_in(&s, &wide, 13), "stream backward");
    sketch_free(&s);
}

/* o[i] = stream over j <= from + i, rows b of them, columns l: a row has the same bits alone and among others, and whatever columns follow its own. */
static float *rows_from(int64_t rows, int64_t from, int64_t cols, const float *q, const float *k, const float *v)
{
    Sketch s = sketch_new();
    Engine engine = engine_new(1);
    Program *p = s.program;
    int tq = input(&s, "q", "b,7"), tk = input(&s, "k", "l,7"), tv = input(&s, "v", "l,5");
    int raw = local(&s, "raw", "b,l"), score = local(&s, "score", "b,l"), lse = local(&s, "lse", "b"), o = local(&s, "o", "b,5");
    Group group = {.kind = GROUP_STREAM};
    begin(&s, OP_NEST, REDUCE_SUM, "i:b j:l e:7");
    group.raw = end(&s, raw, "i,j", mul(&s, rd(&s, tq, "i,e"), rd(&s, tk, "j,e")));
    for (int op = 0; op < 3; op++) {
        begin(&s, OP_NEST, op == 0 ? REDUCE_SET : op == 1 ? REDUCE_LSE : REDUCE_SUM, op == 2 ? "i:b c:5 j:l" : "i:b j:l");
        Affine row = affine_add(p, affine_index(p, 0), affine_const(p, dim_symbol(p->dims, DIM_P)));
        op_cond(&s.op, affine_sub(p, row, affine_index(p, op == 2 ? 2 : 1)));
        if (op == 0)
            group.score = end(&s, score, "i,j", mul(&s, num(&s, 0.7), rd(&s, raw, "i,j")));
        if (op == 1)
            group.lse = end(&s, lse, "i", rd(&s, score, "i,j"));
        if (op == 2)
            group.uses[group.use_count++] = end(&s, o, "i,c", mul(&s, exp_of(&s, score, "i,j", lse, "i"), rd(&s, tv, "j,c")));
    }
    group_of(&s, group);
    output(&s, "o", OUTPUT_RESULT, o);
    BfmError error = {0};
    Compiled *compiled = compile_unit(s.arena, engine.jit, p, s.unit, NULL, NULL, &error);
    assert_non_null(compiled);
    assert_int_equal(bfm_plan_kernels(compiled->plan)[0].kind, BFM_KERNEL_STREAM);
    BfmInstance *instance = bfm_instance_new(compiled->plan, compiled->functions, engine.pool, &error);
    int64_t symbols[BFM_PLAN_SYMBOLS] = {[DIM_B] = rows, [DIM_L] = cols, [DIM_P] = from};
    assert_true(bfm_instance_bind(instance, symbols, &error));
    const void *formals[] = {q + from * 7, k, v};
    for (int f = 0; f < 3; f++)
        bfm_instance_set_formal(instance, f, (void *)(uintptr_t)formals[f]);
    assert_true(bfm_instance_run(instance, 1, 1, &error));
    float *result = malloc((size_t)rows * 5 * sizeof *result);
    memcpy(result, bfm_instance_output(instance, 0), (size_t)rows * 5 * sizeof *result);
    bfm_instance_free(instance);
    engine_free(&engine);
    sketch_free(&s);
    return result;
}

static void test_rows_alone(void **state)
{
    (void)state;
    enum { ROWS = 300 };
    static float q[ROWS * 7], k[ROWS * 7], v[ROWS * 5];
    uint64_t random = 5;
    for (int i = 0; i < ROWS * 7; i++)
        q[i] = (float)(4 * sketch_random(&random) - 2), k[i] = (float)(4 * sketch_random(&random) - 2);
    for (int i = 0; i < ROWS * 5; i++)
        v[i] = (float)(2 * sketch_random(&random) - 1);
    float *whole = rows_from(ROWS, 0, ROWS, q, k, v);
    static const int rows[] = {0, 1, 63, 64, 127, 128, 200, 299};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float *alone = rows_from(1, rows[i], ROWS, q, k, v), *last = rows_from(1, rows[i], rows[i] + 1, q, k, v);
        assert_memory_equal(alone, whole + rows[i] * 5, 5 * sizeof *alone);
        assert_memory_equal(last, whole + rows[i] * 5, 5 * sizeof *last);
        free(alone), free(last);
    }
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heads), cmocka_unit_test(test_picks), cmocka_unit_test(test_totals), cmocka_unit_test(test_rows_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
