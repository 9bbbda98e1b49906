/* The derivative of a model, block or layer against differences of its value. */
#ifndef BFM_REPORT_CHECK_GRADIENTS_H
#define BFM_REPORT_CHECK_GRADIENTS_H

#include "run/context.h"
#include "lower/lower.h"

#include <jansson.h>

typedef struct GradientSettings {
    int64_t batch, length;
    uint64_t seed;
    bool model; /* the value is the sum of the losses; otherwise its result weighed at random counts too */
} GradientSettings;

/* The same lowered twice, since a derivative is appended to the second. Random inputs, parameters moved away from their initial values, all in double precision
   by the interpreter: each parameter and real input is moved along a random direction, and the change of the value compared with the gradient. Appends a table to
   the text and rows to the array. *wrong: how many differ. False: they cannot be compared. */
bool check_gradients(Arena *arena, const Lowered *value, const Lowered *derivative, const GradientSettings *settings, Str *out, json_t *rows, int *wrong, BfmError *error);

#endif
