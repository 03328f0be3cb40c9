/* What a step costs, learned while steps are made: y = a + b*prefill + c*decode + d*context, none
 * of them negative. Used twice for each engine: for the seconds of a step, which are known of each
 * one, and for the joules of a window, which has many.
 *
 * Samples are rates (per second) and are weighted by how long they lasted, and what is old fades
 * with time: so cutting a sample in two changes nothing. One thread at a time.
 */
#ifndef HEARTH_METER_ENERGY_FIT_H
#define HEARTH_METER_ENERGY_FIT_H

#include <stdbool.h>

#define FIT_TERMS 4 /* steps, prefilled rows, decoded rows, context */

typedef struct energy_fit {
    double a[FIT_TERMS][FIT_TERMS], b[FIT_TERMS], yy; /* faded means of products */
    double weight;                                    /* 0: nothing learned; towards 1 */
    double beta[FIT_TERMS];
} energy_fit;

/* x and y over dt seconds, of which fade_s are remembered. */
void energy_fit_learn(energy_fit *f, const double x[FIT_TERMS], double y, double dt, double fade_s);
/* Solves for beta. Where the samples do not say, towards `prior` times one factor; NULL: none. */
void energy_fit_solve(energy_fit *f, const double *prior);
double energy_fit_at(const energy_fit *f, const double x[FIT_TERMS]);
/* Root mean square of what it misses, as a part of the root mean square of y; 1: all of it. */
double energy_fit_miss(const energy_fit *f);

#endif
