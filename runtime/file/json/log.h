/* JSON-lines files (log.jsonl, eval.jsonl): one object a line, each written with one system call, so that a kill cuts at most the last line. */
#ifndef BFM_FILE_JSON_LOG_H
#define BFM_FILE_JSON_LOG_H

#include "bfm/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BfmLog BfmLog;

/* Opens for appending, made if missing. A partial last line (a killed writer's) is dropped, and so is, when `through_step` >= 0, everything
 * from the first record whose "step" is greater: a resume repeats those steps. -1 keeps all records.
 * INPUT: a line in the middle that is no JSON object; the file is then left as it is. */
BfmLog *bfm_log_open(const char *path, int64_t through_step, BfmError *error);
void bfm_log_close(BfmLog *log); /* NULL is fine */

/* Appends one record; takes the reference (also on failure), so a call can be bfm_log_write(log, json_pack(...), error).
 * Numbers that JSON cannot hold: see bfm_json_number. */
bool bfm_log_write(BfmLog *log, json_t *record, BfmError *error);
bool bfm_log_sync(BfmLog *log, BfmError *error); /* before a checkpoint is written: its log is then on disk too */

#endif
