/* Time that has passed. */
#ifndef BFM_SUPPORT_CLOCK_H
#define BFM_SUPPORT_CLOCK_H

double seconds_now(void); /* of a clock that only runs forwards, from an arbitrary beginning */

#endif
