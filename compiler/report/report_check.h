/* What `check` says about a model: what it reads, and what each of its lines costs. */
#ifndef BFM_REPORT_REPORT_CHECK_H
#define BFM_REPORT_REPORT_CHECK_H

#include "driver/driver.h"
#include "lower/lower.h"

/* Appends the report of a program lowered for training to the text and to the array; warns about leaks of `evaluated`, the same lowered for evaluation. */
void report_check(const Module *module, const Lowered *lowered, const Lowered *evaluated, int64_t batch, int64_t length, Str *out, json_t *models);

#endif
