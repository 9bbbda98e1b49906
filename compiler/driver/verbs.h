/* One function per verb, each in a file of its name; they return the exit code. */
#ifndef BFM_DRIVER_VERBS_H
#define BFM_DRIVER_VERBS_H

#include "driver/driver.h"

#define VERB(ID, name, function, ...) int function(Driver *driver);
#include "driver/options.def"

#endif
