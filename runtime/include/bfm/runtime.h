/* Everything a program needs that runs a compiled model: include this, or the header that `bfmc build` writes, which does. */
#ifndef BFM_RUNTIME_H
#define BFM_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "bfm/error.h"
#include "bfm/model.h"
#include "bfm/plan.h"
#include "file/safetensors.h"
#include "generate/decoder.h"
#include "memory/buffer.h"
#include "model/model.h"
#include "device/cpu/pool/pool.h"
#include "device/cpu/templates/executor.h"

#ifdef __cplusplus
}
#endif

#endif
