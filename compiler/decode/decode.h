/* The incremental decoder, derived: from a flat unit that computes all positions, a program that computes positions p … p + n - 1 from what was
   kept of the positions before (design: ir.md "Incremental decoding").

   requires   a flat, simplified unit (flatten.h) whose result is causal in its inputs (ir/effects.h)
   gives      a program over the symbols b, l (the most positions that will come), p and n: inputs and the result hold the n positions at hand
              (extent n instead of l), states named `cache.NAME` are formals with NEXT outputs, 0 (or none) before the first position: a tensor
              that later positions read again is extended in place at p, a recurrence carries its last value
              Where the context is one position nothing is kept and any unit is accepted: there is nothing before p
   preserves  the operations and groups of the unit, the index of the position counting from p: the same sums in the same order. n is a symbol
              even where it is always 1, so that scheduling treats it as it treats l, and bits agree */
#ifndef BFM_DECODE_DECODE_H
#define BFM_DECODE_DECODE_H

#include "ir/ir.h"

/* What decoders are derived from and compared with: the main unit flat, with this output alone, simplified, streams raised. Neither it nor a decoder
   is to be simplified again, or they might no longer be scheduled alike. */
Unit *decode_forward(Program *program, int output);

/* `unit` belongs to `program`, whose bindings name its formals. NULL and *message (which tensor, why) where no decoder can be derived. */
Program *decode_program(Program *program, const Unit *unit, const Binding *bindings, const char **message);

#endif
