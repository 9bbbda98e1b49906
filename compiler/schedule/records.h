/* The kernels of bfm/kernels.def and their records, as the scheduler holds them and as they stand in a plan, as data. */
#ifndef BFM_SCHEDULE_RECORDS_H
#define BFM_SCHEDULE_RECORDS_H

#include "bfm/plan.h"
#include "bfm/records.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct RecordField {
    BfmFieldKind kind;
    BfmRole role;               /* BUFFER, PART, PARTS */
    BfmRecordKind record;       /* PART, PARTS, LIST: of what is in it */
    int most;                   /* DIMS, MAY_DIMS, PARTS, EARLIER: places */
    size_t at, count_at;        /* bytes from the start of the scheduler's record; count_at: DIMS, PARTS, LIST */
    size_t plan_at, plan_count; /* of the plan's */
} RecordField;

typedef struct RecordRow {
    const RecordField *fields; /* up to one of kind END */
    size_t bytes, plan_bytes;
} RecordRow;

typedef struct KernelRow {
    BfmRecordKind record;
    BfmRole kept;      /* what is done to buffers that are KEPT */
    const char *word;  /* of `profile` */
    const char *shown; /* of schedules; step_kind has finer words */
    bool counted;      /* pages say how many there are */
    double share;      /* of the machine's rate of multiply-adds that it reaches */
} KernelRow;

const RecordRow *record_row(BfmRecordKind record);
const KernelRow *kernel_row(BfmKernelKind kind);

#endif
