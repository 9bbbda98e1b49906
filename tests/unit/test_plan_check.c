/* bfm_plan_check refuses numbers in records that name no buffer, dim slot, kind, code or place; what it cannot judge is listed here by hand. */
#include "run_compiled.h"

/* A stream of rows over columns, a product, a ranking of it and a number of the step. */
static Compiled *several(Sketch *s, const Engine *engine)
{
    int q = input(s, "q", "b,l,7"), k = input(s, "k", "b,l,7"), v = input(s, "v", "b,l,5"), w = param(s, "w", "7,6"), t = input(s, "t", ""), u = input(s, "u", "");
    int raw = local(s, "raw", "b,l,l"), score = local(s, "score", "b,l,l"), lse = local(s, "lse", "b,l"), o = local(s, "o", "b,l,5");
    int p = local(s, "p", "b,l,6"), one = local(s, "one", ""), best = integers(s, "best", "b,l,2", 6, false);
    Group group = {.kind = GROUP_STREAM};
    begin(s, OP_NEST, REDUCE_SUM, "b:b i:l j:l e:7");
    group.raw = end(s, raw, "b,i,j", mul(s, rd(s, q, "b,i,e"), rd(s, k, "b,j,e")));
    begin(s, OP_NEST, REDUCE_SET, "b:b i:l j:l");
    cond(s, "i-j");
    group.score = end(s, score, "b,i,j", mul(s, num(s, 0.7), rd(s, raw, "b,i,j")));
    begin(s, OP_NEST, REDUCE_LSE, "b:b i:l j:l");
    cond(s, "i-j");
    group.lse = end(s, lse, "b,i", rd(s, score, "b,i,j"));
    begin(s, OP_NEST, REDUCE_SUM, "b:b i:l c:5 j:l");
    cond(s, "i-j");
    int probability = un(s, EXPR_EXP, bin(s, EXPR_SUB, rd(s, score, "b,i,j"), rd(s, lse, "b,i")));
    group.uses[group.use_count++] = end(s, o, "b,i,c", mul(s, probability, rd(s, v, "b,j,c")));
    const int number = unit_group(s->unit, group);
    s->unit->ops[group.raw].group = s->unit->ops[group.score].group = s->unit->ops[group.lse].group = s->unit->ops[group.uses[0]].group = number;
    begin(s, OP_NEST, REDUCE_SUM, "b:b l:l f:6 e:7");
    end(s, p, "b,l,f", mul(s, rd(s, q, "b,l,e"), rd(s, w, "e,f")));
    begin(s, OP_TOP, REDUCE_SET, "b:b l:l f:6");
    s->op.op.reduced = 1, s->op.op.top_k = dim_int(s->program->dims, 2);
    end(s, best, "b,l", rd(s, p, "b,l,f"));
    begin(s, OP_NEST, REDUCE_SET, "");
    end(s, one, "", add(s, un(s, EXPR_EXP, rd(s, t, "")), mul(s, num(s, 3), rd(s, u, ""))));
    output(s, "o", OUTPUT_RESULT, o), output(s, "best", OUTPUT_RESULT, best), output(s, "p", OUTPUT_RESULT, p), output(s, "one", OUTPUT_RESULT, one);
    BfmError error = {0};
    Compiled *compiled = compile_unit(s->arena, engine->jit, s->program, s->unit, NULL, NULL, &error);
    if (!compiled)
        fail_msg("%s", error.message);
    return compiled;
}

static bool within(size_t at, size_t begin, size_t bytes) { return at >= begin && at < begin + bytes; }

/* Byte `at` of the stream's record holds a float, or belongs to a place that is not used. */
static bool stream_free(const BfmPlanStream *stream, size_t at)
{
    const size_t use = offsetof(BfmPlanStream, uses);
    if (within(at, offsetof(BfmPlanStream, alpha), sizeof(float)))
        return true;
    for (int u = 0; u < stream->use_count; u++)
        if (within(at, use + (size_t)u * sizeof(BfmPlanStreamUse) + offsetof(BfmPlanStreamUse, alpha), sizeof(float)))
            return true;
#define UNUSED(count, array)                                                                                                                                                       \
    within(at, offsetof(BfmPlanStream, array) + (size_t)stream->count * sizeof stream->array[0], (size_t)0 + sizeof stream->array - (size_t)stream->count * sizeof stream->array[0])
#define UNUSED_TILE(tile)                                                                                                                                                          \
    (within(at, offsetof(BfmPlanStream, tile.tiles) + (size_t)stream->tile.tile_count * sizeof(int32_t),                                                                           \
            (size_t)(BFM_STREAM_TILES - stream->tile.tile_count) * sizeof(int32_t)) ||                                                                                             \
     within(at, offsetof(BfmPlanStream, tile.outer) + (size_t)stream->tile.outer_count * sizeof(int32_t),                                                                          \
            (size_t)(BFM_STREAM_BATCHES - stream->tile.outer_count) * sizeof(int32_t)))
    return UNUSED(use_count, uses) || UNUSED(pick_count, picks) || UNUSED(slope_count, slopes) || UNUSED(sink_count, sinks) || UNUSED(total_count, totals) || UNUSED_TILE(score) ||
           UNUSED_TILE(score_grad) || UNUSED_TILE(raw_grad) || UNUSED_TILE(range);
#undef UNUSED
#undef UNUSED_TILE
}

static bool gemm_free(const BfmPlanGemm *gemm, size_t at)
{
    const size_t used = (size_t)gemm->batch_count * sizeof gemm->batch[0];
    return within(at, offsetof(BfmPlanGemm, alpha), sizeof(float)) || within(at, offsetof(BfmPlanGemm, batch) + used, sizeof gemm->batch - used);
}

