/* Time. Any thread. */
#ifndef HEARTH_BASE_CLOCK_H
#define HEARTH_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_ns(void); /* monotonic; only differences mean anything */
double clock_now_s(void);    /* the same in seconds */
int64_t clock_unix_s(void);  /* wall clock */

#endif
