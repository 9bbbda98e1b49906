/* Amounts of training: 30 m, 2000 step, 50 Mtok, 2e15 flop. */
#ifndef BFM_SUPPORT_BUDGET_H
#define BFM_SUPPORT_BUDGET_H

#include <stdbool.h>

typedef enum { BUDGET_NONE, BUDGET_SECONDS, BUDGET_STEPS, BUDGET_TOKENS, BUDGET_FLOPS } BudgetKind;
typedef struct Budget {
    BudgetKind kind;
    double amount; /* in seconds, steps, tokens or floating-point operations */
} Budget;

/* NULL where the amount of this unit is a budget; else what it should have been, as text that follows "expected". */
const char *budget_make(double amount, const char *unit, Budget *budget);
/* The same of a text such as "30m", "2000step", "50Mtok" or "2e15flop". */
const char *budget_read(const char *text, Budget *budget);

#endif
