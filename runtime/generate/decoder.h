/* Runs an incremental decoder: a plan whose inputs hold the positions at hand, and whose states named by NEXT outputs carry what was kept of the
   positions before. Knows nothing of models beyond that. One thread at a time may use a decoder. */
#ifndef BFM_GENERATE_DECODER_H
#define BFM_GENERATE_DECODER_H

#include "device/cpu/templates/executor.h"

typedef struct BfmDecoder BfmDecoder;

/* For `batch` rows of at most `length` positions. Plan, functions and pool must outlive the decoder. NULL: INPUT where the plan has an input that is
   neither `tokens` nor `segment` (all 0) nor `step` (0 until bfm_decoder_set_step), ENVIRONMENT when memory is exhausted. */
BfmDecoder *bfm_decoder_new(const BfmPlan *plan, const BfmFunction *functions, BfmPool *pool, int64_t batch, int64_t length, BfmError *error);
void bfm_decoder_free(BfmDecoder *decoder); /* NULL is allowed */

/* Memory of a parameter or a state of the model, which stays the caller's. True for the decoder's own states, which it serves itself. */
bool bfm_decoder_owns(const BfmDecoder *decoder, int formal);
void bfm_decoder_set_formal(BfmDecoder *decoder, int formal, void *memory);

/* The input `step` of the model: updates that its parameters have had. Forgets all positions. */
void bfm_decoder_set_step(BfmDecoder *decoder, int64_t step);
/* Forgets all positions. */
void bfm_decoder_reset(BfmDecoder *decoder);
int64_t bfm_decoder_position(const BfmDecoder *decoder); /* how many are known */
int64_t bfm_decoder_length(const BfmDecoder *decoder);
int64_t bfm_decoder_state_bytes(const BfmDecoder *decoder);

/* The next `count` positions of every row, tokens [batch, count]: any split of a text into such calls gives the same bits. *result: the plan's first
   RESULT, [batch, count, …], valid until the next call. False: INPUT where they go beyond `length`, or what the executor says. */
bool bfm_decoder_feed(BfmDecoder *decoder, const int32_t *tokens, int64_t count, const float **result, BfmError *error);

#endif
