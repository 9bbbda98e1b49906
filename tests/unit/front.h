/* What the front end's tests share: one parse with everything it needs, freed together. */
#ifndef BFM_TESTS_FRONT_H
#define BFM_TESTS_FRONT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree/ast.h"
#include "tree/printer.h"
#include "parse/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Front {
    Arena *arena;
    Interner *interner;
    Diagnostics *diags;
} Front;

static inline Front front_new(void) { return (Front){arena_new(), interner_new(), diagnostics_new()}; }

static inline void front_free(Front *front)
{
    arena_free(front->arena);
    interner_free(front->interner);
    diagnostics_free(front->diags);
}

static inline Node *front_parse(Front *front, const char *text) { return parse_file(front->arena, front->interner, front->diags, "test.bfm", text, strlen(text)); }

/* The parse, which must give no error; shows them if it does. */
static inline Node *front_good(Front *front, const char *text)
{
    Node *file = front_parse(front, text);
    if (diag_count(front->diags) > 0) {
        Str out = {0};
        diag_print(front->diags, &out, false);
        print_error("%s\n%s\n", text, str_text(&out));
        str_free(&out);
        fail();
    }
    assert_null(ast_check(front->arena, file));
    return file;
}

/* The contents of a file, malloc'd; NULL if it cannot be read. */
static inline char *front_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = calloc(1, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

#endif
