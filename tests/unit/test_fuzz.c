/* The front end on texts that nobody means: the library's files and the examples of the catalogue, with tokens dropped, repeated, swapped and replaced. Whatever the text is,
   parsing and elaborating it ends soon, keeps few messages, and goes on only where the tree is whole. Seeds are fixed. */
#define _DEFAULT_SOURCE
#include "front.h"

#include "lower/declarations.h"
#include "lower/lower.h"
#include "module/module.h"
#include "space/space.h"
#include "support/limits.h"
#include "support/vec.h"

#include <unistd.h>

enum { ROUNDS = 1500, SECONDS_MAX = 20, PIECE_TOKENS = 160 };

typedef struct Piece {
    const char *text;
    int length;
} Piece;
typedef VEC(Piece) Pieces;

static const char *const WORDS[] = {"(",      ")",         "{",     "}",     "[",     "]",        ",",      ";",      ":",      "=",     "|",      ".",
                                    "~",      "+",         "-",     "*",     "^",     "<",        "->",     "..<",    "..",     "if",    "else",   "return",
                                    "let",    "on",        "param", "where", "next",  "recur",    "state",  "\"\"",   "\"",     "1",     "at",     "sum",
                                    "repeat", "{{",        "}}",    "| {",   "loss",  "parallel", "in",     "norm",   "as",     "\n",    "none",   "model",
                                    "layer",  "optimizer", "1e999", "fn",    "check", "space",    "recipe", "search", "shared", "block", "router", "top"};
enum { WORD_COUNT = sizeof WORDS / sizeof *WORDS };

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % below;
}

static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

/* Words, runs of blanks, and single characters. */
static void divide(const char *text, Pieces *pieces)
{
    for (const char *c = text; *c;) {
        const char *begin = c++;
        while (is_word(*begin) && is_word(*c))
            c++;
        vec_push(pieces, (Piece){begin, (int)(c - begin)});
    }
}

static char *file_text(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, BFM_SOURCE_DIR "/%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    Str text = {0};
    char block[4096];
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;)
        str_append_n(&text, block, got);
    fclose(file);
    return text.text;
}

static void mutate(uint64_t *state, const Pieces *from, Str *out)
{
    Pieces pieces = {0};
    const int length = from->count < PIECE_TOKENS ? from->count : (int)draw(state, PIECE_TOKENS), begin = (int)draw(state, (uint64_t)(from->count - length + 1));
    for (int i = 0; i < length; i++)
        vec_push(&pieces, from->items[begin + i]);
    for (uint64_t edits = 1 + draw(state, 6); edits > 0 && pieces.count > 2; edits--) {
        const int at = (int)draw(state, (uint64_t)pieces.count), other = (int)draw(state, (uint64_t)pieces.count);
        const char *word = WORDS[draw(state, WORD_COUNT)];
        const Piece made = {word, (int)strlen(word)}, kept = pieces.items[at];
        switch (draw(state, 5)) {
        case 0: pieces.items[at] = made; break;
        case 1:
            pieces.items[at] = pieces.items[other];
            pieces.items[other] = kept;
            break;
        case 2: vec_push(&pieces, made); break;
        case 3:
            for (int i = at; i + 1 < pieces.count; i++)
                pieces.items[i] = pieces.items[i + 1];
            pieces.count--;
            break;
        default: pieces.items[at] = (Piece){pieces.items[other].text, pieces.items[other].length}; break;
        }
    }
    for (int i = 0; i < pieces.count; i++)
        str_append_n(out, pieces.items[i].text, (size_t)pieces.items[i].length);
    vec_free(&pieces);
}

/* What `check` does with a text. */
static void try_text(const char *text)
{
    Front front = front_new();
    const LowerOptions options = {.mode = MODE_TRAIN};
    alarm(SECONDS_MAX);
    Module *module = module_load_text(front.arena, front.interner, front.diags, BFM_SOURCE_DIR "/stdlib", "fuzz.bfm", text, strlen(text));
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    lower_declarations(module);
    (void)bfm_spaces(module);
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_MODEL)
            (void)lower_model(module, list_at(items, i), &options);
    alarm(0);
    assert_true(diag_count(front.diags) <= 2 * DIAGNOSTICS_MAX);
    assert_true(arena_bytes(front.arena) < (size_t)256 << 20);
    if (diag_errors(front.diags) == 0)
        assert_null(ast_check(front.arena, module->files[0].root));
    Str printed = {0};
    diag_print(front.diags, &printed, false);
    str_free(&printed);
    front_free(&front);
}

static void fuzz(const char *text, int rounds, uint64_t seed)
{
    Pieces pieces = {0};
    Str out = {0};
    divide(text, &pieces);
    for (int i = 0; i < rounds; i++) {
        out.length = 0;
        mutate(&seed, &pieces, &out);
        try_text(str_text(&out));
    }
    str_free(&out);
    vec_free(&pieces);
}

static void test_files(void **state)
{
    static const char *const FILES[] = {"stdlib/layers.bfm", "stdlib/routers.bfm", "stdlib/optimizers.bfm", "stdlib/recipes.bfm", "stdlib/schedules.bfm"};
    (void)state;
    for (size_t f = 0; f < sizeof FILES / sizeof *FILES; f++) {
        char *text = file_text(FILES[f]);
        fuzz(text, ROUNDS / 6, 0x9E3779B97F4A7C15u + f);
        free(text);
    }
}

/* Small texts in which every construct is near every other. */
static void test_examples(void **state)
{
    (void)state;
    for (int code = 0; code < DIAG_COUNT; code++) {
        const char *good = diag_example((DiagCode)code, true), *bad = diag_example((DiagCode)code, false);
        if (*good)
            fuzz(good, ROUNDS / 60, 77u + (uint64_t)code);
        if (*bad)
            fuzz(bad, ROUNDS / 60, 7777u + (uint64_t)code);
    }
}

/* Each of them once took recovery where it never came back from, or elaboration into a tree with holes. */
static void test_recovery_ends(void **state)
{
    static const char *const TEXTS[] = {
        "layer f(x[b]) -> [b] {\n    if 1 { return x } else return x\n}\n",
        "layer f(x[b]) -> [b] {\n    if 1 { if 2 { return x } else } else return x\n",
        "layer f(x[b]) -> [b] { let a = if 1 { 2 } else 3 return a }\nblock b() { ffn() }\n",
        "layer f(x[b]; a: { b } |) -> [b] { return x }\n}\n}\n{",
        "use std.optimizers\nrecipe a{optimizer=adamw(rate=1,weight_decay=1)on\"\"{{",
        "use std.optimizers\nrecipe a{optimizer=adamw(rate=1)on\"\"{ = }}\noptimizer adamw({ { return w }\n",
        "space s { d in { { } where }\nspace t { a { , = } }\n",
        "model m { parallel { | { } } } repeat 2 } at {",
        "fn f(x) = if x { } else { if y { { } else }",
        "layer f(x[b]) -> [b] { return x }}}}}} layer g(x[b]) -> [b] {{{{{{ return x }",
    };
    (void)state;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        try_text(TEXTS[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recovery_ends), cmocka_unit_test(test_files), cmocka_unit_test(test_examples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
