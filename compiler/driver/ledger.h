/* What a model costs, counted on its program: parameters, and the work of one forward pass. */
#ifndef BFM_DRIVER_LEDGER_H
#define BFM_DRIVER_LEDGER_H

#include "lower/lower.h"

typedef struct LedgerRow {
    Symbol path;          /* of the sub-layer, "brainformer_1_0[2].ffn_1" */
    Symbol definition;    /* "ffn"; NULL for what a wiring adds */
    int64_t parameters;   /* first used here: a shared parameter counts once */
    double activated;     /* of those it reads, how many one token meets */
    double flops;         /* of its forward pass */
    double products;      /* of these, in sums of products: what matrix kernels do */
} LedgerRow;

typedef struct Ledger {
    int row_count;
    LedgerRow *rows;      /* in the order of the text */
    int64_t parameters;
    double activated, flops, products;
} Ledger;

/* At batch b and length l. In the program's arena. */
Ledger ledger_count(const Lowered *lowered, int64_t batch, int64_t length);

#endif
