/* The cost of a model in a few numbers, for progress and budgets; ir/ledger.h has the rest. */
#ifndef BFM_RUN_LEDGER_H
#define BFM_RUN_LEDGER_H

#include "ir/ledger.h"
#include "lower/lower.h"

typedef struct Ledger {
    int64_t parameters;
    double activated; /* of those in products, what one token meets */
    double flops;     /* of a forward pass */
    double products;  /* of these, in sums of products: what matrix kernels do */
} Ledger;

/* At batch b and length l. */
static inline Ledger ledger_count(const Lowered *lowered, int64_t batch, int64_t length)
{
    const ProgramCost *cost = program_cost(lowered->program->arena, lowered->program, batch, length);
    return (Ledger){counts_total(cost->counts), cost->counts.activated, cost->work.forward, cost->work.products};
}

#endif
