#include "codegen/aot.h"

#include "bfm/model.h"
#include "codegen/object_cache.h"
#include "codegen/objects.h"
#include "support/str.h"
#include "support/vec.h"

#include <errno.h>
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef LLVMValueRef V;

/* ---- the table as constants ----------------------------------------------------------------------------------------------------- */

typedef struct Tables {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTypeRef i64, real, ptr;
} Tables;

static V global_constant(Tables *t, V value, unsigned alignment)
{
    V global = LLVMAddGlobal(t->module, LLVMTypeOf(value), "");
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetAlignment(global, alignment);
    return global;
}

static V global_bytes(Tables *t, const void *bytes, size_t size, bool terminate) { return global_constant(t, LLVMConstStringInContext2(t->context, bytes, size, !terminate), 64); }

static V number(Tables *t, uint64_t value) { return LLVMConstInt(t->i64, value, 0); }

static V text_constant(Tables *t, const char *text) { return global_bytes(t, text, strlen(text), true); }
static V real(Tables *t, double value) { return LLVMConstReal(t->real, value); }

static V numbers(Tables *t, const int64_t *values, int count)
{
    V items[BFM_MODEL_RANK];
    for (int i = 0; i < count; i++)
        items[i] = number(t, (uint64_t)values[i]);
    return LLVMConstArray2(t->i64, items, (uint64_t)count);
}

/* Rows of one structure, NULL where there are none. */
static V row_table(Tables *t, V *rows, int count) { return count > 0 ? global_constant(t, LLVMConstArray2(LLVMTypeOf(rows[0]), rows, (uint64_t)count), 8) : LLVMConstNull(t->ptr); }

static V function_table(Tables *t, const BfmPlan *plan)
{
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(t->context), NULL, 0, 0);
    int count = (int)plan->functions.count;
    V *functions = calloc((size_t)count + 1, sizeof *functions);
    if (!functions)
        return NULL;
    for (int i = 0; i < count; i++) {
        const char *name = bfm_plan_function(plan, i);
        functions[i] = LLVMGetNamedFunction(t->module, name);
        if (!functions[i])
            functions[i] = LLVMAddFunction(t->module, name, type);
    }
    V table = global_constant(t, LLVMConstArray2(t->ptr, functions, (uint64_t)count), 8);
    free(functions);
    return table;
}

/* BfmInstance *PREFIX_NAME(BfmPool *, BfmError *) */
static void entry_function(Tables *t, const char *prefix, const char *name, V plan, V functions)
{
    LLVMTypeRef made = LLVMFunctionType(t->ptr, (LLVMTypeRef[]){t->ptr, t->ptr}, 2, 0);
    LLVMTypeRef called = LLVMFunctionType(t->ptr, (LLVMTypeRef[]){t->ptr, t->ptr, t->ptr, t->ptr}, 4, 0);
    V target = LLVMGetNamedFunction(t->module, "bfm_instance_new");
    if (!target)
        target = LLVMAddFunction(t->module, "bfm_instance_new", called);
    Str symbol = {0};
    str_printf(&symbol, "%s_%s", prefix, name);
    V function = LLVMAddFunction(t->module, str_text(&symbol), made);
    str_free(&symbol);
    LLVMBuilderRef builder = LLVMCreateBuilderInContext(t->context);
    LLVMPositionBuilderAtEnd(builder, LLVMAppendBasicBlockInContext(t->context, function, ""));
    V args[4] = {plan, functions, LLVMGetParam(function, 0), LLVMGetParam(function, 1)};
    LLVMBuildRet(builder, LLVMBuildCall2(builder, called, target, args, 4, ""));
    LLVMDisposeBuilder(builder);
}

static V entry_table(Tables *t, const char *prefix, const AotEntry *entries, int count, Arena *arena)
{
    V *rows = ARENA_ARRAY(arena, V, count + 1);
    for (int i = 0; i < count; i++) {
        const BfmPlan *plan = entries[i].plan;
        V bytes = global_bytes(t, plan, plan->bytes, false), functions = function_table(t, plan);
        V fields[] = {text_constant(t, entries[i].name), bytes, number(t, plan->bytes), functions, number(t, plan->functions.count)};
        rows[i] = LLVMConstStructInContext(t->context, fields, sizeof fields / sizeof *fields, 0);
        entry_function(t, prefix, entries[i].name, bytes, functions);
    }
    return row_table(t, rows, count);
}

