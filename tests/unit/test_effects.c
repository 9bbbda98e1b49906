/* Effects: stated ones of hand-written IR and of the library's layers, and by brute force: a changed input changes nothing outside the stated effect. */
#include "ir_sketch.h"
#include "lowered.h"
#include "perturb.h"

#include "lower/verdict.h"

static void assert_effect(const char *what, Effect effect, const char *expected)
{
    Str text = {0};
    effect_print(effect, &text);
    if (strcmp(str_text(&text), expected))
        fail_msg("%s: %s, expected %s", what, str_text(&text), expected);
    str_free(&text);
}

/* The effect of the first output of the sketch's unit; it is checked by brute force too. */
static void assert_sketch(Sketch *s, int tensor, const char *expected)
{
    output(s, "y", OUTPUT_RESULT, tensor);
    assert_null(program_verify(s->program));
    const ProgramEffects *effects = effects_analyse(s->arena, s->program);
    assert_effect("sketch", effects_of(effects, s->unit)->outputs[0], expected);
    perturb_unit(s->arena, s->unit, effects, 3, 4, 99);
    sketch_free(s);
}

/* What is found to read the future is never what has been shown to be causal. */
static void assert_no_contradiction(const Unit *unit, const ProgramEffects *effects)
{
    FutureRead read;
    for (int o = 0; o < unit->output_count; o++)
        if (effects_future(effects, unit, o, &read) && effect_causal(effects_of(effects, unit)->outputs[o]))
            fail_msg("%s: of %d positions, %d reads %d", unit->outputs[o].name, (int)read.length, (int)read.position, (int)read.reads);
}

/* ---- single operations ---- */

static void test_past(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    const int x = input(&s, "x", "b,l"), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l j:l");
    cond(&s, "i-j");
    (void)end(&s, y, "b,i", rd(&s, x, "b,j"));
    assert_sketch(&s, y, "own [-inf, 0], cross empty, ext {}");
}

static void test_window(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    const int x = input(&s, "x", "b,l"), w = param(&s, "w", "3"), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l s:3");
    cond(&s, "i-s");
    (void)end(&s, y, "b,i", mul(&s, rd(&s, x, "b,i-s"), rd(&s, w, "s")));
    assert_sketch(&s, y, "own [-2, 0], cross empty, ext {}");
}

static void test_strict_past_and_future(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l"), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l j:l");
    cond(&s, "i-j-1");
    (void)end(&s, y, "b,i", rd(&s, x, "b,j"));
    assert_sketch(&s, y, "own [-inf, -1], cross empty, ext {}");

    s = sketch_new(); /* j <= i + 1: reads one ahead, and the end of the axis shows */
    x = input(&s, "x", "b,l"), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l j:l");
    cond(&s, "i-j+1");
    (void)end(&s, y, "b,i", rd(&s, x, "b,j"));
    assert_sketch(&s, y, "own [-inf, 1], cross empty, ext {l}");
}

static void test_whole_axis_and_rows(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l"), y = local(&s, "y", "b");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b j:l");
    (void)end(&s, y, "b", rd(&s, x, "b,j"));
    assert_sketch(&s, y, "own [-inf, inf], cross empty, ext {l}");

    s = sketch_new(); /* a sum over rows, at every position for itself */
    x = input(&s, "x", "b,l"), y = local(&s, "y", "l,b");
    int m = local(&s, "m", "l");
    begin(&s, OP_NEST, REDUCE_SUM, "i:l r:b");
    (void)end(&s, m, "i", rd(&s, x, "r,i"));
    begin(&s, OP_NEST, REDUCE_SET, "i:l b:b");
    (void)end(&s, y, "i,b", rd(&s, m, "i"));
    assert_sketch(&s, y, "own [0, 0], cross [0, 0], ext {b}");
}

static void test_reversed(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    const int x = input(&s, "x", "b,l"), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SET, "b:b i:l");
    Affine back =
        affine_sub(s.program, affine_const(s.program, dim_sub(s.program->dims, dim_symbol(s.program->dims, DIM_L), dim_int(s.program->dims, 1))), affine_index(s.program, 1));
    Access access = at(&s, x, "b,i");
    access.subs[1] = sub_affine(back, 1);
    (void)end(&s, y, "b,i", expr_read(&s.op, access));
    assert_sketch(&s, y, "own [-inf, inf], cross empty, ext {l}");
}

