/* What `check` says about a model: what it reads, and what each of its lines costs. */
#ifndef BFM_REPORT_REPORT_CHECK_H
#define BFM_REPORT_REPORT_CHECK_H

#include "run/context.h"
#include "run/store.h"
#include "lower/lower.h"

#include <jansson.h>

/* Appends the report of a program lowered for training to the text and to the array; warns about leaks of the same lowered for evaluation, the first of the other
   modes. */
void report_check(const Module *module, const Lowered *lowered, const OtherModes *others, int64_t batch, int64_t length, Str *out, json_t *models);

#endif
