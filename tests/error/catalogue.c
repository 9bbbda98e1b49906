/* Each row of diagnostics.def is tried: its bad example gives its code, with the text in golden/CODE.txt; its good example gives nothing.
   So a message can only change on purpose (BFM_UPDATE=1 rewrites the texts), and no code lacks an example that works. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/unreached.h"
#include "lower/groups.h"
#include "lower/verdict.h"
#include "parse/parse.h"
#include "space/space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What `check` does with the text, for every model in it. Codes E01xx are about text alone: their examples are only parsed. */
static void check_text(Arena *arena, Interner *interner, Diagnostics *diags, const char *text, bool parse_only)
{
    if (parse_only) {
        parse_file(arena, interner, diags, "example.bfm", text, strlen(text));
        return;
    }
    const LowerOptions options = {.mode = MODE_TRAIN};
    Module *module = module_load_text(arena, interner, diags, BFM_SOURCE_DIR "/stdlib", "example.bfm", text, strlen(text));
    assert_non_null(module);
    if (diag_errors(diags) > 0)
        return;
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    const Lowered **models = ARENA_ARRAY(arena, const Lowered *, items->count + 1);
    int count = 0;
    lower_declarations(module);
    (void)bfm_spaces(module);
    for (int i = 0; i < items->count; i++)
        if (items->kids[i]->kind == NODE_MODEL) {
            const Lowered *lowered = lower_model(module, items->kids[i], &options);
            if (lowered)
                models[count++] = lowered;
            const Verdict verdict = lowered ? verdict_of(arena, lowered) : (Verdict){.step_count = 0};
            if (lowered)
                verdict_warn(module, lowered, &verdict);
            if (lowered)
                requirements_warn(module, lowered, 4, 16);
            if (lowered)
                unreached_warn(module, lowered, NULL);
        }
    groups_warn_all(module, models, count);
}

/* A line of source or carets: blanks and digits, then `|`; or a gap. */
static bool is_excerpt(const char *line)
{
    if (strncmp(line, "...", 3) == 0)
        return true;
    return line[strspn(line, " 0123456789")] == '|';
}

/* What the library's own lines look like is not the matter of these texts: of a place in stdlib only the file stays, and gutters have no width. */
static void strip(const char *printed, Str *out)
{
    bool library = false;
    for (const char *line = printed; *line;) {
        size_t length = strcspn(line, "\n");
        const char *place = memmem(line, length, BFM_SOURCE_DIR "/", strlen(BFM_SOURCE_DIR "/"));
        bool excerpt = is_excerpt(line), arrow = memmem(line, length, "--> ", 4) || memmem(line, length, "::: ", 4);
        if (!excerpt)
            library = false;
        if (place && arrow) {
            library = true;
            place += strlen(BFM_SOURCE_DIR "/");
            str_printf(out, "::: %.*s\n", (int)strcspn(place, ":\n"), place);
        } else if (place) {
            str_append_n(out, line, (size_t)(place - line));
            str_append_n(out, place + strlen(BFM_SOURCE_DIR "/"), length - (size_t)(place - line) - strlen(BFM_SOURCE_DIR "/"));
            str_push(out, '\n');
        } else if (!library) {
            size_t blanks = strspn(line, " ");
            str_append_n(out, line + blanks, length - blanks);
            str_push(out, '\n');
        }
        line += length + (line[length] == '\n');
    }
}

static char *read_golden(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = calloc(1, 1 << 16);
    size_t length = fread(text, 1, (1 << 16) - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

static bool same_as_golden(DiagCode code, const char *printed)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/error/golden/%s.txt", BFM_SOURCE_DIR, diag_name(code));
    if (getenv("BFM_UPDATE")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(printed, file);
        fclose(file);
        return true;
    }
    char *golden = read_golden(path);
    bool same = golden && strcmp(golden, printed) == 0;
    if (!same)
        print_error("%s is\n%s\n-- printed is --\n%s\n", path, golden ? golden : "(absent)", printed);
    free(golden);
    return same;
}

static bool gives(const Diagnostics *diags, DiagCode code)
{
    for (int i = 0; i < diag_count(diags); i++)
        if (diag_get(diags, i)->code == code)
            return true;
    return false;
}

/* Whether the row holds; what is wrong goes to stderr. */
static bool row_holds(DiagCode code, bool good)
{
    Arena *arena = arena_new();
    Interner *interner = interner_new();
    Diagnostics *diags = diagnostics_new();
    Str printed = {0};
    check_text(arena, interner, diags, diag_example(code, good), strncmp(diag_name(code), "E01", 3) == 0);
    Str text = {0};
    diag_print(diags, &text, false);
    strip(str_text(&text), &printed);
    str_free(&text);
    bool holds = good ? diag_count(diags) == 0 : gives(diags, code) && same_as_golden(code, str_text(&printed));
    if (!holds)
        print_error("%s: the %s example\n%s\ngives\n%s\n", diag_name(code), good ? "good" : "bad", diag_example(code, good), str_text(&printed));
    str_free(&printed);
    diagnostics_free(diags);
    interner_free(interner);
    arena_free(arena);
    return holds;
}

static void test_examples(void **state)
{
    (void)state;
    int failures = 0;
    for (int i = 0; i < DIAG_COUNT; i++) {
        DiagCode code = (DiagCode)i;
        if (!*diag_example(code, false))
            continue; /* a file of 16 MiB is no example: test_large */
        failures += !row_holds(code, false);
        failures += !row_holds(code, true);
    }
    assert_int_equal(failures, 0);
}

static void test_large(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    Interner *interner = interner_new();
    Diagnostics *diags = diagnostics_new();
    size_t length = (size_t)FILE_BYTES_MAX + 1;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, ' ', length);
    parse_file(arena, interner, diags, "large.bfm", text, length);
    assert_true(gives(diags, DIAG_E0111) && diag_count(diags) == 1);
    free(text);
    diagnostics_free(diags);
    interner_free(interner);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples), cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
