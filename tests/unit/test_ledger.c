/* The ledger: the published counts of the library's models, what single lines cost, arithmetic counted by hand, points counted one by one. */
#include "ir_sketch.h"
#include "lowered.h"

#include "ir/ledger.h"
#include "ir/volume.h"

#include <time.h>

static void assert_number(double is, double expected)
{
    if (!(fabs(is - expected) <= 1e-14 * fabs(expected)))
        fail_msg("%.17g, expected %.17g", is, expected);
}

/* ---- the table of numerics.md ---- */

static void test_published_counts(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        int64_t products;
        double activated;
    } cases[] = {
        {"dense_0_1b", 113246208, 113246208},
        {"glam_0_1b_32e", 976896000, 127549440},
        {"dense_1_7b", 1610612736, 1610612736},
        {"glam_1_7b_64e", 26778009600, 1813512192},
        {"dense_8b", 8589934592, 8589934592},
        {"glam_8b_64e", 142811856896, 9667870720},
        {"glam_ec_0_1b_32e", 976896000, 127549440},
        {"glam_ec_1_7b_64e", 26778009600, 1813512192},
        {"glam_ec_8b_64e", 142811856896, 9667870720},
        {"fixed_expert_100m_32e", 976896000, 99237888},
        {"sandwich_0_1b", 113246208, 113246208},
        {"brainformer_1_1b_64e", 29924524032, 1386479616},
        {"brainformer_1_8b_64e", 159591170048, 7388266496},
        {"brainformer_1_100m_32e", 1928626176, 173309952},
    };
    Loaded loaded = loaded_file(BFM_SOURCE_DIR "/stdlib/models.bfm");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const Lowered *lowered = lowered_model(&loaded, cases[k].model, MODE_TRAIN);
        const clock_t before = clock();
        const ProgramCost *cost = program_cost(loaded.arena, lowered->program, 1, lowered->context);
        assert_true(clock() - before < CLOCKS_PER_SEC / 10);
        assert_int_equal(cost->counts.products, cases[k].products);
        assert_number(cost->counts.activated, cases[k].activated);
        const int64_t width = lowered->program->bindings[1].plain_extent[1];
        assert_int_equal(cost->counts.tables, 256000 * width);
    }
    loaded_free(&loaded);
}

static const CallCost *call_named(const ProgramCost *cost, const char *path)
{
    for (int i = 0; i < cost->call_count; i++)
        if (!strcmp(cost->calls[i].path, path))
            return &cost->calls[i];
    fail_msg("no call %s", path);
    return NULL;
}

/* A line after embed(d = 16), at batch 1 and length 8. */
static void assert_line(const char *line, const char *path, Counts expected)
{
    Loaded loaded = loaded_lines(line);
    const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
    const ProgramCost *cost = program_cost(loaded.arena, lowered->program, 1, 8);
    const CallCost *call = call_named(cost, path);
    if (call->first.products != expected.products || call->first.tables != expected.tables || call->first.others != expected.others || call->activated != expected.activated)
        fail_msg("%s: products %lld, tables %lld, others %lld, activated %g", line, (long long)call->first.products, (long long)call->first.tables, (long long)call->first.others,
                 call->activated);
    loaded_free(&loaded);
}

static void test_lines(void **state)
{
    (void)state;
    assert_line("ffn(hidden = 8)", "embed_0", (Counts){0, 11 * 16, 0, 0});
    assert_line("ffn(hidden = 8)", "ffn_0", (Counts){256, 0, 16, 256});
    assert_line("ffn(hidden = 8, act = swiglu)", "ffn_0", (Counts){384, 0, 16, 384});
    assert_line("ffn(hidden = 8)", "head_0", (Counts){0, 11 * 16, 0, 0});
    assert_line("attention(heads = 4, head_dim = 8, kv_heads = 2, qk_norm = true, position = relative)", "attention_0", (Counts){2 * 512 + 2 * 256, 0, 16 + 16 + 128, 1536});
    assert_line("low_rank(rank = 2, hidden = 8)", "low_rank_0", (Counts){96, 0, 16, 96});
    assert_line("multi_branch(branches = 2, hidden = 8)", "multi_branch_0", (Counts){256, 0, 16, 256});
    assert_line("moe(experts = 4, hidden = 8, router = top2())", "moe_0", (Counts){64 + 1024, 0, 16, 64 + 512});
    assert_line("moe(experts = 4, hidden = 8, router = top2(capacity = none))", "moe_0", (Counts){64 + 1024, 0, 16, 64 + 512});
    assert_line("moe(experts = 4, hidden = 8, act = geglu, router = topk(k = 3))", "moe_0", (Counts){64 + 1536, 0, 16, 64 + 1152});
    assert_line("moe(experts = 4, hidden = 8, router = expert_choice(capacity = 2))", "moe_0", (Counts){64 + 1024, 0, 16, 64 + 512});
    assert_line("moe(experts = 4, hidden = 8, router = expert_choice(capacity = 1/2, group = sequence))", "moe_0", (Counts){64 + 1024, 0, 16, 64 + 128});
    assert_line("moe(experts = 4, hidden = 8, router = soft())", "moe_0", (Counts){64 + 1024, 0, 16, 64 + 1024});
    assert_line("moe(experts = 4, hidden = 8, router = hash())", "moe_0", (Counts){1024, 0, 16, 256});
    assert_line("project(d = 4)", "project_0", (Counts){64, 0, 0, 64});
    assert_line("gmlp(hidden = 8)", "gmlp_0", (Counts){16 * 8 + 4 * 16 + 64, 0, 16 + 4 + 8, 16 * 8 + 4 * 16 + 4.5}); /* of a row, what is not after its position */
    assert_line("repeat 2 shared { ffn(hidden = 8) }", "ffn_0", (Counts){256, 0, 16, 256});
    assert_line("parallel { ffn(hidden = 8) | ffn(hidden = 4) }", "parallel_0.ffn_1", (Counts){128, 0, 0, 128});
}

