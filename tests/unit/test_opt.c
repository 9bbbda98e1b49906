/* Passes keep values: each program is run before and after, alone and around differentiation. */
#include "ir_sketch.h"

#include "grad/grad.h"
#include "opt/opt.h"

#include "ir/rewrite.h"

static void same_values(const Unit *unit, int count, const Value *before, const Value *after, double tolerance)
{
    for (int o = 0; o < count; o++) {
        assert_true(before[o].count == after[o].count);
        for (int64_t i = 0; i < before[o].count; i++) {
            if (before[o].integer) {
                assert_int_equal(before[o].integer[i], after[o].integer[i]);
                continue;
            }
            double x = before[o].real[i], y = after[o].real[i];
            if (x != x) /* a hole may hold anything */
                continue;
            if (!(fabs(x - y) <= tolerance * (1 + fabs(x))) && x != y)
                fail_msg("%s[%d]: %.17g became %.17g", unit->outputs[o].name, (int)i, x, y);
        }
    }
}

/* ---- programs ---------------------------------------------------------------------------------------------------------------- */

typedef void (*Sketcher)(Sketch *s);

/* Norm, projection, mirrored rotation of pairs, scaled product, residual. */
static void layer_program(Sketch *s)
{
    int x = param(s, "x", "b,l,6"), g = param(s, "g", "6"), w = param(s, "w", "6,2,3"), v = param(s, "v", "2,3,6");
    int m = local(s, "m", "b,l"), r = local(s, "r", "b,l"), n = local(s, "n", "b,l,6"), q = local(s, "q", "b,l,2,3"), a = local(s, "a", "l,3");
    int p = local(s, "p", "b,l,2,3"), y = local(s, "y", "b,l,6"), z = local(s, "z", "b,l,6"), c = local(s, "c", "b,l,2,3");
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l i:6");
    int read = rd(s, x, "b,l,i");
    (void)end(s, m, "b,l", bin(s, EXPR_DIV, mul(s, read, read), num(s, 6)));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l");
    (void)end(s, r, "b,l", un(s, EXPR_RSQRT, add(s, rd(s, m, "b,l"), num(s, 1e-6))));
    begin(s, OP_NEST, REDUCE_SET, "l:l b:b i:6");
    (void)end(s, n, "b,l,i", mul(s, mul(s, rd(s, x, "b,l,i"), rd(s, r, "b,l")), rd(s, g, "i")));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l s:2 e:3 i:6");
    (void)end(s, q, "b,l,s,e", mul(s, rd(s, n, "b,l,i"), rd(s, w, "i,s,e")));
    begin(s, OP_NEST, REDUCE_SET, "l:l e:3");
    (void)end(s, a, "l,e", mul(s, pos(s, "l"), bin(s, EXPR_POW, num(s, 0.3), pos(s, "e"))));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l s:2 e:3");
    int cosine = mul(s, rd(s, q, "b,l,s,e"), un(s, EXPR_COS, rd(s, a, "l,e")));
    int side = bin(s, EXPR_SUB, mul(s, num(s, 2), pos(s, "s")), num(s, 1));
    (void)end(s, p, "b,l,s,e", add(s, cosine, mul(s, side, mul(s, rd(s, q, "b,l,1-s,e"), un(s, EXPR_SIN, rd(s, a, "l,e"))))));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l s:2 e:3");
    (void)end(s, c, "b,l,s,e", rd(s, p, "b,l,s,e"));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l o:6 s:2 e:3");
    (void)end(s, y, "b,l,o", mul(s, mul(s, num(s, 0.5), rd(s, c, "b,l,s,e")), rd(s, v, "s,e,o")));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l i:6");
    (void)end(s, z, "b,l,i", add(s, rd(s, x, "b,l,i"), rd(s, y, "b,l,i")));
    output(s, "z", OUTPUT_RESULT, z);
    loss_of(s, z, "b:b l:l i:6", "b,l,i");
}

