/* A named tensor as the file formats see it: row-major, little endian, plain. Knows nothing of what the numbers mean. */
#ifndef BFM_FILE_TENSOR_H
#define BFM_FILE_TENSOR_H

#include "bfm/elem.h"
#include "bfm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum BfmDtype {
#define BFM_DTYPE(constant, name, bytes, npy) BFM_DTYPE_##constant,
#include "file/dtypes.def"
#undef BFM_DTYPE
    BFM_DTYPE_COUNT
} BfmDtype;

enum { BFM_TENSOR_MAX_RANK = 8, BFM_SHAPE_TEXT = 192 };

typedef struct BfmTensor {
    const char *name; /* borrowed */
    BfmDtype dtype;
    int32_t rank;                       /* 0 is a scalar */
    int64_t shape[BFM_TENSOR_MAX_RANK]; /* [rank], each >= 0 */
    const void *data;                   /* row-major; in a file's view not necessarily aligned to the element */
} BfmTensor;

const char *bfm_dtype_name(BfmDtype dtype);
size_t bfm_dtype_bytes(BfmDtype dtype);
bool bfm_dtype_find(const char *name, BfmDtype *dtype);
BfmDtype bfm_elem_dtype(BfmElem elem); /* in files */

/* Elements and bytes of a shape; false when a dimension is negative or a product leaves 63 bits. */
bool bfm_shape_count(int32_t rank, const int64_t *shape, int64_t *count);
bool bfm_tensor_bytes(const BfmTensor *tensor, int64_t *bytes);
bool bfm_tensor_same_shape(const BfmTensor *tensor, int32_t rank, const int64_t *shape);
const char *bfm_shape_text(int32_t rank, const int64_t *shape, char text[BFM_SHAPE_TEXT]); /* "[2, 25]"; returns text */

/* Elements of a tensor as numbers, converted (BF16, F16, F32, F64 and the integers; not F8). `out` holds its element count.
 * False (INPUT, naming the tensor) for an F8 dtype, and to f32 for a finite number that f32 cannot hold. */
bool bfm_tensor_read_f32(const BfmTensor *tensor, float *out, BfmError *error);
bool bfm_tensor_read_f64(const BfmTensor *tensor, double *out, BfmError *error);
bool bfm_tensor_read(const BfmTensor *tensor, BfmElem elem, void *out, BfmError *error); /* BUG: an element type that is neither F32 nor F64 */

/* The first element that is NaN or infinite, -1 if there is none (always of integers). One pass at the speed of memory. */
int64_t bfm_tensor_first_bad(const BfmTensor *tensor);
/* False (INPUT) where there is one: "FILE: tensor "ffn_0.w_in" is nan at [3, 5]"; `file` may be NULL. */
bool bfm_tensor_finite(const BfmTensor *tensor, const char *file, BfmError *error);
enum { BFM_PLACE_TEXT = 256 };
const char *bfm_tensor_place(const BfmTensor *tensor, int64_t element, char text[BFM_PLACE_TEXT]); /* "nan at [3, 5]"; returns text */

#endif