static void test_recurrences(void **state)
{
    (void)state;
    static const struct {
        const char *indices;
        int scan[3], count;
        bool reverse;
        const char *effect;
    } cases[] = {
        {"b:b i:l c:2", {1}, 1, false, "own [-inf, 0], cross empty, ext {}"},
        {"b:b i:l c:2", {1, 2}, 2, false, "own [-inf, 0], cross empty, ext {}"},
        {"b:b i:l c:2", {2, 1}, 2, false, "own [-inf, inf], cross empty, ext {l}"},
        {"b:b i:l c:2", {1}, 1, true, "own [0, inf], cross empty, ext {l}"},
        {"b:b i:l c:2", {0, 1}, 2, false, "own [-inf, 0], cross [-inf, inf], ext {l}"},
        {"b:b i:l c:2", {1, 0}, 2, false, "own [-inf, 0], cross [-inf, 0], ext {b}"},
        {"b:b i:l c:2", {0}, 1, false, "own [0, 0], cross [0, 0], ext {}"},
        {"b:b i:l c:2", {2}, 1, false, "own [0, 0], cross empty, ext {}"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Sketch s = sketch_new();
        const int x = input(&s, "x", "b,l,2"), y = local(&s, "y", "b,l,2");
        begin(&s, OP_RECUR, REDUCE_SET, cases[k].indices);
        s.op.op.scan = ARENA_ARRAY(s.arena, int, 3);
        memcpy(s.op.op.scan, cases[k].scan, sizeof cases[k].scan);
        s.op.op.scan_count = cases[k].count;
        s.op.op.reverse = cases[k].reverse;
        s.op.op.exclusive = k % 2;
        s.op.op.init.tensor = -1;
        s.op.op.body2 = num(&s, 0.5);
        (void)end(&s, y, "b,i,c", rd(&s, x, "b,i,c"));
        assert_sketch(&s, y, cases[k].effect);
    }
}

static void test_ranking(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l"), best = integers(&s, "best", "b,2", 1, false), y = local(&s, "y", "b,l");
    s.unit->tensors[best].bound = dim_symbol(s.program->dims, DIM_L);
    begin(&s, OP_TOP, REDUCE_SET, "b:b j:l");
    s.op.op.reduced = 1;
    s.op.op.top_k = dim_int(s.program->dims, 2);
    (void)end(&s, best, "b", rd(&s, x, "b,j"));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l k:2");
    (void)end(&s, y, "b,i", rd(&s, x, arena_printf(s.arena, "b,@%d(b,k)", best)));
    assert_sketch(&s, y, "own [-inf, inf], cross empty, ext {l}");
}

/* An integer that is an index under a guard counts as that index; the guard's own effect stays. */
static void test_guarded_index(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int x = input(&s, "x", "b,l"), gate = input(&s, "gate", "b,l"), sum = local(&s, "sum", "b,l"), token = integers(&s, "token", "b,l", 1, false),
        copy = integers(&s, "copy", "b,l", 1, false), y = local(&s, "y", "b,l");
    s.unit->tensors[token].bound = s.unit->tensors[copy].bound = dim_symbol(s.program->dims, DIM_L);
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l s:3");
    cond(&s, "i-s");
    (void)end(&s, sum, "b,i", rd(&s, gate, "b,i-s"));
    begin(&s, OP_NEST, REDUCE_SET, "b:b t:l");
    op_guard(&s.op, bin(&s, EXPR_LT, rd(&s, sum, "b,t"), num(&s, 1)));
    (void)end(&s, token, "b,t", pos(&s, "t"));
    begin(&s, OP_NEST, REDUCE_SET, "b:b t:l");
    (void)end(&s, copy, "b,t", rd(&s, token, "b,t"));
    begin(&s, OP_NEST, REDUCE_SUM, "b:b t:l");
    (void)end(&s, y, arena_printf(s.arena, "b,@%d(b,t)", copy), rd(&s, x, arena_printf(s.arena, "b,@%d(b,t)", token)));
    assert_sketch(&s, y, "own [-2, 0], cross empty, ext {}");
}

/* One past the end of the axis is none: where that is depends on the length. */
static void test_integer_beyond_its_bound(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    int w = param(&s, "w", "9"), token = integers(&s, "token", "l", 1, false), y = local(&s, "y", "l");
    s.unit->tensors[token].bound = dim_symbol(s.program->dims, DIM_L);
    begin(&s, OP_NEST, REDUCE_SET, "t:l");
    (void)end(&s, token, "t", add(&s, pos(&s, "t"), num(&s, 1)));
    begin(&s, OP_NEST, REDUCE_SUM, "t:l");
    op_guard(&s.op, un(&s, EXPR_EXISTS, rd(&s, token, "t")));
    (void)end(&s, y, "t", rd(&s, w, "0"));
    assert_sketch(&s, y, "own empty, cross empty, ext {l}");
}

/* Distances stored from 0: the shift by the length is no dependence; reading the size itself is. */
static void test_shifted_axis(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        Sketch s = sketch_new();
        DimTable *dims = s.program->dims;
        const Dim l = dim_symbol(dims, DIM_L), last = dim_sub(dims, l, dim_int(dims, 1)), extent = dim_add(dims, l, last);
        const int x = input(&s, "x", "b,l"), y = local(&s, "y", "b,l"), far = unit_tensor(s.unit, intern(s.interner, "far"), T_REAL, TENSOR_LOCAL, 1, &extent, NULL);
        s.op = op_begin(s.unit, OP_NEST);
        const int m = op_index(&s.op, intern(s.interner, "m"), extent);
        const int distance = bin(&s, EXPR_SUB, expr_pos(&s.op, m), expr_dim(&s.op, last));
        (void)end(&s, far, "m", plain ? add(&s, expr_pos(&s.op, m), un(&s, EXPR_TANH, distance)) : un(&s, EXPR_TANH, distance));
        begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l j:l");
        cond(&s, "i-j");
        Access access = at(&s, far, "i-j");
        access.subs[0].affine.base = last;
        (void)end(&s, y, "b,i", mul(&s, rd(&s, x, "b,j"), expr_read(&s.op, access)));
        assert_sketch(&s, y, plain ? "own [-inf, 0], cross empty, ext {l}" : "own [-inf, 0], cross empty, ext {}");
    }
}