/* Pairs with an own and a foreign integer, weighted, written back through the integer; an integer that is an index. */
static void pair_program(Sketch *s)
{
    int x = param(s, "x", "b,l,4"), w = param(s, "w", "3,4,5"), v = param(s, "v", "3,5,4"), gate = param(s, "gate", "3,2");
    int best = integers(s, "best", "3,2", 6, true), own = integers(s, "own", "3,2", 3, false), copy = integers(s, "copy", "3,2", 6, false);
    int flat = local(s, "flat", "1,b,l,4"), u = local(s, "u", "3,2,5"), h = local(s, "h", "3,2,5"), y = local(s, "y", "b,l,4");
    char subs[96];
    begin(s, OP_NEST, REDUCE_SET, "e:3 k:2");
    (void)end(s, own, "e,k", pos(s, "e"));
    begin(s, OP_NEST, REDUCE_SET, "e:3 k:2");
    (void)end(s, copy, "e,k", rd(s, best, "e,k"));
    begin(s, OP_NEST, REDUCE_SET, "n:1 b:b l:l i:4");
    (void)end(s, flat, "n,b,l,i", rd(s, x, "b,l,i"));
    begin(s, OP_NEST, REDUCE_SUM, "e:3 k:2 f:5 i:4");
    (void)snprintf(subs, sizeof subs, "0,@%d(e,k)/2,i", copy);
    int z = rd(s, flat, subs);
    (void)snprintf(subs, sizeof subs, "@%d(e,k),i,f", own);
    (void)end(s, u, "e,k,f", mul(s, z, rd(s, w, subs)));
    begin(s, OP_NEST, REDUCE_SET, "e:3 k:2 f:5");
    (void)end(s, h, "e,k,f", mul(s, rd(s, u, "e,k,f"), un(s, EXPR_SIGMOID, rd(s, u, "e,k,f"))));
    begin(s, OP_NEST, REDUCE_SUM, "e:3 k:2 o:4 f:5");
    (void)snprintf(subs, sizeof subs, "@%d(e,k),f,o", own);
    int out = mul(s, mul(s, rd(s, gate, "e,k"), rd(s, h, "e,k,f")), rd(s, v, subs));
    (void)snprintf(subs, sizeof subs, "@%d(e,k)/2,o", best);
    (void)end(s, y, subs, out);
    loss_of(s, y, "b:b l:l o:4", "b,l,o");
}

/* Masked scores: raw, score, lse, use, pick. */
static void score_program(Sketch *s)
{
    int q = param(s, "q", "b,l,2,3"), k = param(s, "k", "b,l,2,3"), v = param(s, "v", "b,l,2,4"), bias = param(s, "bias", "2,l");
    int segment = integers(s, "segment", "b,l", 2, true), target = integers(s, "target", "b,l", 3, true);
    int raw = local(s, "raw", "b,2,l,l"), score = local(s, "score", "b,2,l,l"), scaled = local(s, "scaled", "b,2,l,l"), z = local(s, "z", "b,2,l");
    int o = local(s, "o", "b,l,2,4"), pick = local(s, "pick", "b,2,l"), copy = local(s, "copy", "b,2,l,3");
    begin(s, OP_NEST, REDUCE_SET, "b:b h:2 i:l e:3");
    (void)end(s, copy, "b,h,i,e", rd(s, q, "b,i,h,e"));
    begin(s, OP_NEST, REDUCE_SUM, "b:b h:2 i:l j:l e:3");
    (void)end(s, raw, "b,h,i,j", mul(s, rd(s, copy, "b,h,i,e"), rd(s, k, "b,j,h,e")));
    begin(s, OP_NEST, REDUCE_SET, "b:b h:2 i:l j:l");
    (void)end(s, scaled, "b,h,i,j", mul(s, num(s, 0.6), rd(s, raw, "b,h,i,j")));
    begin(s, OP_NEST, REDUCE_SET, "b:b h:2 i:l j:l");
    cond(s, "i-j");
    op_guard(&s->op, bin(s, EXPR_EQ, rd(s, segment, "b,i"), rd(s, segment, "b,j")));
    (void)end(s, score, "b,h,i,j", add(s, rd(s, scaled, "b,h,i,j"), rd(s, bias, "h,i-j")));
    begin(s, OP_NEST, REDUCE_LSE, "b:b h:2 i:l j:l");
    cond(s, "i-j");
    op_guard(&s->op, bin(s, EXPR_EQ, rd(s, segment, "b,i"), rd(s, segment, "b,j")));
    (void)end(s, z, "b,h,i", rd(s, score, "b,h,i,j"));
    begin(s, OP_NEST, REDUCE_SUM, "b:b i:l h:2 e:4 j:l");
    cond(s, "i-j");
    op_guard(&s->op, bin(s, EXPR_EQ, rd(s, segment, "b,i"), rd(s, segment, "b,j")));
    int p = un(s, EXPR_EXP, bin(s, EXPR_SUB, rd(s, score, "b,h,i,j"), rd(s, z, "b,h,i")));
    (void)end(s, o, "b,i,h,e", mul(s, p, rd(s, v, "b,j,h,e")));
    (void)target;
    (void)pick;
    loss_of(s, o, "b:b i:l h:2 e:4", "b,i,h,e");
}

