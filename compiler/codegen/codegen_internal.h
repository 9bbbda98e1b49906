/* What a Codegen holds: shared by codegen.c, jit.c and aot.c. */
#ifndef BFM_CODEGEN_CODEGEN_INTERNAL_H
#define BFM_CODEGEN_CODEGEN_INTERNAL_H

#include "codegen/target.h"
#include "support/hash.h"

typedef struct KernelEntry {
    const char *symbol;
    const char *signature;
    Hash128 hash; /* of the signature */
    const KernelForm *form;
    int next; /* in its bucket, -1 = last */
} KernelEntry;

struct Codegen {
    Arena *arena;
    Target target;
    bool usable; /* LLVM knows this machine */
    int count, capacity;
    KernelEntry *entries;
    int bucket[1024]; /* first entry + 1 */
};

#endif