/* A row axis and a position axis addressed together; an index that is too long for the inner axis may not pass for a position. */
static void test_joined_axes(void **state)
{
    (void)state;
    for (int joined = 0; joined < 2; joined++) {
        Sketch s = sketch_new();
        DimTable *dims = s.program->dims;
        const Dim l = dim_symbol(dims, DIM_L);
        const int x = input(&s, "x", "b,l"), y = local(&s, "y", joined ? "bl" : "b,l");
        begin(&s, OP_NEST, REDUCE_SET, joined ? "t:bl" : "b:b i:l");
        Affine place = joined ? affine_index(s.program, 0) : affine_add(s.program, affine_scale(s.program, affine_index(s.program, 0), l), affine_index(s.program, 1));
        Access access = access_new(s.program, x, 1);
        access.subs[0] = sub_affine(place, 2);
        (void)end(&s, y, joined ? "t" : "b,i", expr_read(&s.op, access));
        assert_sketch(&s, y, joined ? "own [-inf, inf], cross [-inf, inf], ext {l}" : "own [0, 0], cross empty, ext {}");
    }
}

/* ---- calls ---- */

static void test_composition(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    Unit *window = s.unit;
    int x = input(&s, "x", "b,l"), scale = input(&s, "scale", ""), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l s:3");
    cond(&s, "i-s");
    (void)end(&s, y, "b,i", mul(&s, rd(&s, x, "b,i-s"), rd(&s, scale, "")));
    output(&s, "y", OUTPUT_RESULT, y);
    s.unit = s.program->main = unit_new(s.program, intern(s.interner, "outer"));
    x = input(&s, "x", "b,l");
    const int one = input(&s, "one", ""), middle = local(&s, "middle", "b,l"), last = local(&s, "last", "b,l");
    for (int k = 0; k < 2; k++) {
        OpBuilder call = op_begin(s.unit, OP_CALL);
        const int args[] = {k ? middle : x, one}, result = k ? last : middle;
        call.op.callee = window;
        call.op.path = intern(s.interner, k ? "second" : "first");
        call.op.arg_count = 2;
        call.op.args = arena_memdup(s.arena, args, sizeof args);
        call.op.result_count = 1;
        call.op.results = arena_memdup(s.arena, &result, sizeof result);
        (void)op_finish(&call);
    }
    assert_sketch(&s, last, "own [-4, 0], cross empty, ext {}");
}