static bool scalar_free(size_t at)
{
    return at >= sizeof(BfmPlanScalar) && within((at - sizeof(BfmPlanScalar)) % sizeof(BfmPlanScalarNode), offsetof(BfmPlanScalarNode, value), sizeof(double));
}

static bool is_free(BfmKernelKind kind, const void *record, size_t at)
{
    return kind == BFM_KERNEL_STREAM ? stream_free(record, at) : kind == BFM_KERNEL_GEMM ? gemm_free(record, at) : kind == BFM_KERNEL_SCALAR && scalar_free(at);
}

static size_t record_size(BfmKernelKind kind, const void *record)
{
    switch (kind) {
    case BFM_KERNEL_GEMM: return sizeof(BfmPlanGemm);
    case BFM_KERNEL_ORDER: return sizeof(BfmPlanOrder);
    case BFM_KERNEL_TOP: return sizeof(BfmPlanTop);
    case BFM_KERNEL_STREAM:
    case BFM_KERNEL_STREAM_GRAD: return sizeof(BfmPlanStream);
    case BFM_KERNEL_SCALAR: return sizeof(BfmPlanScalar) + (size_t)((const BfmPlanScalar *)record)->count * sizeof(BfmPlanScalarNode);
    case BFM_KERNEL_MAP:
    case BFM_KERNEL_KINDS: break;
    }
    return 0;
}

/* Puts numbers that nothing has into each field of the kernel's record. */
static int damage_record(BfmPlan *plan, const BfmPlanKernel *kernel)
{
    static const int32_t wrong[] = {1 << 30, -2};
    int32_t *ints = (int32_t *)(uintptr_t)(bfm_plan_ints(plan) + kernel->record);
    const size_t bytes = record_size((BfmKernelKind)kernel->kind, ints);
    int tried = 0;
    BfmError error = {0};
    for (size_t at = 0; at < bytes; at += sizeof *ints) {
        const bool free_place = is_free((BfmKernelKind)kernel->kind, ints, at);
        for (int w = 0; w < 2; w++) {
            const int32_t kept = ints[at / sizeof *ints];
            ints[at / sizeof *ints] = wrong[w];
            const bool passed = bfm_plan_check(plan, plan->bytes, &error);
            ints[at / sizeof *ints] = kept;
            if (passed != free_place)
                fail_msg("kernel %d, byte %d of its record: %d is %s", kernel->kind, (int)at, wrong[w], passed ? "accepted" : "refused");
            tried += !passed;
        }
    }
    return tried;
}

static void test_fields_of_records(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    Engine engine = engine_new(1);
    const Compiled *compiled = several(&s, &engine);
    BfmPlan *plan = malloc(compiled->plan_bytes);
    int tried[BFM_KERNEL_KINDS] = {0};
    BfmError error = {0};
    memcpy(plan, compiled->plan, compiled->plan_bytes);
    assert_true(bfm_plan_check(plan, compiled->plan_bytes, &error));
    for (uint64_t k = 0; k < plan->kernels.count; k++)
        tried[bfm_plan_kernels(plan)[k].kind] += bfm_plan_kernels(plan)[k].kind == BFM_KERNEL_MAP ? 0 : damage_record(plan, &bfm_plan_kernels(plan)[k]);
    assert_true(tried[BFM_KERNEL_GEMM] > 50 && tried[BFM_KERNEL_STREAM] > 100);
    assert_int_equal(tried[BFM_KERNEL_TOP], 2 * 5);
    assert_true(tried[BFM_KERNEL_SCALAR] > 20);
    assert_true(bfm_plan_check(plan, compiled->plan_bytes, &error));
    free(plan);
    engine_free(&engine);
    sketch_free(&s);
}

/* What one field needs of another. */
static void test_fields_agree(void **state)
{
    (void)state;
    Sketch s = sketch_new();
    Engine engine = engine_new(1);
    const Compiled *compiled = several(&s, &engine);
    BfmPlan *plan = malloc(compiled->plan_bytes);
    BfmError error = {0};
    for (uint64_t k = 0; k < compiled->plan->kernels.count; k++) {
        memcpy(plan, compiled->plan, compiled->plan_bytes);
        BfmPlanKernel *kernel = (BfmPlanKernel *)(uintptr_t)&bfm_plan_kernels(plan)[k];
        void *record = (void *)(uintptr_t)(bfm_plan_ints(plan) + kernel->record);
        if (kernel->kind == BFM_KERNEL_GEMM)
            ((BfmPlanGemm *)record)->form = BFM_GEMM_BY_KEY; /* without an order of rows */
        else if (kernel->kind == BFM_KERNEL_STREAM)
            kernel->kind = BFM_KERNEL_STREAM_GRAD; /* without a gradient of the scores */
        else if (kernel->kind == BFM_KERNEL_SCALAR)
            ((BfmPlanScalarNode *)((BfmPlanScalar *)record + 1))[0].kind = BFM_SCALAR_READ, ((BfmPlanScalarNode *)((BfmPlanScalar *)record + 1))[0].tensor = -1;
        else if (kernel->kind == BFM_KERNEL_MAP)
            kernel->code_count = 0;
        else
            kernel->fill = BFM_FILL_ZERO, kernel->fill_buffer = -1;
        assert_false(bfm_plan_check(plan, compiled->plan_bytes, &error));
    }
    free(plan);
    engine_free(&engine);
    sketch_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields_of_records), cmocka_unit_test(test_fields_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
