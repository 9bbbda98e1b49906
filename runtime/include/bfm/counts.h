/* Numbers that the compiler's IR, its scheduler and the runtime share. */
#ifndef BFM_COUNTS_H
#define BFM_COUNTS_H

enum { BFM_PLAN_SYMBOLS = 12 }; /* what dimensions are made of: b, l, p, n, s0 … s7 (compiler/ir/dim.h) */

/* Places in the records of bfm/kernels.def: axes of a batch beside m, n and k; axes of a batch, uses or slopes, sinks, totals of a stream. */
enum { BFM_GEMM_BATCHES = 4 };
enum { BFM_STREAM_BATCHES = 6, BFM_STREAM_USES = 4, BFM_STREAM_SINKS = 12, BFM_STREAM_TOTALS = 6, BFM_STREAM_TILES = BFM_STREAM_USES + 2 };

#endif
