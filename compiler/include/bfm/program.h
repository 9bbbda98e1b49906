/* A model compiled in memory: forward, backward and decoding on the caller's memory, with the same bits as training and as a shared object of `bfmc build`. */
#ifndef BFM_PROGRAM_H
#define BFM_PROGRAM_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmProgram BfmProgram;

typedef enum {
    BFM_PROGRAM_FORWARD, /* the result in evaluation */
    BFM_PROGRAM_BACKWARD /* losses in training, metrics, new states, and the gradient of every parameter */
} BfmProgramKind;

typedef enum { BFM_SLOT_INPUT, BFM_SLOT_PARAM, BFM_SLOT_STATE, BFM_SLOT_RESULT, BFM_SLOT_LOSS, BFM_SLOT_METRIC, BFM_SLOT_NEXT, BFM_SLOT_GRAD } BfmSlotKind;

enum { BFM_SLOT_RANK = 8 };
/* An input or output of the program. */
typedef struct BfmSlot {
    const char *name; /* "tokens", "ffn_0.w_in"; of a gradient or new state that of its parameter or state */
    BfmSlotKind kind;
    bool integer; /* int32_t, -1 for none; otherwise float */
    int rank;
    int64_t shape[BFM_SLOT_RANK]; /* once bound; row-major */
    int64_t elements;
} BfmSlot;

/* Compiles a model for `threads` threads (0: one per CPU). NULL: INPUT or ENVIRONMENT; error->message is empty where the diagnostics say why. The module must outlive the program. */
BFM_API BfmProgram *bfm_program_new(BfmModule *module, const char *model, BfmProgramKind kind, int threads, BfmError *error);
/* NULL is allowed. */
BFM_API void bfm_program_free(BfmProgram *program);

/* Sizes of a run. INPUT: sizes that the program cannot have. Memory that was given stays given. */
BFM_API bool bfm_program_bind(BfmProgram *program, int64_t batch, int64_t length, BfmError *error);

BFM_API int bfm_program_input_count(const BfmProgram *program);
BFM_API int bfm_program_output_count(const BfmProgram *program);
/* After bind. */
BFM_API BfmSlot bfm_program_input(const BfmProgram *program, int input);
BFM_API BfmSlot bfm_program_output(const BfmProgram *program, int output);

/* Memory of an input: the caller's, 64-byte aligned, of as many elements; read, and not changed, by runs until other memory is given. */
BFM_API void bfm_program_set_input(BfmProgram *program, int input, void *memory);
/* Initial values as `bfmc train` draws them from this seed, for a parameter or state. */
BFM_API bool bfm_program_initial(const BfmProgram *program, int input, uint64_t seed, float *values, BfmError *error);
/* What the last run computed: the program's memory, until the next run or bind. */
BFM_API const void *bfm_program_result(const BfmProgram *program, int output);

/* seed and step key every random draw. INPUT: an input has no memory. */
BFM_API bool bfm_program_run(BfmProgram *program, uint64_t seed, uint64_t step, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
