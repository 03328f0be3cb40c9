/* How far it pays to guess ahead for one request, where guesses cost something.
 *
 * It follows from how often guesses have been right, lately, and from what one costs beside a step
 * of the model that finds out: so many that the tokens expected from a step, over its time, are
 * most. Where none is best, there is a rest, longer each time.
 *
 *     pace p = {0};
 *     int32_t k = pace_most(&p, each_s, n_tokens, 10, &cost);
 *     ... k guesses are tried ...
 *     pace_learn(&p, k, n_right);
 */
#ifndef HEARTH_ENGINE_PACE_H
#define HEARTH_ENGINE_PACE_H

#include <stdint.h>

#include "engine/cost.h"

/* Zero at the beginning. */
typedef struct pace {
    double rate;              /* share of guesses that were right, lately */
    int32_t rest_until, rest; /* tokens of the text; of the next rest */
    bool began;
} pace;

/* The share of guesses that are right, as long as nothing is known; 0.6 unless this is called. */
void pace_begin(pace *p, double rate);
/* Tokens worth guessing behind n of them, at most `most`; 0 while it rests. A guess takes each_s
 * seconds, 0: not known yet; a step takes what `target` says. */
int32_t pace_most(pace *p, double each_s, int32_t n, int32_t most, const cost *target);
/* Of the last guesses so many were tried, and so many were right before the first wrong one. */
void pace_learn(pace *p, int32_t n_tried, int32_t n_right);

#endif
