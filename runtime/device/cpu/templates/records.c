#include "device/cpu/templates/records.h"

#define AT(record, field)                                 offsetof(BfmPlan##record, field)
#define BFM_RECORD(name)                                  static const PlanField fields_##name[] = {
#define BFM_BUFFER(record, role, field)                   {BFM_FIELD_BUFFER, BFM_ROLE_##role, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_DIM(record, field)                            {BFM_FIELD_DIM, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_MAY_DIM(record, field)                        {BFM_FIELD_MAY_DIM, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_DIMS(record, count, field, most)              {BFM_FIELD_DIMS, BFM_ROLE_READ, BFM_RECORD_None, most, AT(record, field), AT(record, count)},
#define BFM_MAY_DIMS(record, field, most)                 {BFM_FIELD_MAY_DIMS, BFM_ROLE_READ, BFM_RECORD_None, most, AT(record, field), 0},
#define BFM_ENUM(record, type, field, kinds)              {BFM_FIELD_ENUM, BFM_ROLE_READ, BFM_RECORD_None, kinds, AT(record, field), 0},
#define BFM_FLAG(record, field)                           {BFM_FIELD_FLAG, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_BITS(record, field)                           {BFM_FIELD_BITS, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_REAL(record, field)                           {BFM_FIELD_REAL, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_VALUE(record, field)                          {BFM_FIELD_VALUE, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_PART(record, role, type, field)               {BFM_FIELD_PART, BFM_ROLE_##role, BFM_RECORD_##type, 0, AT(record, field), 0},
#define BFM_PARTS(record, role, type, count, field, most) {BFM_FIELD_PARTS, BFM_ROLE_##role, BFM_RECORD_##type, most, AT(record, field), AT(record, count)},
#define BFM_LIST(record, type, count, field)              {BFM_FIELD_LIST, BFM_ROLE_READ, BFM_RECORD_##type, 0, sizeof(BfmPlan##record), AT(record, count)},
#define BFM_EARLIER(record, field, most)                  {BFM_FIELD_EARLIER, BFM_ROLE_READ, BFM_RECORD_None, most, AT(record, field), 0},
#define BFM_CODE(record, field)                           {BFM_FIELD_CODE, BFM_ROLE_READ, BFM_RECORD_None, 0, AT(record, field), 0},
#define BFM_END(name)                                                                                                                                                              \
    {                                                                                                                                                                              \
        BFM_FIELD_END, BFM_ROLE_READ, BFM_RECORD_None, 0, 0, 0                                                                                                                     \
    }                                                                                                                                                                              \
    }                                                                                                                                                                              \
    ;
#include "bfm/kernels.def"
#undef AT

static const PlanField no_fields[] = {{BFM_FIELD_END, BFM_ROLE_READ, BFM_RECORD_None, 0, 0, 0}};

const PlanRecord *plan_record(BfmRecordKind record)
{
    static const PlanRecord rows[BFM_RECORD_KINDS] = {
        [BFM_RECORD_None] = {no_fields, 0},
#define BFM_RECORD(name) [BFM_RECORD_##name] = {fields_##name, sizeof(BfmPlan##name)},
#include "bfm/kernels.def"
    };
    return &rows[record];
}

const PlanKernel *plan_kernel(BfmKernelKind kind)
{
    static const PlanKernel rows[BFM_KERNEL_KINDS] = {
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) [BFM_KERNEL_##name] = {BFM_RECORD_##record, BFM_ROLE_##kept},
#include "bfm/kernels.def"
    };
    return &rows[kind];
}
