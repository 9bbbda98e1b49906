/* The records of bfm/kernels.def as data: what their fields are, for code that goes by them. */
#ifndef BFM_RECORDS_H
#define BFM_RECORDS_H

typedef enum {
    BFM_FIELD_END,
    BFM_FIELD_BUFFER,
    BFM_FIELD_DIM,
    BFM_FIELD_MAY_DIM,
    BFM_FIELD_DIMS,
    BFM_FIELD_MAY_DIMS,
    BFM_FIELD_ENUM,
    BFM_FIELD_FLAG,
    BFM_FIELD_BITS,
    BFM_FIELD_REAL,
    BFM_FIELD_VALUE,
    BFM_FIELD_PART,
    BFM_FIELD_PARTS,
    BFM_FIELD_LIST,
    BFM_FIELD_EARLIER,
    BFM_FIELD_CODE,
} BfmFieldKind;

/* What a kernel does to a buffer. */
typedef enum { BFM_ROLE_READ, BFM_ROLE_MAY_READ, BFM_ROLE_WRITE, BFM_ROLE_KEPT, BFM_ROLE_OF_PART } BfmRole;

typedef enum {
    BFM_RECORD_None,
#define BFM_RECORD(name) BFM_RECORD_##name,
#include "bfm/kernels.def"
    BFM_RECORD_KINDS
} BfmRecordKind;

#endif
