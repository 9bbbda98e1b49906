#include "file/safetensors.h"

#include <stdlib.h>
#include <string.h>

static bool load_one(const BfmSafetensors *file, const BfmTensorTarget *target, BfmError *error)
{
    const BfmTensor *tensor = bfm_safetensors_expect(file, target->name, target->rank, target->shape, error);
    int64_t bytes;
    if (!tensor || !bfm_tensor_finite(tensor, bfm_safetensors_path(file), error))
        return false;
    if (target->dtype == BFM_DTYPE_F32)
        return bfm_tensor_read_f32(tensor, target->data, error);
    if (target->dtype == BFM_DTYPE_F64)
        return bfm_tensor_read_f64(tensor, target->data, error);
    if (tensor->dtype != target->dtype)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": expected dtype %s, found %s", bfm_safetensors_path(file), target->name, bfm_dtype_name(target->dtype),
                             bfm_dtype_name(tensor->dtype));
    if (bfm_tensor_bytes(tensor, &bytes) && bytes > 0)
        memcpy(target->data, tensor->data, (size_t)bytes);
    return true;
}

bool bfm_safetensors_load(const BfmSafetensors *file, const BfmTensorTarget *targets, int64_t count, BfmError *error)
{
    const char **names = malloc(((size_t)count + 1) * sizeof *names);
    if (!names)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", bfm_safetensors_path(file));
    bool loaded = true;
    for (int64_t i = 0; loaded && i < count; i++) {
        names[i] = targets[i].name;
        loaded = load_one(file, &targets[i], error);
    }
    loaded = loaded && bfm_safetensors_expect_only(file, names, count, error);
    free(names);
    return loaded;
}
