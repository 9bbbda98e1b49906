/* SIGINT and SIGTERM ask a long verb to stop at its next step; asked a second time, they end the process. */
#ifndef BFM_DRIVER_STOP_H
#define BFM_DRIVER_STOP_H

#include <stdbool.h>

void stop_listen(void);
bool stop_asked(void);

#endif
