#include "schedule/records.h"

#include "schedule/schedule.h"

/* clang-format off */
#define AT(record, field)                                 offsetof(record, field)
#define PLAN(record, field)                               offsetof(BfmPlan##record, field)
#define FIELD(kind, role, of, most, record, field, count) {kind, role, of, most, AT(record, field), AT(record, count), PLAN(record, field), PLAN(record, count)},
#define PLAIN(kind, most, record, field)                  FIELD(kind, BFM_ROLE_READ, BFM_RECORD_None, most, record, field, field)
#define BFM_RECORD(name)                                  static const RecordField fields_##name[] = {
#define BFM_BUFFER(record, role, field)                   FIELD(BFM_FIELD_BUFFER, BFM_ROLE_##role, BFM_RECORD_None, 0, record, field, field)
#define BFM_DIM(record, field)                            PLAIN(BFM_FIELD_DIM, 0, record, field)
#define BFM_MAY_DIM(record, field)                        PLAIN(BFM_FIELD_MAY_DIM, 0, record, field)
#define BFM_DIMS(record, count, field, most)              FIELD(BFM_FIELD_DIMS, BFM_ROLE_READ, BFM_RECORD_None, most, record, field, count)
#define BFM_MAY_DIMS(record, field, most)                 PLAIN(BFM_FIELD_MAY_DIMS, most, record, field)
#define BFM_ENUM(record, type, field, kinds)              PLAIN(BFM_FIELD_ENUM, 0, record, field)
#define BFM_FLAG(record, field)                           PLAIN(BFM_FIELD_FLAG, 0, record, field)
#define BFM_BITS(record, field)                           PLAIN(BFM_FIELD_BITS, 0, record, field)
#define BFM_REAL(record, field)                           PLAIN(BFM_FIELD_REAL, 0, record, field)
#define BFM_VALUE(record, field)                          PLAIN(BFM_FIELD_VALUE, 0, record, field)
#define BFM_PART(record, role, type, field)               FIELD(BFM_FIELD_PART, BFM_ROLE_##role, BFM_RECORD_##type, 0, record, field, field)
#define BFM_PARTS(record, role, type, count, field, most) FIELD(BFM_FIELD_PARTS, BFM_ROLE_##role, BFM_RECORD_##type, most, record, field, count)
#define BFM_LIST(record, type, count, field)              {BFM_FIELD_LIST, BFM_ROLE_READ, BFM_RECORD_##type, 0, AT(record, field), AT(record, count), sizeof(BfmPlan##record), PLAN(record, count)},
#define BFM_EARLIER(record, field, most)                  PLAIN(BFM_FIELD_EARLIER, most, record, field)
#define BFM_CODE(record, field)                           PLAIN(BFM_FIELD_CODE, 0, record, field)
#define BFM_END(name)                                     {.kind = BFM_FIELD_END}};
#include "bfm/kernels.def"
#undef AT
#undef PLAN
#undef FIELD
#undef PLAIN
/* clang-format on */

static const RecordField no_fields[] = {{.kind = BFM_FIELD_END}};

const RecordRow *record_row(BfmRecordKind record)
{
    static const RecordRow rows[BFM_RECORD_KINDS] = {
        [BFM_RECORD_None] = {no_fields, 0, 0},
#define BFM_RECORD(name) [BFM_RECORD_##name] = {fields_##name, sizeof(name), sizeof(BfmPlan##name)},
#include "bfm/kernels.def"
    };
    return &rows[record];
}

const KernelRow *kernel_row(BfmKernelKind kind)
{
    enum { NAMED, COUNTED };
    static const KernelRow rows[BFM_KERNEL_KINDS] = {
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) [BFM_KERNEL_##name] = {BFM_RECORD_##record, BFM_ROLE_##kept, word, shown, (listed) == COUNTED, share},
#include "bfm/kernels.def"
    };
    return &rows[kind];
}