/* What a caller passes without an axis of positions may still have been made of all of them. */
static void test_whole_argument(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    Unit *inner = s.unit;
    int x = input(&s, "x", "b,l"), mean = param(&s, "mean", ""), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SET, "b:b i:l");
    (void)end(&s, y, "b,i", add(&s, rd(&s, x, "b,i"), rd(&s, mean, "")));
    output(&s, "y", OUTPUT_RESULT, y);
    s.unit = s.program->main = unit_new(s.program, intern(s.interner, "outer"));
    x = input(&s, "x", "b,l"), mean = local(&s, "mean", ""), y = local(&s, "y", "b,l");
    begin(&s, OP_NEST, REDUCE_SUM, "b:b i:l");
    (void)end(&s, mean, "", rd(&s, x, "b,i"));
    OpBuilder call = op_begin(s.unit, OP_CALL);
    const int args[] = {x, mean};
    call.op.callee = inner;
    call.op.path = intern(s.interner, "inner");
    call.op.arg_count = 2;
    call.op.args = arena_memdup(s.arena, args, sizeof args);
    call.op.result_count = 1;
    call.op.results = arena_memdup(s.arena, &y, sizeof y);
    (void)op_finish(&call);
    assert_sketch(&s, y, "own [-inf, inf], cross [-inf, inf], ext {b, l}");
}

/* ---- the library ---- */

static void test_layers(void **state)
{
    (void)state;
    static const char *const local = "own [0, 0], cross empty, ext {}", *const past = "own [-inf, 0], cross empty, ext {}", *const all = "own [-inf, inf], cross empty, ext {l}";
    const struct {
        const char *line, *effect;
    } cases[] = {
        {"rms_norm()", local},
        {"layer_norm()", local},
        {"ffn(hidden = 8, act = geglu)", local},
        {"low_rank(rank = 4, hidden = 8)", local},
        {"multi_branch(branches = 2, hidden = 8)", local},
        {"project(d = 24)", local},
        {"attention(heads = 2, head_dim = 4)", past},
        {"attention(heads = 2, head_dim = 4, kv_heads = 1, qk_norm = true)", past},
        {"attention(heads = 2, head_dim = 4, position = relative)", past},
        {"attention(heads = 2, head_dim = 4, position = alibi, conv = 3)", past},
        {"attention(heads = 2, head_dim = 4, causal = false)", all},
        {"gmlp(hidden = 8)", past},
        {"token_mixer(hidden = 8)", past},
        {"moe(experts = 4, hidden = 8, router = top2())", past},
        {"moe(experts = 4, hidden = 8, router = top2(capacity = none))", local},
        {"moe(experts = 4, hidden = 8, router = top2(order = choice))", all},
        {"moe(experts = 4, hidden = 8, router = top2(group = batch))", "own [-inf, 0], cross [-inf, inf], ext {b, l}"},
        {"moe(experts = 4, hidden = 8, router = top2(group = position))", "own [0, 0], cross [0, 0], ext {b}"},
        {"moe(experts = 4, hidden = 8, router = topk(k = 3))", past},
        {"moe(experts = 4, hidden = 8, router = top1())", past},
        {"moe(experts = 4, hidden = 8, router = expert_choice())", "own [-inf, inf], cross [-inf, inf], ext {b, l}"},
        {"moe(experts = 4, hidden = 8, router = expert_choice(group = sequence))", all},
        {"moe(experts = 4, hidden = 8, router = expert_choice(group = position))", "own [0, 0], cross [0, 0], ext {b}"},
        {"moe(experts = 4, hidden = 8, router = expert_threshold())", local}, /* in evaluation */
        {"moe(experts = 4, hidden = 8, router = loss_free())", local},
        {"moe(experts = 4, hidden = 8, router = hash())", local},
        {"moe(experts = 4, hidden = 8, router = soft())", local},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Loaded loaded = loaded_lines(cases[k].line);
        const Lowered *lowered = lowered_model(&loaded, "m", MODE_EVAL);
        const ProgramEffects *effects = effects_analyse(loaded.arena, lowered->program);
        const Unit *unit = lowered_call(lowered, 1);
        for (int o = 0; o < unit->output_count; o++)
            if (unit->outputs[o].kind == OUTPUT_RESULT)
                assert_effect(cases[k].line, effects_of(effects, unit)->outputs[o], cases[k].effect);
        perturb_unit(loaded.arena, unit, effects, 2, 5, k);
        assert_no_contradiction(unit, effects);
        loaded_free(&loaded);
    }
}

