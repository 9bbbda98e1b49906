/* The parameters and states of a model: what checkpoints hold and what every program of the model is bound to. */
#ifndef BFM_RUN_STORE_H
#define BFM_RUN_STORE_H

#include "bfm/error.h"
#include "ir/roles.h"
#include "file/safetensors.h"
#include "lower/lower.h"

/* A model as its other modes have it: a checkpoint holds the parameters and states of all. */
typedef struct OtherModes {
    int count;
    const Lowered *lowered[MODE_COUNT];
} OtherModes;

typedef struct StoreEntry {
    Symbol path;
    TensorRole role; /* TENSOR_PARAM, TENSOR_STATE */
    ParamRole use;
    int rank;
    int64_t shape[8]; /* as stored: compound axes flattened */
    int64_t elements;
    const Init *init;
    bool elsewhere; /* only other modes of the model have it */
    void *data;     /* double or float, 64-byte aligned */
} StoreEntry;

typedef struct Store {
    bool wide; /* double */
    int count;
    StoreEntry *entries; /* in the order of the program's formals, then those of other modes */
} Store;

/* Memory for every parameter and state of the program, uninitialised, and for those that only others of its modes have. NULL: INPUT where a tensor is
   beyond any memory or modes disagree about one, ENVIRONMENT where this machine has too little. The table is in the arena, the numbers are freed by
   store_free. */
Store *store_new(Arena *arena, const Lowered *lowered, const OtherModes *others, bool wide, BfmError *error);
/* Every tensor of a file as a parameter of its name and shape, with its values. Other errors: a tensor that cannot be read as numbers. */
Store *store_from(Arena *arena, Interner *interner, const BfmSafetensors *file, bool wide, BfmError *error);
void store_free(Store *store);
StoreEntry *store_find(const Store *store, Symbol path); /* NULL if there is none; paths by pointer */

/* Initial values: draws keyed by seed, path and element; or the definition's value. */
bool store_init(const Store *store, uint64_t seed, bool params, bool states, BfmError *error);
/* All parameters from a file that holds exactly these, all finite; INPUT names the tensor otherwise. Unless `whole`, the file may lack what only other modes have, which
   then keeps its value. */
bool store_load(const Store *store, const BfmSafetensors *file, bool whole, BfmError *error);

/* A tensor to be written. */
BfmTensor store_tensor(const Store *store, const StoreEntry *entry, const char *name);

/* One initial tensor, for states of optimisers. `env`: the symbols of its shape. INPUT: a number of it is not finite. */
bool init_fill(const Init *init, const char *path, uint64_t seed, const DimEnv *env, int64_t elements, bool wide, void *data, BfmError *error);

#endif
