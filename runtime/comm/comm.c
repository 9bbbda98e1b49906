#include "comm/comm.h"

#include "memory/buffer.h"

enum { BLOCK_ELEMENTS = 1 << 16 };

static double combined(BfmReduce reduce, double so_far, double next)
{
    switch (reduce) {
    case BFM_REDUCE_SUM:
    case BFM_REDUCE_MEAN: return so_far + next;
    case BFM_REDUCE_MIN: return next < so_far || next != next ? next : so_far; /* a NaN stays */
    case BFM_REDUCE_MAX: return next > so_far || next != next ? next : so_far;
    }
    return so_far;
}

/* all [ranks, count] */
static void fold(const BfmComm *comm, BfmReduce reduce, BfmElem elem, const void *all, void *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double value = bfm_elem_load(elem, all, i);
        for (int r = 1; r < comm->ranks; r++)
            value = combined(reduce, value, bfm_elem_load(elem, all, r * count + i));
        bfm_elem_store(elem, values, i, reduce == BFM_REDUCE_MEAN ? value / comm->ranks : value);
    }
}

bool bfm_comm_reduce(const BfmComm *comm, BfmReduce reduce, BfmElem elem, void *values, int64_t count, BfmError *error)
{
    if (comm->ranks == 1 || count == 0)
        return true;
    const int64_t block = count < BLOCK_ELEMENTS ? count : BLOCK_ELEMENTS;
    void *all = bfm_buffer_new(bfm_elem_bytes(elem, comm->ranks * block));
    bool ok = all || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by a reduction over %d ranks", comm->ranks);
    for (int64_t begin = 0; ok && begin < count; begin += block) {
        const int64_t part = count - begin < block ? count - begin : block;
        void *mine = bfm_elem_at(elem, values, begin);
        ok = comm->gather(comm, mine, bfm_elem_bytes(elem, part), all, error);
        if (ok)
            fold(comm, reduce, elem, all, mine, part);
    }
    bfm_buffer_free(all);
    return ok;
}