/* The mean negative log-likelihood of targets, some of them missing. */
static void head_program(Sketch *s)
{
    int x = param(s, "x", "b,l,4"), w = param(s, "w", "5,4"), target = integers(s, "target", "b,l", 5, true);
    int logits = local(s, "logits", "b,l,5"), z = local(s, "z", "b,l"), n = local(s, "n", ""), loss = local(s, "loss", ""), sum = local(s, "sum", "");
    char subs[64];
    (void)snprintf(subs, sizeof subs, "b,l,@%d(b,l)", target);
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l v:5 i:4");
    (void)end(s, logits, "b,l,v", mul(s, rd(s, x, "b,l,i"), rd(s, w, "v,i")));
    begin(s, OP_NEST, REDUCE_LSE, "b:b l:l v:5");
    (void)end(s, z, "b,l", rd(s, logits, "b,l,v"));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l");
    (void)end(s, n, "", un(s, EXPR_EXISTS, rd(s, target, "b,l")));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l");
    (void)end(s, sum, "", bin(s, EXPR_SUB, rd(s, z, "b,l"), rd(s, logits, subs)));
    begin(s, OP_NEST, REDUCE_SET, "");
    (void)end(s, loss, "", bin(s, EXPR_DIV, rd(s, sum, ""), rd(s, n, "")));
    output(s, "cross_entropy", OUTPUT_LOSS, loss);
    int extra = local(s, "extra", "");
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l");
    op_guard(&s->op, un(s, EXPR_EXISTS, rd(s, target, "b,l")));
    int lse = rd(s, z, "b,l");
    (void)end(s, extra, "", mul(s, num(s, 0.1), mul(s, lse, lse)));
    output(s, "z", OUTPUT_LOSS, extra);
}

/* Extents of 1, unused indices, equal definitions, a chain of three factors, a max, a recurrence. */
static void odd_program(Sketch *s)
{
    int x = param(s, "x", "3,4"), w = param(s, "w", "4,5"), v = param(s, "v", "5,2"), y = local(s, "y", "3,2"), a = local(s, "a", "3"), b = local(s, "b", "3");
    int c = local(s, "c", "3,1"), d = local(s, "d", "3"), h = local(s, "h", "3,4"), e = local(s, "e", "4,3");
    begin(s, OP_NEST, REDUCE_SUM, "n:3 i:4 j:5 o:2");
    (void)end(s, y, "n,o", mul(s, mul(s, rd(s, x, "n,i"), rd(s, w, "i,j")), rd(s, v, "j,o")));
    begin(s, OP_NEST, REDUCE_SUM, "i:3 j:4 k:2");
    (void)end(s, a, "i", un(s, EXPR_NEG, bin(s, EXPR_DIV, rd(s, x, "i,j"), rd(s, y, "i,1"))));
    begin(s, OP_NEST, REDUCE_SUM, "u:3 z:4 k:2");
    (void)end(s, b, "u", un(s, EXPR_NEG, bin(s, EXPR_DIV, rd(s, x, "u,z"), rd(s, y, "u,1"))));
    begin(s, OP_NEST, REDUCE_MAX, "i:3 u:1 j:2");
    (void)end(s, c, "i,u", mul(s, rd(s, y, "i,j"), rd(s, a, "i")));
    begin(s, OP_NEST, REDUCE_LSE, "i:3");
    (void)end(s, d, "2-i", add(s, rd(s, b, "i"), rd(s, c, "i,0")));
    begin(s, OP_RECUR, REDUCE_SET, "i:3 j:4");
    int scan = 1;
    s->op.op.scan = arena_memdup(s->arena, &scan, sizeof scan);
    s->op.op.scan_count = 1;
    s->op.op.body2 = num(s, 0.5);
    (void)end(s, h, "i,j", mul(s, rd(s, x, "i,j"), rd(s, d, "i")));
    begin(s, OP_NEST, REDUCE_SUM, "i:3 j:4");
    (void)end(s, e, "j,i", rd(s, h, "i,3-j"));
    loss_of(s, e, "j:4 i:3", "j,i");
}

