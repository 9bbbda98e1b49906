/* What the files of the effect analysis share. */
#ifndef BFM_IR_EFFECTS_INTERNAL_H
#define BFM_IR_EFFECTS_INTERNAL_H

#include "ir/effects.h"

enum { POSITION_AXES_MAX = 4 };

static const Interval INTERVAL_EMPTY = {.empty = true}, INTERVAL_ALL = {.low = -EFFECT_INFINITY, .high = EFFECT_INFINITY}, INTERVAL_ZERO = {.low = 0, .high = 0};

/* What a tensor reads of one formal. For each of the tensor's position axes the bounds of l_in minus the coordinate on that axis; all of them hold.
   A tensor without position axes is read as a whole: index 0 then says whether anything is read (ALL) or not (empty). */
typedef struct Reach {
    bool any;
    Interval own[POSITION_AXES_MAX], cross[POSITION_AXES_MAX];
} Reach;

typedef struct TensorInfo {
    int row_axis;                                         /* storage axis of extent b, -1 */
    int position_count, position_axis[POSITION_AXES_MAX]; /* storage axes of extent l */
    Dim *shift;                                           /* [rank]: coordinate meant = stored coordinate + shift, where that removes a size; else NULL */
    unsigned ext;                                         /* sizes the values depend on */
    unsigned place_ext;                                   /* sizes on which it depends where an integer exists, if its value can be inlined; else ext */
    Reach *reach;                                         /* [tracked] */
} TensorInfo;

typedef struct UnitReach {
    const Unit *unit;
    int tracked_count, *tracked; /* positions in unit->formals */
    TensorInfo *tensors;         /* by tensor id */
    const bool *targets;         /* by position in unit->formals */
} UnitReach;

UnitReach unit_reach(Arena *arena, const ProgramEffects *callees, const Unit *unit);
/* Of a tensor on a tracked formal, and on all those that hold positions or rows together. */
Effect reach_effect(const TensorInfo *info, const Reach *reach);
Effect tensor_effect(const UnitReach *reach, int tensor);
bool formal_holds_positions(const UnitReach *reach, int tracked);
/* ProgramEffects.targets of the unit. */
const bool *unit_targets(const ProgramEffects *effects, const Unit *unit);

/* effects_place.c: where accesses stand. */

/* The affine value at each storage axis, in the indices of the operation; unknown where data decides. */
typedef struct Where {
    bool known[16];
    Affine value[16];
} Where;

Where where_is(const Unit *unit, const Op *op, const Access *access);
/* The value of an integer tensor that is defined as an index expression under guards: affine in the reader's indices. */
bool read_affine(const Unit *unit, const Access *read, Affine *value);
/* The expression as an affine of the operation's indices; `through`: reads of such integer tensors too. */
bool body_affine(const Unit *unit, const Op *op, int expr, bool through, Affine *value);
/* A constant above the affine value over the domain of the operation, or EFFECT_INFINITY. */
int64_t affine_upper(const Unit *unit, const Op *op, Affine value);
Interval affine_difference(const Unit *unit, const Op *op, Affine read, Affine written);

/* effects_sizes.c: which run-time sizes the values of an operation depend on, its reads included; sets to->ext, place_ext and shift. */
void op_sizes(const UnitReach *reach, const Op *op, const Where *out);
unsigned dim_symbols(Dim dim); /* bits DIM_B, DIM_L */

#endif
