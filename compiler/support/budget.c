#include "support/budget.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *unit;
    BudgetKind kind;
    double factor;
    bool prefixed; /* K, M, G or T may stand before it */
} UNITS[] = {
    {"s", BUDGET_SECONDS, 1, false},   {"m", BUDGET_SECONDS, 60, false}, {"h", BUDGET_SECONDS, 3600, false}, {"step", BUDGET_STEPS, 1, true},
    {"steps", BUDGET_STEPS, 1, false}, {"tok", BUDGET_TOKENS, 1, true},  {"flop", BUDGET_FLOPS, 1, true},
};

static const struct {
    double most;
    const char *complaint;
} DOMAINS[] = {
    [BUDGET_SECONDS] = {1e9, "more than 0 and at most 1e9 seconds"},
    [BUDGET_STEPS] = {1e15, "a whole number of steps, from 1 to 1e15"},
    [BUDGET_TOKENS] = {1e18, "a whole number of tokens, from 1 to 1e18"},
    [BUDGET_FLOPS] = {1e30, "more than 0 and at most 1e30 floating-point operations"},
};

/* Number of the unit, -1 for none; what its prefix multiplies by. */
static int unit_find(const char *text, double *prefix)
{
    static const char LETTERS[] = "KMGT";
    const char *letter = *text ? strchr(LETTERS, *text) : NULL;
    const char *unit = letter ? text + 1 : text;
    *prefix = 1;
    for (const char *at = LETTERS; letter && at <= letter; at++)
        *prefix *= 1000;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (strcmp(unit, UNITS[i].unit) == 0 && (!letter || UNITS[i].prefixed))
            return (int)i;
    return -1;
}

const char *budget_make(double amount, const char *unit, Budget *budget)
{
    double prefix;
    const int found = unit_find(unit, &prefix);
    if (found < 0)
        return "a unit of s, m, h, step, tok or flop";
    const BudgetKind kind = UNITS[found].kind;
    const bool counted = kind == BUDGET_STEPS || kind == BUDGET_TOKENS;
    double all = amount * UNITS[found].factor * prefix;
    if (counted && fabs(all - round(all)) < 1e-9 * all) /* 1.1 Ktok */
        all = round(all);
    *budget = (Budget){kind, all};
    return all > 0 && all <= DOMAINS[kind].most && (!counted || all == round(all)) ? NULL : DOMAINS[kind].complaint;
}

const char *budget_read(const char *text, Budget *budget)
{
    char *unit;
    const double amount = strtod(text, &unit);
    return unit == text || *unit == '\0' || !isfinite(amount) ? "a budget such as 30m, 2000step, 50Mtok or 2e15flop" : budget_make(amount, unit, budget);
}