static Effect model_effect(const Loaded *loaded, Mode mode)
{
    const Lowered *lowered = lowered_model(loaded, "m", mode);
    const ProgramEffects *effects = effects_analyse(loaded->arena, lowered->program);
    return effects_of(effects, lowered->program->main)->outputs[lowered->result];
}

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *effect;
    } cases[] = {
        {"ffn()\n parallel { ffn() | low_rank(rank = 2) }\n at 1/2 { ffn() }\n repeat 2 shared { ffn() }", "own [0, 0], cross empty, ext {}"},
        {"parallel { ffn() | attention(heads = 2) }", "own [-inf, 0], cross empty, ext {}"},
        {"at 3/4 { moe(experts = 4, router = top2()) }", "own [-inf, 0], cross empty, ext {}"},
        {"repeat 2 { attention(heads = 2) moe(experts = 4, router = expert_choice(group = position)) }", "own [-inf, 0], cross [-inf, 0], ext {b}"},
        {"ffn()\n at 1/2 { attention(heads = 2, causal = false) }", "own [-inf, inf], cross empty, ext {l}"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Loaded loaded = loaded_lines(cases[k].lines);
        assert_effect(cases[k].lines, model_effect(&loaded, MODE_TRAIN), cases[k].effect);
        loaded_free(&loaded);
    }
    Loaded loaded = loaded_lines("moe(experts = 4, router = expert_threshold())");
    assert_false(effect_causal(model_effect(&loaded, MODE_TRAIN)));
    assert_true(effect_token_local(model_effect(&loaded, MODE_EVAL)));
    loaded_free(&loaded);
}

/* The way to the leak ends in the definition that makes it. */
static void test_path(void **state)
{
    (void)state;
    Loaded loaded = loaded_lines("ffn()\n attention(heads = 2)\n moe(experts = 4, router = expert_choice(group = sequence))\n ffn()");
    const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
    const ProgramEffects *effects = effects_analyse(loaded.arena, lowered->program);
    EffectStep steps[16];
    const int count = effects_path(loaded.arena, effects, lowered->program->main, lowered->result, true, steps, 16);
    assert_true(count >= 2);
    assert_string_equal(steps[0].call, "moe_0");
    const EffectStep *last = &steps[count - 1];
    assert_string_equal(last->unit->tensors[last->tensor].name, "best");
    assert_true(last->span.file > 0);
    assert_int_equal(effects_path(loaded.arena, effects, lowered->program->main, lowered->result, false, steps, 16), 0);
    loaded_free(&loaded);
}

