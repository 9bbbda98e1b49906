/* Element types of tensors in memory. Sizes, numbers out of memory and numbers into it stand here and nowhere else above the kernels. */
#ifndef BFM_ELEM_H
#define BFM_ELEM_H

#include <stddef.h>
#include <stdint.h>

typedef enum BfmElem {
#define BFM_ELEM(constant, name, bytes) BFM_ELEM_##constant,
#include "bfm/elems.def"
#undef BFM_ELEM
    BFM_ELEM_COUNT
} BfmElem;

const char *bfm_elem_name(BfmElem elem);                               /* "f32" */
size_t bfm_elem_bytes(BfmElem elem, int64_t count);                    /* of so many elements */
double bfm_elem_load(BfmElem elem, const void *memory, int64_t index); /* exact */
/* The nearest number of the type, ties to even. An index: rounded likewise; none (-1) where the number is NaN or no int32_t >= 0 is nearest. */
void bfm_elem_store(BfmElem elem, void *memory, int64_t index, double value);

/* Address of an element. */
static inline void *bfm_elem_at(BfmElem elem, void *memory, int64_t index) { return (char *)memory + bfm_elem_bytes(elem, index); }

#endif
