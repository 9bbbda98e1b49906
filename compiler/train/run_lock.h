/* One process trains in a run's folder at a time. Readers (eval, generate) take no lock: checkpoints and logs change in single steps. */
#ifndef BFM_TRAIN_RUN_LOCK_H
#define BFM_TRAIN_RUN_LOCK_H

#include "train/run_folder.h"

/* The folder must exist. A descriptor that holds the lock until it is closed or the process ends, however it ends; -1 and an error, which names the process that holds it,
   where the folder is taken. */
int run_lock(const RunFolder *folder, BfmError *error);
void run_unlock(const RunFolder *folder, int lock); /* -1 is allowed */

#endif
