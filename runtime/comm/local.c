#include "comm/comm.h"

#include <string.h>

static bool gather(const BfmComm *comm, const void *mine, size_t bytes, void *all, BfmError *error)
{
    (void)comm;
    (void)error;
    if (bytes > 0)
        memcpy(all, mine, bytes);
    return true;
}

const BfmComm bfm_comm_local = {.rank = 0, .ranks = 1, .gather = gather};
