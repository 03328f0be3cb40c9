/* Medians with bootstrap intervals, from a few runs. The numbers drawn depend on nothing but the
 * count of values, so the same runs give the same interval anywhere. Any thread.
 *
 *     study_spread s = study_spread_of(values, n);
 */
#ifndef HEARTH_STUDY_STATS_H
#define HEARTH_STUDY_STATS_H

#include <stddef.h>

typedef struct study_spread {
    double median, low, high; /* 95 % of the medians of resampled runs; NAN: no values */
    size_t n;
} study_spread;

#define STUDY_RESAMPLES 2000

/* Values that are NAN are left out; v is sorted. */
study_spread study_spread_of(double *v, size_t n);

#endif
