/* The one order of passes: what happens to a lowered program before an engine takes it. Every verb, the profile, the pages, the tests and the
   interpreter's oracle go this way.

     lower/            names, dimensions, shapes, domains; one unit for equal sub-layers
     order_…           what is asked for; opt/ before the derivative; grad/; opt/ after it
     compile_schedule  opt/flatten, opt/ once more, opt/schedule          (codegen/compile.h)
     compile_unit      plan and functions                                (codegen/compile.h)

   `simplified`: with the passes of opt/, as compiled engines want them; the interpreter takes the definitions as they are. */
#ifndef BFM_RUN_ORDER_H
#define BFM_RUN_ORDER_H

#include "lower/lower.h"

/* For training: losses, metrics and states are asked for, not the model's result, which then is never stored. */
void order_losses(Lowered *lowered);
/* The same without a derivative to follow. */
void order_forward(Lowered *lowered, bool simplified);
/* For evaluation: as order_forward, and the cross-entropy of each position is an output where the cross-entropy is their mean (lowered->terms, points). */
void order_evaluation(Lowered *lowered, bool simplified);

/* Appends the derivative of all losses with respect to every parameter. False and *message where there is no loss. */
bool order_derivative(Program *program, bool simplified, const char **message);
/* The program of a step of a model, or of a block or layer on a stream of its own. Of a model with losses these are asked for; of anything else, and where `seeded`
   says so of a model, its result, weighed by an adjoint from outside, which is also differentiated by the stream. `backward`: the derivative follows. */
typedef struct StepOptions {
    bool model, backward;
    bool seeded; /* a model without losses, too, has its result differentiated */
    bool plain;  /* without the passes of opt/ */
} StepOptions;
bool order_step(Lowered *lowered, const StepOptions *options, const char **message);

#endif