/* Row statistics twice, the second time with their axes turned round. */
static void turned_program(Sketch *s)
{
    int x = param(s, "x", "b,l,3,4"), z = local(s, "z", "b,l,3"), t = local(s, "t", "3,b,l"), m = local(s, "m", "b,l,3"), u = local(s, "u", "l,3,b"), y = local(s, "y", "b,l,3");
    for (int turned = 0; turned < 2; turned++) {
        begin(s, OP_NEST, REDUCE_LSE, turned ? "h:3 b:b l:l j:4" : "b:b l:l h:3 j:4");
        cond(s, "l-j");
        (void)end(s, turned ? t : z, turned ? "h,b,l" : "b,l,h", rd(s, x, "b,l,h,j"));
        begin(s, OP_NEST, REDUCE_MAX, turned ? "l:l h:3 b:b j:4" : "b:b l:l h:3 j:4");
        (void)end(s, turned ? u : m, turned ? "l,h,b" : "b,l,h", mul(s, rd(s, x, "b,l,h,j"), rd(s, x, "b,l,h,3-j")));
    }
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l h:3");
    (void)end(s, y, "b,l,h", add(s, mul(s, rd(s, z, "b,l,h"), rd(s, t, "2-h,b,l")), mul(s, rd(s, m, "b,l,h"), rd(s, u, "l,2-h,b"))));
    loss_of(s, y, "b:b l:l h:3", "b,l,h");
}

/* Each place has two slots with a key; a flat axis read in two halves, one of them mirrored; angles and slopes that vary with few indices. */
static void keyed_program(Sketch *s)
{
    int x = param(s, "x", "b,l,4"), w = param(s, "w", "3,4,6"), v = param(s, "v", "3,6,4"), gate = param(s, "gate", "b,l,2"), base = param(s, "base", "3");
    int key = integers(s, "key", "b,l,2", 3, true), u = local(s, "u", "b,l,2,6"), q = local(s, "q", "b,l,2,2,3"), a = local(s, "a", "l,3");
    int o = local(s, "o", "b,l,2,4"), y = local(s, "y", "b,l,4");
    char subs[64];
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l c:2 f:6 i:4");
    (void)snprintf(subs, sizeof subs, "@%d(b,l,c),i,f", key);
    (void)end(s, u, "b,l,c,f", mul(s, rd(s, x, "b,l,i"), rd(s, w, subs)));
    begin(s, OP_NEST, REDUCE_SET, "l:l i:3");
    (void)end(s, a, "l,i", mul(s, pos(s, "l"), bin(s, EXPR_POW, num(s, 0.3), pos(s, "i"))));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l c:2 s:2 i:3");
    Access low = at(s, u, "b,l,c,0"), high = at(s, u, "b,l,c,3");
    Affine s3 = affine_scale(s->program, affine_index(s->program, 3), dim_int(s->program->dims, 3)), i = affine_index(s->program, 4);
    low.subs[3].affine = affine_add(s->program, s3, i);
    high.subs[3].affine = affine_add(s->program, affine_sub(s->program, high.subs[3].affine, s3), i);
    int side = bin(s, EXPR_SUB, mul(s, num(s, 2), pos(s, "s")), num(s, 1)), slope = bin(s, EXPR_POW, rd(s, base, "i"), num(s, 3));
    int rotated = add(s, mul(s, expr_read(&s->op, low), un(s, EXPR_COS, rd(s, a, "l,i"))), mul(s, mul(s, side, expr_read(&s->op, high)), un(s, EXPR_SIN, rd(s, a, "l,i"))));
    op_guard(&s->op, un(s, EXPR_EXISTS, rd(s, key, "b,l,c")));
    (void)end(s, q, "b,l,c,s,i", mul(s, rotated, slope));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l c:2 o:4 s:2 i:3");
    op_guard(&s->op, un(s, EXPR_EXISTS, rd(s, key, "b,l,c")));
    Access third = at(s, v, "@%d(b,l,c),0,o", key);
    third.subs[1].affine = affine_add(s->program, affine_scale(s->program, affine_index(s->program, 4), dim_int(s->program->dims, 3)), affine_index(s->program, 5));
    (void)end(s, o, "b,l,c,o", mul(s, rd(s, q, "b,l,c,s,i"), expr_read(&s->op, third)));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l o:4 c:2");
    (void)end(s, y, "b,l,o", mul(s, rd(s, gate, "b,l,c"), rd(s, o, "b,l,c,o")));
    loss_of(s, y, "b:b l:l o:4", "b,l,o");
}

