/* Words of the textual form, shared by its printer and its reader. */
#ifndef BFM_IR_TEXT_H
#define BFM_IR_TEXT_H

#include "ir/ir.h"

enum {
    REDUCER_COUNT = REDUCE_LSE + 1,
    OP_KIND_COUNT = OP_CALL + 1,
    ROLE_COUNT = TENSOR_STATE + 1,
    OUTPUT_COUNT = OUTPUT_GRAD + 1,
    MERGE_COUNT = MERGE_MAX + 1,
    GROUP_COUNT = GROUP_STREAM_GRAD + 1
};

extern const char *const reducer_names[], *const op_names[], *const role_names[], *const output_names[], *const merge_names[], *const group_names[];

bool text_is_plain(const char *name); /* a name that needs no quotes */

#endif
