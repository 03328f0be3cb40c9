/* Time. Any thread.
 *
 * People and daemons set the wall clock, by hours if need be; so whoever waits does so by the
 * monotonic one.
 *
 *     pthread_cond_t news; clock_cond_init(&news);
 *     struct timespec until = clock_after_ms(500);
 *     while (!there && pthread_cond_timedwait(&news, &lock, &until) == 0) continue;
 */
#ifndef HEARTH_BASE_CLOCK_H
#define HEARTH_BASE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

uint64_t clock_now_ns(void); /* monotonic; only differences mean anything */
double clock_now_s(void);    /* the same in seconds */
int64_t clock_unix_s(void);  /* wall clock */

/* A condition whose waits with an end take their time from clock_after_ms. */
void clock_cond_init(pthread_cond_t *c);
struct timespec clock_after_ms(int64_t ms); /* below 0: now */

#endif