static void assert_words(const char *lines, Mode mode, const char *brief, const char *words, bool leaky)
{
    Loaded loaded = loaded_lines(lines);
    const Lowered *lowered = lowered_model(&loaded, "m", mode);
    const Verdict verdict = verdict_of(loaded.arena, lowered);
    Str text = {0};
    verdict_print_short(verdict.effect, &text);
    assert_string_equal(str_text(&text), brief);
    str_free(&text);
    verdict_print(verdict.effect, &text);
    assert_string_equal(str_text(&text), words);
    str_free(&text);
    assert_int_equal(verdict_leak(lowered, &verdict), leaky ? LEAK_SHOWN : LEAK_NONE);
    verdict_warn(loaded.module, lowered, &verdict);
    assert_int_equal(diag_warnings(loaded.diags), leaky);
    loaded_free(&loaded);
}

static void test_words(void **state)
{
    (void)state;
    assert_words("ffn()", MODE_TRAIN, "token-local", "token-local: every position for itself; rows do not see each other; the length does not matter", false);
    assert_words("attention(heads = 2)", MODE_TRAIN, "causal", "causal: no position sees a later one; rows do not see each other; the length does not matter", false);
    assert_words("moe(experts = 4, router = expert_choice(group = position))", MODE_TRAIN, "token-local, other rows",
                 "token-local: every position for itself; depends on the other rows of the batch; the length does not matter", false);
    assert_words("moe(experts = 4, router = expert_choice(group = sequence))", MODE_TRAIN, "future, length", "reads the future; rows do not see each other; depends on the length",
                 true);
    assert_words("moe(experts = 4, router = expert_threshold())", MODE_EVAL, "token-local",
                 "token-local: every position for itself; rows do not see each other; the length does not matter", false);
}

static void assert_shown(const char *line, bool causal, bool future)
{
    Loaded loaded = loaded_lines(line);
    const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
    const Verdict verdict = verdict_of(loaded.arena, lowered);
    if (effect_causal(verdict.effect) != causal || verdict.effect.future != future)
        fail_msg("%s: causal %d, future %d", line, effect_causal(verdict.effect), verdict.effect.future);
    loaded_free(&loaded);
}

/* What the library says of itself is no mere failure of a proof. */
static void test_shown(void **state)
{
    (void)state;
    assert_shown("attention(heads = 2, causal = false)", false, true);
    assert_shown("moe(experts = 4, router = expert_choice(group = sequence))", false, true);
    assert_shown("moe(experts = 4, router = expert_choice(group = batch))", false, true);
    assert_shown("moe(experts = 4, router = top2(order = choice, capacity = 1))", false, true);
    assert_shown("moe(experts = 4, router = expert_choice(group = position))", true, false);
    assert_shown("moe(experts = 1, router = expert_choice(group = sequence))", false, false); /* the one expert takes every token */
    assert_shown("repeat 2 { parallel { attention(heads = 2, causal = false) | ffn() } }", false, true);
}

/* ---- targets ---- */

static void assert_targets(const char *head, const char *definition, const char *lines, Mode mode, const char *effect, bool future)
{
    Str text = {0};
    str_printf(&text, "use std.layers\nuse std.routers\n%s\nmodel m {\n    vocab = 11\n    context = 8\n    embed(d = 16)\n    %s\n    %s\n}\n", definition, lines, head);
    Loaded loaded = loaded_text(str_text(&text));
    const Lowered *lowered = lowered_model(&loaded, "m", mode);
    const Verdict verdict = verdict_of(loaded.arena, lowered);
    assert_effect(str_text(&text), verdict.effect, effect);
    if (verdict.effect.future != future)
        fail_msg("%s: future %d", str_text(&text), verdict.effect.future);
    assert_no_contradiction(lowered->program->main, verdict.effects);
    if (future) {
        assert_int_equal(verdict_leak(lowered, &verdict), LEAK_SHOWN);
        assert_true(verdict.step_count > 0);
        assert_true(verdict.read.reads > verdict.read.position);
        bool named = false;
        for (int i = 0; i < verdict.step_count; i++)
            named = named || (verdict.steps[i].call && strstr(verdict.steps[i].call, "f_"));
        assert_true(named);
        assert_true(verdict.steps[verdict.step_count - 1].targets);
    }
    str_free(&text);
    loaded_free(&loaded);
}

#define PEEK(BODY) "layer f(x[b, l, d]; vocab: count, targets[b, l]: vocab) -> [b, l, d] {\n    " BODY "\n}"

