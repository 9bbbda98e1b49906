/* What a model reads, said to people: token-local, causal, the future, or not shown to be causal; with the way there. */
#ifndef BFM_LOWER_VERDICT_H
#define BFM_LOWER_VERDICT_H

#include "ir/effects.h"
#include "lower/lower.h"

enum { VERDICT_STEPS_MAX = 24 };

typedef struct Verdict {
    const ProgramEffects *effects;
    Effect effect;   /* of the model's result */
    FutureRead read; /* if effect.future: an example */
    int step_count;  /* if it is not shown to be causal: the line, then what reads what inside it; the last step is where it happens */
    EffectStep steps[VERDICT_STEPS_MAX];
} Verdict;

Verdict verdict_of(Arena *arena, const Lowered *lowered);
/* A model with a cross-entropy that sees what it predicts, or that cannot be shown not to. */
typedef enum { LEAK_NONE, LEAK_POSSIBLE, LEAK_SHOWN } Leak;
Leak verdict_leak(const Lowered *lowered, const Verdict *verdict);
/* W0501 if it is leaky, W0509 if it may be. */
void verdict_warn(const Module *module, const Lowered *lowered, const Verdict *verdict);

/* "token-local", "causal, 2 back", "future, other rows, length": for a column. */
void verdict_print_short(Effect effect, Str *out);
/* "causal: no position sees a later one; rows do not see each other; the length does not matter" */
void verdict_print(Effect effect, Str *out);

#endif
