/* What a model reads, said to people: token-local, causal, or the future, with the way there. */
#ifndef BFM_LOWER_VERDICT_H
#define BFM_LOWER_VERDICT_H

#include "ir/effects.h"
#include "lower/lower.h"

enum { VERDICT_STEPS_MAX = 24 };

typedef struct Verdict {
    const ProgramEffects *effects;
    Effect effect;  /* of the model's result */
    int step_count; /* if it reads the future: the line, then what reads what inside it; the last step is where it happens */
    EffectStep steps[VERDICT_STEPS_MAX];
} Verdict;

Verdict verdict_of(Arena *arena, const Lowered *lowered);
/* A model with a cross-entropy that sees what it predicts. */
bool verdict_is_leaky(const Lowered *lowered, const Verdict *verdict);
/* W0501 if it is leaky. */
void verdict_warn(const Module *module, const Lowered *lowered, const Verdict *verdict);

/* "token-local", "causal, 2 back", "future, other rows, length": for a column. */
void verdict_print_short(Effect effect, Str *out);
/* "causal: no position sees a later one; rows do not see each other; the length does not matter" */
void verdict_print(Effect effect, Str *out);

#endif
