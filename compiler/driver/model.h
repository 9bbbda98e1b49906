/* Models of the command line: run/model.h, with errors reported and warnings printed. */
#ifndef BFM_DRIVER_MODEL_H
#define BFM_DRIVER_MODEL_H

#include "driver/driver.h"
#include "run/model.h"

/* FILE[:MODEL] with --set, for `mode`. False: *code is the exit code, the error is reported. */
bool driver_model(Driver *driver, const char *argument, Mode mode, ModelProgram *model, int *code);

#endif