static V tensor_table(Tables *t, const AotOptions *options, Arena *arena)
{
    V *rows = ARENA_ARRAY(arena, V, options->tensor_count + 1);
    for (int i = 0; i < options->tensor_count; i++) {
        const BfmModelTensor *tensor = &options->tensors[i];
        size_t elements = 1;
        for (uint64_t a = 0; a < tensor->rank; a++)
            elements *= (size_t)tensor->shape[a];
        V values = tensor->values ? global_bytes(t, tensor->values, elements * sizeof(float), false) : LLVMConstNull(t->ptr);
        V fields[] = {text_constant(t, tensor->path),
                      number(t, tensor->role),
                      number(t, tensor->rank),
                      numbers(t, tensor->shape, BFM_MODEL_RANK),
                      number(t, tensor->init),
                      number(t, tensor->stream),
                      real(t, tensor->mean),
                      real(t, tensor->std),
                      values};
        rows[i] = LLVMConstStructInContext(t->context, fields, sizeof fields / sizeof *fields, 0);
    }
    return row_table(t, rows, options->tensor_count);
}

static V state_table(Tables *t, const BfmModelUpdate *update, Arena *arena)
{
    V *rows = ARENA_ARRAY(arena, V, (int)update->state_count + 1);
    for (int i = 0; i < (int)update->state_count; i++) {
        const BfmModelStepState *state = &update->states[i];
        V fields[] = {text_constant(t, state->path), number(t, state->rank), numbers(t, state->shape, BFM_MODEL_STATE_RANK), number(t, state->elements), real(t, state->value)};
        rows[i] = LLVMConstStructInContext(t->context, fields, sizeof fields / sizeof *fields, 0);
    }
    return row_table(t, rows, (int)update->state_count);
}

static V update_table(Tables *t, const AotOptions *options, Arena *arena)
{
    V *rows = ARENA_ARRAY(arena, V, options->update_count + 1);
    for (int i = 0; i < options->update_count; i++) {
        const BfmModelUpdate *update = &options->updates[i];
        V fields[] = {number(t, update->tensor), number(t, update->entry),      numbers(t, update->extent, 3),
                      real(t, update->rate),     state_table(t, update, arena), number(t, update->state_count)};
        rows[i] = LLVMConstStructInContext(t->context, fields, sizeof fields / sizeof *fields, 0);
    }
    return row_table(t, rows, options->update_count);
}

static void build_tables(Tables *t, const AotOptions *options, const AotEntry *entries, int count)
{
    Arena *arena = arena_new();
    V fields[] = {LLVMConstStringInContext2(t->context, BFM_MODEL_MAGIC, 8, 1),
                  number(t, BFM_MODEL_VERSION),
                  entry_table(t, options->prefix, entries, count, arena),
                  number(t, (uint64_t)count),
                  text_constant(t, options->description ? options->description : "{}"),
                  tensor_table(t, options, arena),
                  number(t, (uint64_t)options->tensor_count),
                  update_table(t, options, arena),
                  number(t, (uint64_t)options->update_count),
                  real(t, options->clip_norm)};
    V model = LLVMConstStructInContext(t->context, fields, sizeof fields / sizeof *fields, 0);
    V global = LLVMAddGlobal(t->module, LLVMTypeOf(model), arena_printf(arena, "%s_model", options->prefix));
    LLVMSetInitializer(global, model);
    LLVMSetGlobalConstant(global, 1);
    arena_free(arena);
}

