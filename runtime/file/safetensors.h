/* safetensors files: u64 header length, JSON header {name: {dtype, shape, data_offsets}}, then the data without holes.
 * Format: https://github.com/huggingface/safetensors (README, "Format"). Files come from anywhere, so nothing in one is trusted:
 * a file that opens has every tensor inside its bounds, no two overlapping, each as long as its dtype and shape say. */
#ifndef BFM_FILE_SAFETENSORS_H
#define BFM_FILE_SAFETENSORS_H

#include "bfm/error.h"
#include "file/tensor.h"

typedef struct BfmMetadata { /* one entry of __metadata__ */
    const char *key, *value;
} BfmMetadata;

/* -- reading -- */
typedef struct BfmSafetensors BfmSafetensors;

/* Maps and checks the file; NULL (INPUT: names file, tensor, expected and found; ENVIRONMENT: cannot be read). */
BfmSafetensors *bfm_safetensors_open(const char *path, BfmError *error);
void bfm_safetensors_close(BfmSafetensors *file); /* NULL is fine; every view of it dies */

const char *bfm_safetensors_path(const BfmSafetensors *file);
int64_t bfm_safetensors_count(const BfmSafetensors *file);
const BfmTensor *bfm_safetensors_at(const BfmSafetensors *file, int64_t index);     /* in order of name; borrowed */
const BfmTensor *bfm_safetensors_get(const BfmSafetensors *file, const char *name); /* NULL when absent; borrowed */
const char *bfm_safetensors_metadata(const BfmSafetensors *file, const char *key);  /* NULL when absent; borrowed */

/* The tensor `name` with exactly this shape; NULL (INPUT) names it, says what was found and, when absent, what the file has instead. */
const BfmTensor *bfm_safetensors_expect(const BfmSafetensors *file, const char *name, int32_t rank, const int64_t *shape, BfmError *error);
/* False (INPUT), naming the first one, when the file holds a tensor whose name is not among `names` [count]. */
bool bfm_safetensors_expect_only(const BfmSafetensors *file, const char *const *names, int64_t count, BfmError *error);

/* Copies tensors out by name. Every target must be in the file with its shape and dtype, all its numbers finite, and the file
 * must hold nothing else. */
typedef struct BfmTensorTarget {
    const char *name;
    BfmDtype dtype; /* F32 and F64 targets take any dtype that converts; others must be equal */
    int32_t rank;
    int64_t shape[BFM_TENSOR_MAX_RANK];
    void *data; /* filled */
} BfmTensorTarget;
bool bfm_safetensors_load(const BfmSafetensors *file, const BfmTensorTarget *targets, int64_t count, BfmError *error);

/* -- writing: declare every tensor, then append their bytes in the order of declaration; appears at `path` on finish -- */
typedef struct BfmSafetensorsWriter BfmSafetensorsWriter;

BfmSafetensorsWriter *bfm_safetensors_writer_new(const char *path, BfmError *error);
void bfm_safetensors_writer_free(BfmSafetensorsWriter *writer); /* unfinished: nothing is left behind; NULL is fine */
bool bfm_safetensors_writer_metadata(BfmSafetensorsWriter *writer, const char *key, const char *value, BfmError *error);
bool bfm_safetensors_writer_declare(BfmSafetensorsWriter *writer, const BfmTensor *tensor, BfmError *error); /* its data is not read */
bool bfm_safetensors_writer_append(BfmSafetensorsWriter *writer, const void *data, size_t bytes, BfmError *error);
/* False (BUG) when fewer or more bytes were appended than declared. `hash` (may be NULL): XXH3 of the whole file. */
bool bfm_safetensors_writer_finish(BfmSafetensorsWriter *writer, uint64_t *hash, BfmError *error);

/* All at once. Written by falling element size, then name (the order of `tensors` does not show), so that every element is aligned. */
bool bfm_safetensors_write(const char *path, const BfmTensor *tensors, int64_t count, const BfmMetadata *metadata, int64_t metadata_count, uint64_t *hash, BfmError *error);

#endif