/* A tied table counts once, where it is first used; so do the weights of a shared repetition. */
static void test_shared(void **state)
{
    (void)state;
    Loaded loaded = loaded_text("use std.layers\nmodel m {\n vocab = 11 context = 8\n embed(d = 16)\n repeat 3 shared { ffn(hidden = 8) }\n head(tied = true)\n}\n");
    const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
    const ProgramCost *cost = program_cost(loaded.arena, lowered->program, 2, 4);
    assert_int_equal(cost->counts.products, 256);
    assert_number(cost->counts.activated, 256);
    assert_int_equal(cost->counts.tables, 176);
    assert_int_equal(call_named(cost, "head_0")->first.tables, 0);
    int64_t first = 0;
    double forward = 0;
    for (int i = 0; i < cost->call_count; i++)
        first += counts_total(cost->calls[i].first), forward += cost->calls[i].cost->work.forward;
    assert_int_equal(first, counts_total(cost->counts));
    assert_true(fabs(forward - cost->work.forward) <= 1e-12 * forward);
    loaded_free(&loaded);
}

/* Half of the positions meet the inner layer, and an odd half of what a shorter length would choose is none of a token's business. */
static void test_chosen_positions(void **state)
{
    (void)state;
    Loaded loaded = loaded_text("use std.layers\n"
                                "layer half(x[b, l, d]; inner: layer = ffn(hidden = 8)) -> [b, l, d] {\n"
                                "    let pick[b, k] = top[l; ceil(size(l) / 2)](x[b, l, 0])\n"
                                "    let z[b, k, i] = x[b, pick[b, k], i]\n"
                                "    let f = inner(z)\n"
                                "    y[b, pick[b, k], o] += f[b, k, o]\n"
                                "    return out[b, l, o] = y[b, l, o]\n"
                                "}\n"
                                "layer pooled(x[b, l, d]) -> [b, l, d] {\n"
                                "    param w[d, d] ~ normal(0, 1)\n"
                                "    let z[b, p in 0 ..< size(l) / 4, c] = mean[s in 0 ..< 4] x[b, (p, s), c]\n"
                                "    let h[b, p, c] = sum[i] z[b, p, i] * w[i, c]\n"
                                "    return y[b, l, c] = x[b, l, c] + (mean[p] h[b, p, c])\n"
                                "}\n"
                                "model m {\n vocab = 11 context = 16\n embed(d = 16)\n half()\n pooled()\n head(tied = true)\n}\n");
    const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
    static const int64_t lengths[] = {16, 8, 5, 1};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const ProgramCost *cost = program_cost(loaded.arena, lowered->program, 3, lengths[k]);
        assert_number(call_named(cost, "half_0")->activated, 2 * 16 * 8 / 2.0);
        assert_number(call_named(cost, "pooled_0")->activated, 16 * 16 / 4.0);
        assert_number(cost->counts.activated, 128 + 64);
    }
    loaded_free(&loaded);
}

/* ---- arithmetic ---- */

/* Two matrices, each 2 d h a token forward and twice that backward; the rest is small. */
static void test_products(void **state)
{
    (void)state;
    Loaded loaded = loaded_text("use std.layers\nmodel m {\n vocab = 11 context = 64\n embed(d = 64)\n ffn(hidden = 256)\n attention(heads = 4, head_dim = 16)\n head()\n}\n");
    const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
    const ProgramCost *cost = program_cost(loaded.arena, lowered->program, 3, 64);
    const Work *ffn = &call_named(cost, "ffn_0")->cost->work, *mix = &call_named(cost, "attention_0")->cost->work;
    const double tokens = 3 * 64, norm = 2 * tokens * 64; /* the norm's sum of squares is a sum of products too */
    assert_number(ffn->products, tokens * 4 * 64 * 256 + norm);
    assert_true(ffn->forward > ffn->products && ffn->forward < 1.02 * ffn->products);
    assert_true(ffn->backward > 2 * (ffn->products - norm) && ffn->backward < 2.05 * ffn->products);
    const double pairs = 3 * 4 * 64 * 65 / 2.0; /* rows, heads, j <= i */
    assert_number(mix->products, tokens * 8 * 64 * 64 + pairs * 4 * 16 + norm);
    loaded_free(&loaded);
}

