/* The door to OpenBLAS: a plug-in (plugin/openblas.c) that is loaded when a product first wants it, so that nothing else needs its library. */
#ifndef BFM_GEMM_BLAS_PLUGIN_H
#define BFM_GEMM_BLAS_PLUGIN_H

#include <stdbool.h>

enum { BLAS_PLUGIN_VERSION = 1 };

#define BLAS_PLUGIN_SYMBOL "bfm_openblas_plugin"
#define BLAS_PLUGIN_FILE   "libbfm_openblas.so"

/* A row-major matrix, or the transposed of one. */
typedef struct BlasOperand {
    const float *data;
    int stride; /* elements from row to row as stored */
    bool transposed;
} BlasOperand;

typedef struct BlasPlugin {
    int version;
    /* C = alpha * A B + beta * C.  A (m, k), B (k, n), C (m, n) with c_stride from row to row */
    void (*sgemm)(int m, int n, int k, float alpha, BlasOperand a, BlasOperand b, float beta, float *c, int c_stride);
    void (*set_threads)(int count);
} BlasPlugin;

#endif
