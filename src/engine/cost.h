/* What a step will cost: a straight line in its rows, the positions they look back on, and the
 * tokens drawn, fitted to the steps that were.
 *
 *     seconds = base + per_row * rows + per_context * context + per_draw * draws
 *
 * Old steps fade. The fit is to relative errors, so that a short step counts as much as a long one
 * and a step during which the machine did something else hardly counts. It leans on a guess from
 * the model's size until there are steps to go by; no coefficient is below zero. Only *when* tokens
 * come depends on it, never which.
 *
 * One thread.
 *
 *     cost c; cost_init(&c, &guess);
 *     double s = cost_of(&c, &(cost_shape){.rows = 64, .context = 64 * 500});
 *     cost_learn(&c, &shape, seconds);
 */
#ifndef HEARTH_ENGINE_COST_H
#define HEARTH_ENGINE_COST_H

#include <stdbool.h>

#define COST_TERMS 4

typedef struct cost_shape {
    double rows;
    double context; /* sum over rows of the positions before them */
    double draws;   /* rows whose logits are computed and drawn from */
} cost_shape;

typedef struct cost {
    double coef[COST_TERMS];  /* base, per row, per context, per draw: seconds */
    double guess[COST_TERMS]; /* what it leans on */
    double a[COST_TERMS][COST_TERMS], b[COST_TERMS]; /* faded sums */
    bool fixed;                                      /* learns nothing: what a test sets holds */
} cost;

void cost_init(cost *c, const double guess[COST_TERMS]);
double cost_of(const cost *c, const cost_shape *s);
void cost_learn(cost *c, const cost_shape *s, double seconds);
/* Most rows from position pos on that may be added to s within `seconds`, at most `most`. */
int cost_rows_within(const cost *c, const cost_shape *s, int pos, int most, double seconds);
/* s with n rows from position pos on. */
void cost_add_rows(cost_shape *s, int pos, int n);

#endif
