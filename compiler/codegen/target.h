/* The machine code is made for, and the way from a kernel form to an object in memory. Inside the code generator only. */
#ifndef BFM_CODEGEN_TARGET_H
#define BFM_CODEGEN_TARGET_H

#include "bfm/error.h"
#include "codegen/form.h"
#include "support/str.h"

#include <llvm-c/Types.h>
#include <stdint.h>

/* Raised whenever the same signature gives other code. */
enum { CODEGEN_VERSION = 3 };

typedef struct Target {
    const char *triple, *cpu, *features;
    int level, width;
    bool masked_loops; /* masked loads and stores are cheap here */
} Target;

typedef struct Compiler Compiler; /* an LLVM context and target machine; one per thread */

bool target_init(Target *target, Arena *arena, const CodegenOptions *options);
void target_describe(const Target *target, Str *out); /* with the versions of LLVM and of this code generator: equal texts, equal code */

Compiler *compiler_new(const Target *target, BfmError *error);
void compiler_free(Compiler *compiler);

typedef struct ObjectCode {
    char *bytes; /* malloc'd */
    size_t size;
} ObjectCode;

bool compiler_object(Compiler *compiler, const KernelForm *form, const char *symbol, ObjectCode *object, BfmError *error);
bool compiler_module_object(Compiler *compiler, LLVMModuleRef module, ObjectCode *object, BfmError *error); /* as it is, without passes */
LLVMContextRef compiler_context(const Compiler *compiler);
bool compiler_text(Compiler *compiler, const KernelForm *form, const char *symbol, CodegenText text, Str *out, BfmError *error);

#endif
