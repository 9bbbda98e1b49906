/* The role of a parameter: how its definition uses it, whatever its name. */
#ifndef BFM_IR_ROLES_H
#define BFM_IR_ROLES_H

#include "ir/ir.h"

/* Fills `use` of the program's bindings. The program is as lowered, before any pass. */
void program_roles(Program *program);
const char *role_name(ParamRole role);
bool role_find(const char *name, ParamRole *role);
/* What a tensor without a definition counts as: two axes or more make a matrix. */
static inline ParamRole role_of_rank(int rank) { return rank >= 2 ? ROLE_MATRIX : ROLE_VECTOR; }

#endif
