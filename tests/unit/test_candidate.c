/* Candidates: a second bad one is as bad as the first, nothing is shared that is written to, and what a candidate comes to is what its text would. */
#include "lowered.h"

#include "tree/edit.h"
#include "tree/printer.h"
#include "ir/ledger.h"
#include "parse/parse.h"

#include <pthread.h>

static const char TEXT[] =
    "use std.layers\nuse std.routers\nblock mix {\n    attention(heads = 4)\n    moe(experts = 4, hidden = 32, router = topk(k = 2))\n    ffn(hidden = 64)\n}\n"
    "model m {\n    vocab = 11\n    context = 8\n    embed(d = 16)\n    mix()\n    mix()\n    head(tied = false)\n}\n";

static const Node *item_of(const Module *module, const char *name)
{
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->name && strcmp(list_at(items, i)->name, name) == 0)
            return list_at(items, i);
    fail_msg("no item %s", name);
    return NULL;
}

static Lowered *lower_candidate(const Candidate *candidate)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    return lower_model(candidate->module, item_of(candidate->module, "m"), &options);
}

static void set(const Candidate *candidate, const char *path, int64_t value)
{
    const Module *module = candidate->module;
    const BfmAstStatus status = bfm_ast_set(module->arena, module->interner, candidate->item, path, ast_number(module->arena, rational_int(value)));
    assert_int_equal(status, BFM_AST_OK);
}

static int64_t parameters_of(const Lowered *lowered)
{
    const Program *program = lowered->program;
    int64_t count = 0;
    const DimEnv env = {.value = {1, 8, 0, 8, 1, 1, 1, 1, 1, 1, 1, 1}};
    for (int f = 0; f < program->main->formal_count; f++)
        if (program->bindings[f].role == TENSOR_PARAM) {
            const Tensor *tensor = &program->main->tensors[program->main->formals[f]];
            int64_t elements = 1;
            for (int a = 0; a < tensor->rank; a++)
                elements *= dim_eval(tensor->extent[a], &env);
            count += elements;
        }
    return count;
}

/* The same error at the same place, in one collection of diagnostics: the second is not kept, and must fail all the same. */
static void test_second_failure(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    Candidate candidate = candidate_new(loaded.module, item_of(loaded.module, "mix"));
    set(&candidate, "attention_0.heads", 0);
    assert_null(lower_candidate(&candidate));
    assert_int_equal(diag_errors(candidate.module->diags), 1);
    assert_null(lower_candidate(&candidate));
    assert_int_equal(diag_errors(candidate.module->diags), 1);
    set(&candidate, "attention_0.heads", 2);
    assert_non_null(lower_candidate(&candidate));
    candidate_free(&candidate);
    assert_int_equal(diag_errors(loaded.diags), 0);
    loaded_free(&loaded);
}

static void test_base_untouched(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    const Node *mix = item_of(loaded.module, "mix");
    const uint64_t hash = bfm_ast_hash(loaded.module->files[0].root);
    const size_t bytes = arena_bytes(loaded.arena);
    const int sources = diag_source_count(loaded.diags);
    Candidate candidate = candidate_new(loaded.module, mix);
    const char *message;
    set(&candidate, "ffn_0.hidden", 96);
    assert_int_equal(bfm_ast_remove(candidate.item, "attention_0"), BFM_AST_OK);
    Node *width = parse_expression(candidate.module->arena, candidate.module->interner, candidate.module->diags, "a value", "2 * 4", strlen("2 * 4"));
    Node *line = bfm_ast_make_line(candidate.module->arena, candidate.module->interner, "ffn", "hidden", width, NULL);
    assert_int_equal(bfm_ast_insert(candidate.module->arena, candidate.item, "", 0, line), BFM_AST_OK);
    assert_true(candidate_check(&candidate, &message));
    Lowered *lowered = lower_candidate(&candidate);
    assert_non_null(lowered);
    assert_int_equal(diag_source_count(candidate.module->diags), sources + 1);
    assert_string_equal(diag_source(candidate.module->diags, sources)->path, "a value");
    assert_string_equal(diag_source(candidate.module->diags, 0)->path, "test.bfm");
    /* the same as a text */
    Str text = {0};
    ast_print(candidate.module->files[0].root, &text);
    Loaded again = loaded_text(str_text(&text));
    assert_int_equal(parameters_of(lowered), parameters_of(lowered_model(&again, "m", MODE_TRAIN)));
    str_free(&text);
    loaded_free(&again);
    candidate_free(&candidate);
    /* the module is as it was */
    assert_int_equal(bfm_ast_hash(loaded.module->files[0].root), hash);
    assert_int_equal(arena_bytes(loaded.arena), bytes);
    assert_int_equal(diag_source_count(loaded.diags), sources);
    loaded_free(&loaded);
}

static void test_malformed(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    Candidate candidate = candidate_new(loaded.module, item_of(loaded.module, "mix"));
    const char *message = NULL;
    candidate.item->kids[BLOCK_BODY] = NULL;
    assert_false(candidate_check(&candidate, &message));
    assert_non_null(message);
    candidate_free(&candidate);
    loaded_free(&loaded);
}

/* ---- in threads at once ---- */

enum { THREADS = 4, ROUNDS = 40 };

typedef struct Worker {
    const Module *module;
    int number;
    int64_t parameters[ROUNDS];
    pthread_t thread;
} Worker;

static int64_t one(const Module *module, int hidden, int heads)
{
    Candidate candidate = candidate_new(module, item_of(module, "mix"));
    const char *message;
    set(&candidate, "ffn_0.hidden", hidden);
    set(&candidate, "attention_0.heads", heads);
    const Lowered *lowered = candidate_check(&candidate, &message) ? lower_candidate(&candidate) : NULL;
    const int64_t count = lowered ? parameters_of(lowered) : -1;
    candidate_free(&candidate);
    return count;
}

static void *run_worker(void *pointer)
{
    Worker *mine = pointer;
    for (int i = 0; i < ROUNDS; i++)
        mine->parameters[i] = one(mine->module, 8 * (mine->number + i + 1), i % 4 != 3);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    Worker workers[THREADS];
    for (int t = 0; t < THREADS; t++) {
        workers[t] = (Worker){.module = loaded.module, .number = t};
        assert_int_equal(pthread_create(&workers[t].thread, NULL, run_worker, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(workers[t].thread, NULL);
    const int64_t least = one(loaded.module, 8, 1);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < ROUNDS; i++) {
            const int64_t hidden = 8 * (t + i + 1), expected = i % 4 == 3 ? -1 : least + 2 * 2 * 16 * (hidden - 8); /* two lines of two matrices [16, hidden] */
            assert_int_equal(workers[t].parameters[i], expected);
        }
    loaded_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_failure),
        cmocka_unit_test(test_base_untouched),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
