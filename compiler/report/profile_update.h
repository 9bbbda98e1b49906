/* The update of a profiled model's parameters by a recipe's optimiser. */
#ifndef BFM_REPORT_PROFILE_UPDATE_H
#define BFM_REPORT_PROFILE_UPDATE_H

#include "report/profile.h"

typedef struct ProfileUpdate ProfileUpdate;

/* By the recipe of this name. The profile must outlive it. */
ProfileUpdate *profile_update_new(Profile *profile, const char *recipe, BfmError *error);
void profile_update_free(ProfileUpdate *update); /* NULL is allowed */
/* Updates every parameter from the gradients of the last step. */
bool profile_update_run(ProfileUpdate *update, BfmError *error);

#endif
