/* What `profile` says of a model, block or layer that is ready to be timed. */
#ifndef BFM_REPORT_PROFILE_REPORT_H
#define BFM_REPORT_PROFILE_REPORT_H

#include "report/profile.h"

#include <jansson.h>

/* Callbacks may be NULL. */
typedef struct ProfileReportSettings {
    const char *recipe;                                                                  /* whose update is part of a step; NULL: none */
    int64_t steps;                                                                       /* 0: as many as fit into three seconds */
    void (*progress)(void *user, const char *what);                                      /* something longer begins */
    bool (*another)(void *user);                                                         /* before anything is measured: whether a sample is wanted; asked after each */
    void (*sample)(void *user, double step_s, double update_s, double cpu_s, int steps); /* a mean over so many steps: of the clock, of the update in it, of all CPUs */
    void *user;
} ProfileReportSettings;

/* Measures, then appends to the text and makes the object. False: a step failed, or the recipe has no update of this model. */
bool profile_report(Profile *profile, const ProfileReportSettings *settings, Str *out, json_t **json, BfmError *error);

#endif
