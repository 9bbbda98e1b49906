/* Warnings about parameters that no loss reaches. */
#ifndef BFM_RUN_UNREACHED_H
#define BFM_RUN_UNREACHED_H

#include "lower/lower.h"

/* W0508 for each parameter of a program for training that a loss cannot move, those of equal lines together. frozen[i]: formal i stays as it is anyway (NULL: none does). Before the
   derivative is made. */
void unreached_warn(const Module *module, const Lowered *lowered, const bool *frozen);

#endif
