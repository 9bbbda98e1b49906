/* Which input positions a value can read (design: language.md §4, ir.md "Effects").

   E = (own, cross, ext): the interval of l_in - l_out within the same row of the batch, the interval towards other rows, and the run-time sizes
   read. An interval is empty or [low, high] with infinite ends allowed. Sound: what is read is inside; not always tight.

   Positions are those of tokens. What the input `targets` holds at l is the token at l + 1, so reading it there is reading position l + 1. */
#ifndef BFM_IR_EFFECTS_H
#define BFM_IR_EFFECTS_H

#include "ir/ir.h"

#define EFFECT_INFINITY INT64_MAX

typedef struct Interval {
    bool empty;
    int64_t low, high; /* -EFFECT_INFINITY, EFFECT_INFINITY: unbounded */
} Interval;

typedef struct Effect {
    Interval own, cross;
    unsigned ext; /* bit DIM_B, bit DIM_L */
    bool future;  /* beyond the bounds: a read of a later position has been shown (effects_future) */
} Effect;

Interval interval_hull(Interval a, Interval b);
Interval interval_add(Interval a, Interval b);
Effect effect_none(void);
Effect effect_join(Effect a, Effect b);
Effect effect_compose(Effect outer, Effect inner); /* outer reads what inner computes */
bool effect_token_local(Effect effect);
bool effect_causal(Effect effect);
bool effect_batch_independent(Effect effect);
bool effect_length_dependent(Effect effect);

/* One step of the way from a result to the read that made it see the future (or other rows). */
typedef struct EffectStep {
    const Unit *unit;
    Symbol call;  /* path of the instance in the main unit, NULL within a unit */
    int tensor;   /* what reads */
    bool targets; /* it reads the input `targets` */
    Span span;
    Effect effect;
} EffectStep;

typedef struct UnitEffects {
    const Unit *unit;
    Effect *outputs; /* [unit->output_count]: of each output on all inputs together */
    int tracked_count;
    int *tracked;       /* positions in unit->formals, ascending: of the main unit the inputs, of others all */
    Effect *on_tracked; /* [output][tracked]: by the positions of the formal, `targets` too */
    unsigned *own_ext;  /* [output]: sizes read whatever the inputs are */
} UnitEffects;

typedef struct ProgramEffects {
    int count;
    UnitEffects *units; /* parallel to program->units */
    bool **targets;     /* [unit][formal]: it is the input `targets`, bound to the main unit or passed on by a caller */
} ProgramEffects;

/* Of every unit, callees before callers. Allocated in the arena. */
ProgramEffects *effects_analyse(Arena *arena, const Program *program);
const UnitEffects *effects_of(const ProgramEffects *effects, const Unit *unit);

/* The way from the output to where its effect first leaves the past (`future`) or first crosses rows: at most `max` steps, outermost first. */
int effects_path(Arena *arena, const ProgramEffects *effects, const Unit *unit, int output, bool future, EffectStep *steps, int max);

/* A position of a result and a later one of an input that it reads, at this length. */
typedef struct FutureRead {
    int64_t length, position, reads;
} FutureRead;

/* What bounds cannot say: whether an output does read later positions (effects_witness.c). False: none was found, which proves nothing. */
bool effects_future(const ProgramEffects *effects, const Unit *unit, int output, FutureRead *found);

void effect_print(Effect effect, Str *out); /* own [-2, 0], cross empty, ext {l} */

#endif
