/* What the command looks at while passes run: --time-passes, --verify-passes, --without-pass, --after. */
#ifndef BFM_DRIVER_WATCH_H
#define BFM_DRIVER_WATCH_H

#include "driver/driver.h"

/* Fills driver->context.watch from the options; it stays NULL where none asks for anything. CODE_OK, else the error is reported. */
int watch_open(Driver *driver);
/* Prints the times on standard error, where they were asked for. */
void watch_close(Driver *driver);
/* What --after collected: the text of each unit that the pass changed, or that the stage gave. */
const Str *watch_text(const Driver *driver);

#endif