static void test_fixed_metrics(void **state)
{
    (void)state;
    static const struct {
        const char *router;
        double slots, served;
    } cases[] = {
        {"top2(capacity = 1)", 1, 0.5},
        {"top2(capacity = 1.1)", 1.5, 0.75}, /* 8 tokens over 4: ceil(2.2) = 3 slots of each */
        {"top1(capacity = 1/2)", 0.5, 0.5},
        {"topk(k = 3, capacity = 1)", 1, 1.0 / 3},
        {"expert_choice(capacity = 1)", 1, -1},
        {"expert_choice(group = position)", 2, -1}, /* 2 tokens over 4: one slot of each */
        {"soft()", -1, -1},
        {"loss_free(k = 2, capacity = 1)", 1, 0.5},
        {"top2(capacity = 1, convention = assignments)", 2, 1},
        {"expert_threshold(capacity = 2)", 2, -1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char line[128];
        (void)snprintf(line, sizeof line, "moe(experts = 4, hidden = 8, router = %s)", cases[k].router);
        Loaded loaded = loaded_lines(line);
        const Lowered *lowered = lowered_model(&loaded, "m", MODE_TRAIN);
        const ProgramCost *cost = program_cost(loaded.arena, lowered->program, 2, 8);
        const UnitCost *unit = call_named(cost, "moe_0")->cost;
        double slots = -1, served = -1;
        for (int i = 0; i < unit->fixed_count; i++) {
            if (strstr(unit->fixed[i].name, "slots_per_token"))
                slots = unit->fixed[i].value;
            if (strstr(unit->fixed[i].name, "served_at_most"))
                served = unit->fixed[i].value;
        }
        assert_number(slots, cases[k].slots);
        assert_number(served, cases[k].served);
        loaded_free(&loaded);
    }
}

/* ---- points ---- */

static double points_one_by_one(const Op *op, const DimEnv *env)
{
    int64_t extent[8], at[8] = {0};
    double count = 0, box = 1;
    for (int i = 0; i < op->index_count; i++)
        box *= (double)(extent[i] = dim_eval(op->indices[i].extent, env));
    for (int64_t k = 0; k < (int64_t)box; k++) {
        bool inside = true;
        for (int c = 0; c < op->cond_count; c++) {
            int64_t value = dim_eval(op->conds[c].base, env);
            for (int t = 0; t < op->conds[c].count; t++)
                value += dim_eval(op->conds[c].terms[t].coef, env) * at[op->conds[c].terms[t].index];
            inside = inside && value >= 0;
        }
        count += inside;
        for (int i = op->index_count - 1; i >= 0 && ++at[i] == extent[i]; i--)
            at[i] = 0;
    }
    return count;
}

static void test_points(void **state)
{
    (void)state;
    static const struct {
        const char *indices, *conds[3];
    } cases[] = {
        {"b:b i:l", {NULL}},
        {"b:b i:l j:l", {"i-j"}},
        {"i:l j:l", {"i-j", "j-i+2"}},
        {"i:l s:3", {"i-s"}},
        {"i:l j:l k:l", {"i-j", "j-k"}},
        {"i:l j:l k:4", {"i-j-k", "3-k"}},
        {"i:l j:l a:l c:l", {"i-j", "a-c-1"}},
        {"i:l", {"i-3"}},
        {"i:2l j:l", {"5-i-j", "i-j-1"}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Sketch s = sketch_new();
        DimEnv env = {.value = {[DIM_B] = 2, [DIM_L] = 7}};
        begin(&s, OP_NEST, REDUCE_SUM, cases[k].indices);
        for (int c = 0; c < 3 && cases[k].conds[c]; c++)
            cond(&s, cases[k].conds[c]);
        assert_number(volume_points(&s.op.op, index_set_all(&s.op.op), &env), points_one_by_one(&s.op.op, &env));
        sketch_free(&s);
    }
    Sketch s = sketch_new(); /* long axes: a triangle of 10^5 takes no time */
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 100000}};
    begin(&s, OP_NEST, REDUCE_SUM, "i:l j:l e:64");
    cond(&s, "i-j");
    assert_number(volume_points(&s.op.op, index_set_all(&s.op.op), &env), 64.0 * 100000 * 100001 / 2);
    assert_number(volume_points(&s.op.op, 3, &env), 100000.0 * 100001 / 2);
    assert_number(volume_points(&s.op.op, 1, &env), 100000);
    sketch_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_counts), cmocka_unit_test(test_lines),         cmocka_unit_test(test_shared), cmocka_unit_test(test_chosen_positions),
        cmocka_unit_test(test_products),         cmocka_unit_test(test_fixed_metrics), cmocka_unit_test(test_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
