/* Contexts, and what happens where the library cannot go on. */
#define _GNU_SOURCE
#include "bfm/context.h"

#include "api/internal.h"
#include "codegen/jit.h"
#include "device/cpu/gemm/gemm.h"
#include "device/cpu/pool/pool.h"
#include "file/atomic_file.h"
#include "file/file.h"
#include "opt/passes.h"
#include "support/budget.h"
#include "support/bug.h"

#include <dlfcn.h>
#include <stdarg.h>
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

char *api_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    if (json && !text)
        bfm_out_of_memory("a report", 0);
    json_decref(json);
    return text;
}

BfmReport api_made(Str *text, json_t *json)
{
    const BfmReport report = {.text = api_text(text), .text_length = text->length, .json = api_json(json)};
    str_free(text);
    return report;
}

BfmReport api_report(json_t *json, const char *format, ...)
{
    Str text = {0};
    va_list args;
    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    return api_made(&text, json);
}

const EngineKind *api_engine(const char *name, BfmError *error)
{
    const EngineKind *kind = engine_kind(name ? name : "jit");
    if (!kind)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "there is no engine `%s`; there are jit and interp", name);
    return kind;
}

void bfm_report_free(BfmReport *report)
{
    free(report->text);
    free(report->json);
    *report = (BfmReport){.text = NULL};
}

int bfm_name_distance(const char *a, const char *b) { return name_distance(a, b); }

const char *bfm_budget_wrong(const char *text)
{
    Budget budget;
    return budget_read(text, &budget);
}

bool bfm_file_write(const char *path, const char *text, size_t length, BfmError *error) { return bfm_atomic_write(path, text, length, error); }
bool bfm_folder_make(const char *path, BfmError *error) { return bfm_directory_make(path, error); }

BfmMachine bfm_machine(void) { return (BfmMachine){.cpus = bfm_pool_available_cpus(), .products = bfm_gemm_engine_name(BFM_GEMM_OWN)}; }

char *bfm_cache_warning(void)
{
    Arena *arena = arena_new();
    const char *warning = jit_cache_warning(arena);
    char *copy = warning ? strdup(warning) : NULL;
    arena_free(arena);
    return copy;
}

/* ---- failures ---- */

void bfm_catch_exhaustion(void) { codegen_report_exhaustion(); }

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

/* ---- contexts ---- */

static const char *library_at(Arena *arena, const char *folder) { return access(arena_printf(arena, "%s/layers.bfm", folder), R_OK) == 0 ? folder : NULL; }

const char *api_folder(Arena *arena)
{
    Dl_info self;
    if (!dladdr((void *)(uintptr_t)bfm_version, &self) || !self.dli_fname)
        return ".";
    const char *slash = strrchr(self.dli_fname, '/');
    return slash ? arena_strndup(arena, self.dli_fname, (size_t)(slash - self.dli_fname)) : ".";
}

/* $BFM_STDLIB, beside the installed library, or the source tree's. */
static const char *library_find(Arena *arena)
{
    static const char *const places[] = {"../share/bfm/stdlib", "../../share/bfm/stdlib"}; /* of lib, of lib/x86_64-linux-gnu */
    const char *named = getenv("BFM_STDLIB"), *found = NULL;
    if (named && *named)
        return arena_strdup(arena, named);
    for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++)
        found = library_at(arena, arena_printf(arena, "%s/%s", api_folder(arena), places[i]));
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

const char *bfm_context_library(const BfmContext *context) { return context->library; }

/* ---- passes ---- */

typedef struct Passes {
    PassWatch watch;
    bool times;
} Passes;

bool bfm_pass_exists(const char *name, bool optional, BfmError *error)
{
    PassId pass;
    Str names = {0};
    if (pass_find(name, &pass) && (!optional || pass_info(pass)->optional))
        return true;
    for (int p = 0; p < PASS_COUNT; p++)
        if (!optional || pass_info((PassId)p)->optional)
            str_printf(&names, "%s%s", names.length ? ", " : "", pass_info((PassId)p)->name);
    (void)bfm_error_set(error, BFM_ERROR_INPUT, "there is no %spass `%s`; there are %s", optional ? "optional " : "", name, str_text(&names));
    str_free(&names);
    return false;
}

bool bfm_context_passes(BfmContext *context, const BfmPassOptions *options, BfmError *error)
{
    Passes *passes = ARENA_NEW(context->arena, Passes);
    *passes = (Passes){.watch = {.verify = options->verify}, .times = options->time};
    for (int i = 0; i < options->without_count; i++) {
        PassId pass;
        if (!bfm_pass_exists(options->without[i], true, error))
            return false;
        (void)pass_find(options->without[i], &pass);
        passes->watch.off |= (uint64_t)1 << pass;
    }
    context->watch = &passes->watch;
    return true;
}

char *bfm_context_pass_times(const BfmContext *context)
{
    const Passes *passes = (const Passes *)context->watch; /* its first member */
    if (!passes || !passes->times)
        return NULL;
    Str table = {0};
    passes_print(&passes->watch, &table);
    char *copy = api_text(&table);
    str_free(&table);
    return copy;
}