static bool table_object(const AotOptions *options, const AotEntry *entries, int count, ObjectCode *object, BfmError *error)
{
    Compiler *compiler = compiler_new(&entries[0].codegen->target, error);
    if (!compiler)
        return false;
    Tables t = {.context = compiler_context(compiler)};
    t.module = LLVMModuleCreateWithNameInContext(options->prefix, t.context);
    t.i64 = LLVMInt64TypeInContext(t.context);
    t.real = LLVMDoubleTypeInContext(t.context);
    t.ptr = LLVMPointerTypeInContext(t.context, 0);
    build_tables(&t, options, entries, count);
    bool ok = compiler_module_object(compiler, t.module, object, error);
    LLVMDisposeModule(t.module);
    compiler_free(compiler);
    return ok;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------------- */

static bool write_bytes(const char *path, const void *bytes, size_t size, BfmError *error)
{
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(bytes, 1, size, file) == size;
    ok = file && fclose(file) == 0 && ok;
    if (!ok)
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", path, strerror(errno));
    return ok;
}

static bool move_into_place(const char *beside, const char *path, BfmError *error)
{
    if (rename(beside, path) == 0)
        return true;
    bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", path, strerror(errno));
    (void)unlink(beside);
    return false;
}

/* The linker's command and the files made for it, all in one folder. */
typedef struct Link {
    Arena *arena;
    char folder[64];
    VEC(const char *) files;
    VEC(const char *) command;
} Link;

static bool link_file(Link *link, const char *name, const void *bytes, size_t size, BfmError *error)
{
    const char *path = arena_printf(link->arena, "%s/%s", link->folder, name);
    vec_push(&link->files, path);
    return write_bytes(path, bytes, size, error);
}

/* Every kernel once, whichever of the entries it came from. */
static bool link_kernels(Link *link, const AotOptions *options, const AotEntry *entries, int count, BfmError *error)
{
    VEC(ObjectJob) jobs = {0};
    const char *warning; /* the driver's to tell */
    const char *cache = object_cache_directory(link->arena, options->cache, &warning);
    bool ok = true;
    for (int e = 0; ok && e < count; e++) {
        int first = jobs.count;
        for (int i = 0; i < entries[e].codegen->count; i++) {
            const KernelEntry *entry = &entries[e].codegen->entries[i];
            bool known = false;
            for (int k = 0; k < jobs.count && !known; k++)
                known = strcmp(jobs.items[k].entry->symbol, entry->symbol) == 0;
            if (!known)
                vec_push(&jobs, (ObjectJob){.entry = entry});
        }
        ok = objects_make(entries[e].codegen, jobs.items + first, jobs.count - first, cache, 0, error);
    }
    for (int i = 0; ok && i < jobs.count; i++)
        ok = link_file(link, arena_printf(link->arena, "%s.o", jobs.items[i].entry->symbol), jobs.items[i].object.bytes, jobs.items[i].object.size, error);
    objects_free(jobs.items, jobs.count);
    vec_free(&jobs);
    return ok;
}

static bool link_tables(Link *link, const AotOptions *options, const AotEntry *entries, int count, BfmError *error)
{
    ObjectCode object;
    if (!table_object(options, entries, count, &object, error))
        return false;
    bool ok = link_file(link, "tables.o", object.bytes, object.size, error);
    free(object.bytes);
    return ok;
}

static bool run_command(char *const *command, BfmError *error)
{
    pid_t child;
    posix_spawnattr_t attributes;
    sigset_t usual; /* what this process ignores is the command's to decide */
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    bool made = posix_spawnattr_init(&attributes) == 0;
    made = made && posix_spawnattr_setsigdefault(&attributes, &usual) == 0 && posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF) == 0;
    int status = posix_spawnp(&child, command[0], NULL, made ? &attributes : NULL, command, environ);
    if (made)
        (void)posix_spawnattr_destroy(&attributes);
    if (status != 0) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be run: %s", command[0], strerror(status));
        return false;
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s failed (its messages are above)", command[0]);
    return false;
}

/* Of a relocatable object nothing is resolved and all symbols stay. */
static bool link_run(Link *link, const char *path, const AotOptions *options, bool shared, BfmError *error)
{
    const char *script = arena_printf(link->arena, "%s/exports", link->folder);
    const char *beside = arena_printf(link->arena, "%s.tmp%ld", path, (long)getpid());
    const char *text = arena_printf(link->arena, "{ global: %s_*; local: *; };\n", options->prefix);
    if (!write_bytes(script, text, strlen(text), error))
        return false;
    vec_push(&link->command, "cc");
    vec_push(&link->command, shared ? "-shared" : "-r");
    vec_push(&link->command, "-o");
    vec_push(&link->command, beside);
    vec_push(&link->command, shared ? arena_printf(link->arena, "-Wl,--version-script=%s", script) : "-nostdlib");
    for (int i = 0; i < link->files.count; i++)
        vec_push(&link->command, link->files.items[i]);
    for (int i = 0; shared && options->libraries && options->libraries[i]; i++)
        vec_push(&link->command, options->libraries[i]);
    vec_push(&link->command, NULL);
    bool ok = run_command((char *const *)(uintptr_t)link->command.items, error);
    (void)unlink(script);
    if (!ok)
        (void)unlink(beside);
    return ok && move_into_place(beside, path, error);
}

static bool write_linked(const char *path, const AotOptions *options, const AotEntry *entries, int count, bool shared, BfmError *error)
{
    Link link = {.arena = arena_new(), .folder = "/tmp/bfm-link-XXXXXX"};
    if (!mkdtemp(link.folder)) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no folder for objects in /tmp: %s", strerror(errno));
        arena_free(link.arena);
        return false;
    }
    bool ok = link_kernels(&link, options, entries, count, error) && link_tables(&link, options, entries, count, error) && link_run(&link, path, options, shared, error);
    for (int i = 0; i < link.files.count; i++)
        (void)unlink(link.files.items[i]);
    (void)rmdir(link.folder);
    vec_free(&link.files);
    vec_free(&link.command);
    arena_free(link.arena);
    return ok;
}

bool aot_write_object(const char *path, const AotOptions *options, const AotEntry *entries, int count, BfmError *error)
{
    return write_linked(path, options, entries, count, false, error);
}

bool aot_write_shared(const char *path, const AotOptions *options, const AotEntry *entries, int count, BfmError *error)
{
    return write_linked(path, options, entries, count, true, error);
}