/* Mean, variance, a scaled and shifted residual: sums whose bodies are differences. */
static void moments_program(Sketch *s)
{
    int x = param(s, "x", "b,l,4"), z = param(s, "z", "b,l,4"), g = param(s, "g", "4"), m = local(s, "m", "b,l"), v = local(s, "v", "b,l"), r = local(s, "r", "b,l");
    int y = local(s, "y", "b,l,4");
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l i:4");
    (void)end(s, m, "b,l", bin(s, EXPR_DIV, add(s, rd(s, x, "b,l,i"), rd(s, z, "b,l,i")), num(s, 4)));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l i:4");
    int centred = bin(s, EXPR_SUB, add(s, rd(s, x, "b,l,i"), rd(s, z, "b,l,i")), rd(s, m, "b,l"));
    (void)end(s, v, "b,l", bin(s, EXPR_DIV, mul(s, centred, centred), num(s, 4)));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l");
    (void)end(s, r, "b,l", un(s, EXPR_RSQRT, add(s, rd(s, v, "b,l"), num(s, 1e-6))));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l o:4");
    centred = bin(s, EXPR_SUB, add(s, rd(s, x, "b,l,o"), rd(s, z, "b,l,o")), rd(s, m, "b,l"));
    (void)end(s, y, "b,l,o", mul(s, mul(s, centred, rd(s, r, "b,l")), rd(s, g, "o")));
    output(s, "y", OUTPUT_RESULT, y);
    loss_of(s, y, "b:b l:l i:4", "b,l,i");
}

static const Sketcher PROGRAMS[] = {layer_program, pair_program, score_program, head_program, odd_program, turned_program, keyed_program, moments_program};
enum { PROGRAM_COUNT = 7 };

/* ---- passes ------------------------------------------------------------------------------------------------------------------- */

static bool pass_inline_before(Unit *unit) { return opt_inline(unit, &(OptOptions){.phase = OPT_BEFORE_GRAD}); }
static bool pass_inline_after(Unit *unit) { return opt_inline(unit, &(OptOptions){.phase = OPT_AFTER_GRAD}); }
static bool pass_inline_all(Unit *unit) { return opt_inline(unit, &(OptOptions){.phase = OPT_AFTER_GRAD, .prologues = true}); }
static bool pass_hoist(Unit *unit) { return opt_hoist(unit, OPT_AFTER_GRAD); }
static bool pass_raise(Unit *unit) { return opt_raise(unit) > 0; }

