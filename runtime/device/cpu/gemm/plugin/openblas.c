#include "device/cpu/gemm/blas_plugin.h"

#include <cblas.h>

static enum CBLAS_TRANSPOSE form_of(BlasOperand operand) { return operand.transposed ? CblasTrans : CblasNoTrans; }

static void sgemm(int m, int n, int k, float alpha, BlasOperand a, BlasOperand b, float beta, float *c, int c_stride)
{
    cblas_sgemm(CblasRowMajor, form_of(a), form_of(b), m, n, k, alpha, a.data, a.stride, b.data, b.stride, beta, c, c_stride);
}

extern const BlasPlugin bfm_openblas_plugin;
__attribute__((visibility("default"))) const BlasPlugin bfm_openblas_plugin = {BLAS_PLUGIN_VERSION, sgemm, openblas_set_num_threads};