/* What `targets` holds at l is the token at l + 1. */
static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *definition, *effect;
        bool future;
    } cases[] = {
        {PEEK("param w[vocab, d] ~ normal(0, 1)\n return y[b, l, i] = x[b, l, i] + (sum[v | v == targets[b, l]] w[v, i])"), "own [0, 1], cross empty, ext {}", true},
        {PEEK("param w[vocab, d] ~ normal(0, 1)\n return y[b, l, i] = x[b, l, i] + w[targets[b, l], i]"), "own [0, 1], cross empty, ext {}", true},
        {PEEK("return y[b, l, i] = x[b, l, i] + select(targets[b, l] == 3, 1, 0)"), "own [0, 1], cross empty, ext {}", true},
        {PEEK("return y[b, l, i] = x[b, l, i] * stop(select(targets[b, l] == 3, 1, 0))"), "own [0, 1], cross empty, ext {}", true},
        {PEEK("return y[b, l, i] = x[b, l, i] + (sum[j | j == l - 1] select(targets[b, j] == 3, 1, 0))"), "own [0, 0], cross empty, ext {}", false},
        {PEEK("return y[b, l, i] = x[b, l, i] + (sum[j | j < l] select(targets[b, j] == 3, 1, 0))"), "own [-inf, 0], cross empty, ext {}", false},
        {PEEK("return y[b, l, i] = x[b, l, i] + (sum[j | j <= l] select(targets[b, j] == 3, 1, 0))"), "own [-inf, 1], cross empty, ext {}", true},
        {PEEK("state c[d] = 0\n next c[i] = mean[b, l] select(targets[b, l] == pos(i), 1, 0)\n return y[b, l, i] = x[b, l, i] + c[i]"), "own [0, 0], cross empty, ext {}", false},
        {PEEK("state c[d] = 0\n next c[i] = mean[b, l] select(targets[b, l] == pos(i), 1, 0)\n return y[b, l, i] = x[b, l, i] + next c[i]"),
         "own [-inf, inf], cross [-inf, inf], ext {b, l}", true},
        {PEEK("metric share = (mean[b, l] select(targets[b, l] == 3, 1, 0)) mean\n return x"), "own [0, 0], cross empty, ext {}", false},
        {PEEK("loss extra = mean[b, l] select(targets[b, l] == 3, 1, 0) * x[b, l, 0]\n return x"), "own [0, 0], cross empty, ext {}", false},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_targets("head()", cases[k].definition, "f()", MODE_TRAIN, cases[k].effect, cases[k].future);
        assert_targets("head()", cases[k].definition, "f()", MODE_EVAL, cases[k].effect, cases[k].future);
    }
    assert_targets("head()", cases[0].definition, "ffn()\n parallel { ffn() | f() }\n ffn()", MODE_TRAIN, "own [0, 1], cross empty, ext {}", true);
    assert_targets("head()", cases[4].definition, "f()\n f()\n attention(heads = 2)", MODE_TRAIN, "own [-inf, 0], cross empty, ext {}", false);
}

/* ---- random programs ---- */

static void test_random_programs(void **state)
{
    (void)state;
    int told = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        Sketch s = sketch_new();
        perturb_random_program(&s, seed);
        const char *wrong = program_verify(s.program);
        if (wrong)
            fail_msg("seed %d: %s", (int)seed, wrong);
        const ProgramEffects *effects = effects_analyse(s.arena, s.program);
        told += perturb_unit(s.arena, s.program->main, effects, 3, 4, seed);
        assert_no_contradiction(s.program->main, effects);
        sketch_free(&s);
    }
    print_message("%d changes inside the stated effects\n", told);
    assert_true(told > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_strict_past_and_future),
        cmocka_unit_test(test_whole_axis_and_rows),
        cmocka_unit_test(test_reversed),
        cmocka_unit_test(test_recurrences),
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_guarded_index),
        cmocka_unit_test(test_integer_beyond_its_bound),
        cmocka_unit_test(test_shifted_axis),
        cmocka_unit_test(test_joined_axes),
        cmocka_unit_test(test_composition),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_whole_argument),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_random_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
