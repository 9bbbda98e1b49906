#define _GNU_SOURCE
#include "codegen/target.h"

#include "codegen/emit.h"
#include "codegen/jit.h"
#include "support/bug.h"

#include <dlfcn.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

struct Compiler {
    const Target *target;
    LLVMContextRef context;
    LLVMTargetMachineRef machine;
};

static char *take_message(Arena *arena, char *message)
{
    char *copy = arena_strdup(arena, message);
    LLVMDisposeMessage(message);
    return copy;
}

bool target_init(Target *target, Arena *arena, const CodegenOptions *options)
{
    static const CodegenOptions defaults = {.level = 2};
    if (!options)
        options = &defaults;
    bool native = !options->cpu || strcmp(options->cpu, "native") == 0;
    *target = (Target){.level = options->level, .width = options->width > 0 ? options->width : 16};
    target->triple = take_message(arena, LLVMGetDefaultTargetTriple());
    target->cpu = native ? take_message(arena, LLVMGetHostCPUName()) : options->cpu;
    target->features = options->features ? options->features : native ? take_message(arena, LLVMGetHostCPUFeatures()) : "";
    target->masked_loops = strstr(target->features, "+avx512vl") != NULL || strncmp(target->cpu, "x86-64-v4", 9) == 0;
    return LLVMInitializeNativeTarget() == 0 && LLVMInitializeNativeAsmPrinter() == 0 && LLVMInitializeNativeAsmParser() == 0;
}

void target_describe(const Target *target, Str *out)
{
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    str_printf(out, "%d %u.%u.%u %s %s %s %d %d %d\n", CODEGEN_VERSION, major, minor, patch, target->triple, target->cpu, target->features, target->level, target->width,
               target->masked_loops);
}

Compiler *compiler_new(const Target *target, BfmError *error)
{
    LLVMTargetRef llvm_target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &llvm_target, &message)) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "LLVM has no code generator for %s: %s", target->triple, message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    Compiler *compiler = calloc(1, sizeof *compiler);
    if (!compiler) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory");
        return NULL;
    }
    compiler->target = target;
    compiler->context = LLVMContextCreate();
    LLVMCodeGenOptLevel level = target->level == 0 ? LLVMCodeGenLevelNone : target->level == 1 ? LLVMCodeGenLevelLess : LLVMCodeGenLevelDefault;
    compiler->machine = LLVMCreateTargetMachine(llvm_target, target->triple, target->cpu, target->features, level, LLVMRelocPIC, LLVMCodeModelDefault);
    return compiler;
}

void compiler_free(Compiler *compiler)
{
    if (!compiler)
        return;
    LLVMDisposeTargetMachine(compiler->machine);
    LLVMContextDispose(compiler->context);
    free(compiler);
}

/* The target's attributes must stand on the function too, or masks and wide vectors are taken apart. */
static void set_attributes(const Compiler *compiler, LLVMModuleRef module, const char *symbol)
{
    const struct {
        const char *key, *value;
    } attributes[] = {
        {"target-cpu", compiler->target->cpu},
        {"target-features", compiler->target->features},
        {"min-legal-vector-width", "512"},
        {"prefer-vector-width", "512"},
    };
    LLVMValueRef function = LLVMGetNamedFunction(module, symbol);
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        LLVMAddAttributeAtIndex(
            function, (unsigned)LLVMAttributeFunctionIndex,
            LLVMCreateStringAttribute(compiler->context, attributes[i].key, (unsigned)strlen(attributes[i].key), attributes[i].value, (unsigned)strlen(attributes[i].value)));
    static const char *const plain[] = {"nounwind", "sspstrong"}; /* as -fstack-protector-strong: kernels with arrays on the stack */
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const unsigned kind = LLVMGetEnumAttributeKindForName(plain[i], strlen(plain[i]));
        LLVMAddAttributeAtIndex(function, (unsigned)LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(compiler->context, kind, 0));
    }
}

/* What emission leaves to the passes: accumulators into registers, repeated subexpressions, address arithmetic out of loops. */
static const char *const passes = "function(mem2reg,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse)";

