/* What a program needs of the run-time sizes before it may run: dimensions that must not be negative. Extents, strides and offsets are exact
   polynomials of the batch and the length; everything that was proved of them holds where they are whole and extents are not negative. What follows from
   ir/dim.h alone is not listed. A dimension that must be whole is listed as floor(it) - ceil(it). */
#ifndef BFM_IR_NEEDS_H
#define BFM_IR_NEEDS_H

#include "ir/ir.h"

/* Lists `value` >= 0 unless that is proved or listed; `place` (may be NULL) and what must hold make its text. */
void needs_add(Program *program, Dim value, const char *place);
/* The same of "`dim` is a whole number". */
void needs_add_whole(Program *program, Dim dim, const char *place);
/* Lists what the operations and tensors of all units need and what is not listed yet. `place` says where a span is, in the program's arena; it may be NULL. */
void needs_collect(Program *program, const char *(*place)(void *user, Span span), void *user);

/* Proved, listed, or a sum of whole multiples of what is. */
bool needs_whole(const Program *program, Dim dim);
bool needs_nonnegative(const Program *program, Dim dim);
/* Whether all that is listed holds. Needs on sizes that `env` leaves at 0 are not looked at: such a unit does not use them. */
const SizeNeed *needs_unmet(const Program *program, const DimEnv *env);
/* "m.bfm:4: the length must be a multiple of 4; it is 30" */
const char *need_message(Arena *arena, const SizeNeed *need, const DimEnv *env);

#endif
