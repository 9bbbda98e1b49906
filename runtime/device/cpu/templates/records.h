/* The records of a plan as data (bfm/kernels.def). */
#ifndef BFM_TEMPLATES_RECORDS_H
#define BFM_TEMPLATES_RECORDS_H

#include "bfm/plan.h"
#include "bfm/records.h"

typedef struct PlanField {
    BfmFieldKind kind;
    BfmRole role;         /* BUFFER, PART, PARTS */
    BfmRecordKind record; /* PART, PARTS, LIST: of what is in it */
    int32_t most;         /* ENUM: values; DIMS, MAY_DIMS, PARTS, EARLIER: places */
    size_t at, count_at;  /* bytes from the start of the record; count_at: DIMS, PARTS, LIST */
} PlanField;

typedef struct PlanRecord {
    const PlanField *fields; /* up to one of kind END */
    size_t bytes;
} PlanRecord;

typedef struct PlanKernel {
    BfmRecordKind record;
    BfmRole kept; /* what is done to buffers that are KEPT */
} PlanKernel;

const PlanRecord *plan_record(BfmRecordKind record);
const PlanKernel *plan_kernel(BfmKernelKind kind);

#endif