static void set_target(const Compiler *compiler, LLVMModuleRef module)
{
    LLVMSetTarget(module, compiler->target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(compiler->machine);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
}

static LLVMModuleRef build_module(Compiler *compiler, const KernelForm *form, const char *symbol, BfmError *error)
{
    const Target *target = compiler->target;
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext(symbol, compiler->context);
    set_target(compiler, module);
    emit_kernel(module, form, symbol, target->width, target->masked_loops);
    set_attributes(compiler, module, symbol);
    char *message = NULL;
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &message)) {
        bfm_error_set(error, BFM_ERROR_BUG, "bad code for %s: %s", symbol, message);
        LLVMDisposeMessage(message);
        LLVMDisposeModule(module);
        return NULL;
    }
    LLVMDisposeMessage(message);
    if (target->level == 0)
        return module;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(module, passes, compiler->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (failure) {
        message = LLVMGetErrorMessage(failure);
        bfm_error_set(error, BFM_ERROR_BUG, "passes failed on %s: %s", symbol, message);
        LLVMDisposeErrorMessage(message);
        LLVMDisposeModule(module);
        return NULL;
    }
    return module;
}

static bool emit_file(Compiler *compiler, LLVMModuleRef module, LLVMCodeGenFileType type, LLVMMemoryBufferRef *buffer, BfmError *error)
{
    char *message = NULL;
    if (!LLVMTargetMachineEmitToMemoryBuffer(compiler->machine, module, type, &message, buffer))
        return true;
    bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "LLVM could not emit code: %s", message);
    LLVMDisposeMessage(message);
    return false;
}

LLVMContextRef compiler_context(const Compiler *compiler) { return compiler->context; }

bool compiler_module_object(Compiler *compiler, LLVMModuleRef module, ObjectCode *object, BfmError *error)
{
    LLVMMemoryBufferRef buffer;
    set_target(compiler, module);
    if (!emit_file(compiler, module, LLVMObjectFile, &buffer, error))
        return false;
    object->size = LLVMGetBufferSize(buffer);
    object->bytes = malloc(object->size);
    if (object->bytes)
        memcpy(object->bytes, LLVMGetBufferStart(buffer), object->size);
    else
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory");
    LLVMDisposeMemoryBuffer(buffer);
    return object->bytes != NULL;
}

bool compiler_object(Compiler *compiler, const KernelForm *form, const char *symbol, ObjectCode *object, BfmError *error)
{
    LLVMModuleRef module = build_module(compiler, form, symbol, error);
    bool ok = module && compiler_module_object(compiler, module, object, error);
    if (module)
        LLVMDisposeModule(module);
    return ok;
}

bool compiler_text(Compiler *compiler, const KernelForm *form, const char *symbol, CodegenText text, Str *out, BfmError *error)
{
    LLVMModuleRef module = build_module(compiler, form, symbol, error);
    if (!module)
        return false;
    bool ok = true;
    if (text == CODEGEN_LLVM) {
        char *printed = LLVMPrintModuleToString(module);
        str_append(out, printed);
        LLVMDisposeMessage(printed);
    } else {
        LLVMMemoryBufferRef buffer;
        ok = emit_file(compiler, module, LLVMAssemblyFile, &buffer, error);
        if (ok) {
            str_append_n(out, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
            LLVMDisposeMemoryBuffer(buffer);
        }
    }
    LLVMDisposeModule(module);
    return ok;
}

/* ---- memory ---- */

static void new_failed(void) { bfm_out_of_memory("LLVM, which compiles a kernel", 0); }

static void allocation_failed(void *data, const char *reason, bool crash)
{
    (void)data;
    (void)reason;
    (void)crash;
    new_failed();
}

static void fatal(const char *reason)
{
    if (strstr(reason, "llocat") || strstr(reason, "emory"))
        new_failed();
    BFM_BUG("LLVM: %s", reason);
}

/* C++ functions that LLVM's C interface lacks. A function's address is no object pointer in C: POSIX has both of one size. */
static bool find(const char *name, void *function)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

void codegen_report_exhaustion(void)
{
    void (*(*set_new_handler)(void (*)(void)))(void);
    void (*install_bad_alloc)(void (*)(void *, const char *, bool), void *);
    if (find("_ZSt15set_new_handlerPFvvE", &set_new_handler))
        (void)set_new_handler(new_failed);
    if (find("_ZN4llvm31install_bad_alloc_error_handlerEPFvPvPKcbES0_", &install_bad_alloc))
        install_bad_alloc(allocation_failed, NULL);
    LLVMInstallFatalErrorHandler(fatal);
}