static void test_each_pass(void **state)
{
    (void)state;
    bool (*passes[])(Unit *) = {opt_dce, opt_cse, opt_normalize, opt_factor, pass_inline_before, pass_inline_after, pass_inline_all, pass_hoist, pass_raise};
    for (int p = 0; p < PROGRAM_COUNT; p++)
        for (size_t k = 0; k < sizeof passes / sizeof *passes; k++) {
            Sketch sketch = sketch_new(), *s = &sketch;
            PROGRAMS[p](s);
            Value *formals = sketch_formals(s, s->unit, true, 3), *before = sketch_run(s, s->unit, formals);
            int count = s->unit->output_count;
            (void)passes[k](s->unit);
            const char *wrong = unit_verify(s->unit);
            if (wrong)
                fail_msg("program %d, pass %d: %s", p, (int)k, wrong);
            same_values(s->unit, count, before, sketch_run(s, s->unit, formals), 1e-12);
            sketch_free(s);
        }
}

/* The whole path gives the gradients that differentiation alone gives. */
static void test_around_grad(void **state)
{
    (void)state;
    for (int p = 0; p < PROGRAM_COUNT; p++)
        for (int together = 0; together < 2; together++) {
            Sketch plain = sketch_new(), passed = sketch_new();
            PROGRAMS[p](&plain);
            PROGRAMS[p](&passed);
            Value *formals = sketch_formals(&plain, plain.unit, true, 3);
            assert_true(grad_program(plain.program, NULL, NULL));
            Value *before = sketch_run(&plain, plain.unit, formals);
            if (together)
                opt_simplify(passed.program, &(OptOptions){.phase = OPT_BEFORE_GRAD});
            else
                opt_simplify_unit(passed.unit, &(OptOptions){.phase = OPT_BEFORE_GRAD});
            assert_true(grad_program(passed.program, NULL, NULL));
            opt_simplify(passed.program, &(OptOptions){.phase = OPT_AFTER_GRAD, .prologues = together});
            const char *wrong = program_verify(passed.program);
            if (wrong)
                fail_msg("program %d: %s", p, wrong);
            same_values(plain.unit, plain.unit->output_count, before, sketch_run(&passed, passed.unit, formals), 1e-11);
            sketch_free(&plain);
            sketch_free(&passed);
        }
}

/* ---- forms -------------------------------------------------------------------------------------------------------------------- */

static void test_gather_form(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    int x = input(s, "x", "l"), w = input(s, "w", "2"), y = local(s, "y", "l");
    begin(s, OP_NEST, REDUCE_SUM, "i:l s:2");
    cond(s, "i-s");
    (void)end(s, y, "i-s", mul(s, rd(s, x, "i"), rd(s, w, "s")));
    output(s, "y", OUTPUT_RESULT, y);
    assert_true(opt_normalize(s->unit));
    assert_true(access_bare(&s->unit->ops[0].out, NULL));
    assert_int_equal(s->unit->ops[0].cond_count, 1);
    sketch_free(s);
}

static void test_chain_splits(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    odd_program(s);
    (void)opt_factor(s->unit);
    assert_int_equal(s->unit->ops[0].index_count, 3);
    assert_int_equal(s->unit->ops[1].index_count, 3);
    sketch_free(s);
}

static void test_equal_definitions(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    odd_program(s);
    int count = s->unit->op_count;
    assert_true(opt_cse(s->unit));
    assert_int_equal(s->unit->op_count, count - 1);
    sketch_free(s);
    Sketch other = sketch_new();
    s = &other;
    turned_program(s);
    assert_true(opt_cse(s->unit));
    int statistics = 0;
    for (int i = 0; i < s->unit->op_count; i++)
        statistics += s->unit->ops[i].reducer == REDUCE_LSE || s->unit->ops[i].reducer == REDUCE_MAX;
    assert_int_equal(statistics, 2);
    sketch_free(s);
}

