/* NumPy's .npy files (format 1 to 3, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): token matrices in, tensors out. */
#ifndef BFM_FILE_NPY_H
#define BFM_FILE_NPY_H

#include "bfm/error.h"
#include "file/tensor.h"

typedef struct BfmNpyTokens {
    int32_t *data;   /* [rows, columns], row-major; owned */
    int64_t rows;    /* b >= 1 */
    int64_t columns; /* l + 1 >= 2: the first l are inputs, the last l targets */
} BfmNpyTokens;

/* A C-order little-endian int32 or int64 matrix [b, l + 1]; every value must lie in [0, vocab) (vocab = 0: in [0, 2^31)) or be -1, padding.
 * False (INPUT) says what was found; `tokens` is then empty. */
bool bfm_npy_read_tokens(const char *path, int64_t vocab, BfmNpyTokens *tokens, BfmError *error);
void bfm_npy_tokens_deinit(BfmNpyTokens *tokens);

/* Writes one tensor (its name does not matter) atomically; false (INPUT) for dtypes NumPy has not. */
bool bfm_npy_write(const char *path, const BfmTensor *tensor, BfmError *error);

#endif
