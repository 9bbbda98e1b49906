/* Contexts, and what happens where the library cannot go on. */
#define _GNU_SOURCE
#include "bfm/context.h"

#include "api/internal.h"
#include "support/bug.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *bfm_version(void) { return BFM_VERSION; }

void bfm_text_free(char *text) { free(text); }

char *api_text(const Str *text)
{
    char *copy = malloc(text->length + 1);
    if (!copy)
        bfm_out_of_memory("a text", text->length);
    memcpy(copy, str_text(text), text->length);
    copy[text->length] = '\0';
    return copy;
}

typedef struct Failure {
    BfmFailure *handler;
    void *context;
} Failure;

static void forward_failure(void *pointer, int code, const char *message)
{
    const Failure *failure = pointer;
    failure->handler(failure->context, (BfmErrorKind)code, message);
}

BfmFailure *bfm_on_failure(BfmFailure *handler, void *context)
{
    static _Thread_local Failure current;
    const Failure before = current;
    current = (Failure){handler, context};
    (void)failure_handler_set(handler ? forward_failure : NULL, &current);
    return before.handler;
}

static const char *library_at(Arena *arena, const char *folder) { return access(arena_printf(arena, "%s/layers.bfm", folder), R_OK) == 0 ? folder : NULL; }

/* $BFM_STDLIB, beside the installed library, or the source tree's. */
static const char *library_find(Arena *arena)
{
    const char *named = getenv("BFM_STDLIB"), *found = NULL;
    Dl_info self;
    if (named && *named)
        return library_at(arena, arena_strdup(arena, named));
    if (dladdr((void *)(uintptr_t)bfm_version, &self) && self.dli_fname) {
        const char *slash = strrchr(self.dli_fname, '/'), *folder = slash ? arena_strndup(arena, self.dli_fname, (size_t)(slash - self.dli_fname)) : ".";
        static const char *const places[] = {"../share/bfm/stdlib", "../../share/bfm/stdlib"}; /* lib, lib/x86_64-linux-gnu */
        for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++)
            found = library_at(arena, arena_printf(arena, "%s/%s", folder, places[i]));
    }
    return found ? found : library_at(arena, BFM_SOURCE_DIR "/stdlib");
}

BfmContext *bfm_context_new(const BfmContextOptions *options, BfmError *error)
{
    Arena *arena = arena_new();
    BfmContext *context = ARENA_NEW(arena, BfmContext);
    *context = (BfmContext){.library = options && options->library ? library_at(arena, arena_strdup(arena, options->library)) : library_find(arena), .arena = arena};
    if (options) {
        context->note = options->note;
        context->listener = options->listener;
    }
    if (context->library)
        return context;
    (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "the standard library was not found%s%s; name the folder that holds layers.bfm", options && options->library ? " in " : "",
                        options && options->library ? options->library : "");
    arena_free(arena);
    return NULL;
}

void bfm_context_free(BfmContext *context)
{
    if (context)
        arena_free(context->arena);
}
