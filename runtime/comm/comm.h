/* The ranks of one training, and what they reduce together: gradients, norms, metrics. A communicator brings one operation, gather; the reduction over what
   it gathered is ours, in the order of the ranks, so that its bits depend on no transport and every rank gets the same. */
#ifndef BFM_COMM_COMM_H
#define BFM_COMM_COMM_H

#include "bfm/elem.h"
#include "bfm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct BfmComm {
    int rank, ranks; /* 0 <= rank < ranks */
    void *state;     /* of its own */
    /* Every rank's bytes, one after another: all [ranks * bytes]. Every rank calls it with as many bytes. */
    bool (*gather)(const struct BfmComm *comm, const void *mine, size_t bytes, void *all, BfmError *error);
} BfmComm;

/* One rank, which is all there are. */
extern const BfmComm bfm_comm_local;

typedef enum { BFM_REDUCE_SUM, BFM_REDUCE_MEAN, BFM_REDUCE_MIN, BFM_REDUCE_MAX } BfmReduce;

/* Each of `values` [count] becomes the reduction of what the ranks have there: in f64, from rank 0 on, then rounded to the element's type once. With one rank
   no bit changes. False: what the communicator says, or ENVIRONMENT where memory is exhausted; values are then of no use. */
bool bfm_comm_reduce(const BfmComm *comm, BfmReduce reduce, BfmElem elem, void *values, int64_t count, BfmError *error);

#endif
