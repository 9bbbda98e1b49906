/* The incremental decoder, derived: from a flat unit that computes all positions, a program that computes position p from what was kept of
   the positions before (design: ir.md "Incremental decoding").

   requires   a flat, simplified unit (flatten.h) whose result is causal in its inputs (ir/effects.h)
   gives      a program over the symbols b, l (the most positions that will come) and p: inputs hold the position p alone (extent 1 instead of
              l), states named `cache.NAME` are formals with NEXT outputs: a tensor that later positions read again is extended in place at p,
              a recurrence carries its last value. The result holds position p alone.
   preserves  the operations and groups of the unit, with the index of the position restricted to p: the same sums in the same order */
#ifndef BFM_OPT_DECODE_H
#define BFM_OPT_DECODE_H

#include "ir/ir.h"

/* `unit` belongs to `program`, whose bindings name its formals. NULL and *message (which tensor, why) where no decoder can be derived. */
Program *decode_program(Program *program, const Unit *unit, const Binding *bindings, const char **message);

#endif
