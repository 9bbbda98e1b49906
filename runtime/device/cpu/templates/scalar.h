/* Scalars of a program (scalar.c). */
#ifndef BFM_TEMPLATES_SCALAR_H
#define BFM_TEMPLATES_SCALAR_H

#include "bfm/plan.h"

/* The value of a node that is no constant and no read. */
double bfm_scalar_eval(BfmScalarKind kind, double a, double b, double c);

#endif