/* Scores with conditions and a guard, a named probability, the head with its pick: each is one stream, and so is its derivative. */
static void probability_program(Sketch *s)
{
    int x = param(s, "x", "b,l,4"), w = param(s, "w", "5,4"), v = param(s, "v", "5,3");
    int a = local(s, "a", "b,l,5"), z = local(s, "z", "b,l"), p = local(s, "p", "b,l,5"), y = local(s, "y", "b,l,3");
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l v:5 i:4");
    cond(s, "l-v");
    (void)end(s, a, "b,l,v", mul(s, rd(s, x, "b,l,i"), rd(s, w, "v,i")));
    begin(s, OP_NEST, REDUCE_LSE, "b:b l:l v:5");
    cond(s, "l-v");
    (void)end(s, z, "b,l", rd(s, a, "b,l,v"));
    begin(s, OP_NEST, REDUCE_SET, "b:b l:l v:5");
    cond(s, "l-v");
    (void)end(s, p, "b,l,v", un(s, EXPR_EXP, bin(s, EXPR_SUB, rd(s, a, "b,l,v"), rd(s, z, "b,l"))));
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l o:3 v:5");
    cond(s, "l-v");
    (void)end(s, y, "b,l,o", mul(s, rd(s, p, "b,l,v"), rd(s, v, "v,o")));
    loss_of(s, y, "b:b l:l o:3", "b,l,o");
}

static void test_streams(void **state)
{
    (void)state;
    const Sketcher programs[] = {score_program, head_program, probability_program};
    for (int p = 0; p < 3; p++) {
        Sketch plain = sketch_new(), sketch = sketch_new(), *s = &sketch;
        programs[p](&plain);
        programs[p](s);
        Value *formals = sketch_formals(&plain, plain.unit, true, 3);
        assert_true(grad_program(plain.program, NULL, NULL));
        opt_simplify(s->program, NULL);
        assert_int_equal(s->unit->group_count, 1);
        assert_true(grad_program(s->program, NULL, NULL));
        opt_simplify(s->program, &(OptOptions){.phase = OPT_AFTER_GRAD});
        assert_int_equal(s->unit->group_count, 2);
        assert_int_equal(s->unit->groups[0].kind, GROUP_STREAM);
        assert_int_equal(s->unit->groups[1].kind, GROUP_STREAM_GRAD);
        assert_null(program_verify(s->program));
        same_values(plain.unit, plain.unit->output_count, sketch_run(&plain, plain.unit, formals), sketch_run(s, s->unit, formals), 1e-11);
        sketch_free(&plain);
        sketch_free(s);
    }
}

static void test_dead_results(void **state)
{
    (void)state;
    Sketch sketch = sketch_new(), *s = &sketch;
    Unit *main = s->unit, *callee = s->unit = unit_new(s->program, intern(s->interner, "callee"));
    int a = input(s, "a", "2"), b = input(s, "b", "2"), c = local(s, "c", "2"), d = local(s, "d", "2");
    begin(s, OP_NEST, REDUCE_SET, "i:2");
    (void)end(s, c, "i", un(s, EXPR_EXP, rd(s, a, "i")));
    begin(s, OP_NEST, REDUCE_SET, "i:2");
    (void)end(s, d, "i", un(s, EXPR_SIN, rd(s, b, "i")));
    output(s, "c", OUTPUT_RESULT, c);
    output(s, "d", OUTPUT_METRIC, d);
    s->unit = main;
    int x = input(s, "x", "2"), y = local(s, "y", "2"), z = local(s, "z", "2"), args[] = {x, x}, results[] = {y, z};
    s->op = op_begin(main, OP_CALL);
    s->op.op.callee = callee;
    s->op.op.arg_count = s->op.op.result_count = 2;
    s->op.op.args = args;
    s->op.op.results = results;
    s->op.op.path = intern(s->interner, "callee");
    (void)op_finish(&s->op);
    output(s, "y", OUTPUT_RESULT, y);
    opt_simplify(s->program, NULL);
    assert_int_equal(callee->output_count, 1);
    assert_int_equal(callee->formal_count, 1);
    assert_int_equal(callee->op_count, 1);
    assert_int_equal(main->ops[0].arg_count, 1);
    Value *formals = sketch_formals(s, main, true, 2), *values = sketch_run(s, main, formals);
    assert_true(values[0].real[1] == exp(formals[0].real[1]));
    sketch_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pass),         cmocka_unit_test(test_around_grad),  cmocka_unit_test(test_gather_form), cmocka_unit_test(test_chain_splits),
        cmocka_unit_test(test_equal_definitions), cmocka_unit_test(test_dead_results), cmocka_unit_test(test_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
