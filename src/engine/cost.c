/* The fit of cost.h: faded normal equations, solved anew after each step. */
#include "engine/cost.h"

#include <math.h>
#include <string.h>

#define FADE 0.96         /* weight of a step after the next one */
#define LEAN 0.02         /* weight of the guess, in steps */
#define SHORTEST_S 0.0001 /* shorter steps are counted as this long */

static void terms_of(const cost_shape *s, double x[COST_TERMS]) {
    x[0] = 1;
    x[1] = s->rows;
    x[2] = s->context;
    x[3] = s->draws;
}

void cost_init(cost *c, const double guess[COST_TERMS]) {
    memset(c, 0, sizeof *c);
    memcpy(c->guess, guess, sizeof c->guess);
    memcpy(c->coef, guess, sizeof c->coef);
}

double cost_of(const cost *c, const cost_shape *s) {
    double x[COST_TERMS], sum = 0;
    terms_of(s, x);
    for (int i = 0; i < COST_TERMS; i++) sum += c->coef[i] * x[i];
    return sum;
}

/* Solves for the terms that are not left out (those are 0). False: nothing sensible came out. */
static bool solve(const cost *c, const bool *out, double *coef) {
    double m[COST_TERMS][COST_TERMS + 1];
    for (int i = 0; i < COST_TERMS; i++) {
        double lean = LEAN / (c->guess[i] * c->guess[i]);
        for (int j = 0; j < COST_TERMS; j++) m[i][j] = out[i] || out[j] ? 0 : c->a[i][j];
        m[i][i] = out[i] ? 1 : m[i][i] + lean;
        m[i][COST_TERMS] = out[i] ? 0 : c->b[i] + lean * c->guess[i];
    }
    /* Positive definite: no exchange of rows is needed. */
    for (int k = 0; k < COST_TERMS; k++)
        for (int i = k + 1; i < COST_TERMS; i++) {
            double f = m[i][k] / m[k][k];
            for (int j = k; j <= COST_TERMS; j++) m[i][j] -= f * m[k][j];
        }
    for (int i = COST_TERMS - 1; i >= 0; i--) {
        coef[i] = m[i][COST_TERMS];
        for (int j = i + 1; j < COST_TERMS; j++) coef[i] -= m[i][j] * coef[j];
        coef[i] /= m[i][i];
        if (!isfinite(coef[i])) return false;
    }
    return true;
}

void cost_learn(cost *c, const cost_shape *s, double seconds) {
    if (c->fixed || !(seconds > 0)) return;
    double x[COST_TERMS], coef[COST_TERMS];
    bool out[COST_TERMS] = {false};
    if (seconds < SHORTEST_S) seconds = SHORTEST_S;
    terms_of(s, x);
    for (int i = 0; i < COST_TERMS; i++) {
        for (int j = 0; j < COST_TERMS; j++)
            c->a[i][j] = FADE * c->a[i][j] + x[i] * x[j] / (seconds * seconds);
        c->b[i] = FADE * c->b[i] + x[i] / seconds;
    }
    /* The most negative term is left out until none is. */
    for (int round = 0; round < COST_TERMS; round++) {
        if (!solve(c, out, coef)) return;
        int worst = -1;
        for (int i = 0; i < COST_TERMS; i++)
            if (coef[i] < 0 && (worst < 0 || coef[i] / c->guess[i] < coef[worst] / c->guess[worst]))
                worst = i;
        if (worst < 0) {
            memcpy(c->coef, coef, sizeof coef);
            return;
        }
        out[worst] = true;
    }
}

void cost_add_rows(cost_shape *s, int pos, int n) {
    s->rows += n;
    s->context += (double)n * pos + 0.5 * n * (n - 1);
}

int cost_rows_within(const cost *c, const cost_shape *s, int pos, int most, double seconds) {
    int low = 0, high = most; /* low fits, or is 0 */
    while (low < high) {
        int mid = low + (high - low + 1) / 2;
        cost_shape with = *s;
        cost_add_rows(&with, pos, mid);
        if (cost_of(c, &with) <= seconds) low = mid;
        else high = mid - 1;
    }
    return low;
}
