/* Least squares with no negative coefficient, by trying which of the four are above zero: there are
 * sixteen ways, so the best is found for certain. */
#include "meter/energy_fit.h"

#include <math.h>
#include <string.h>

#define PULL 0.02  /* of the samples' own weight: how hard the prior pulls */
#define EQUAL 1e-7 /* costs that near are rounding */
#define SMALL 1e-9 /* a pivot below that share of its diagonal says nothing of its own */

void energy_fit_learn(energy_fit *f, const double x[FIT_TERMS], double y, double dt,
                      double fade_s) {
    if (!(dt > 0)) return;
    double keep = exp(-dt / fade_s), add = 1 - keep;
    for (int i = 0; i < FIT_TERMS; i++) {
        for (int k = 0; k < FIT_TERMS; k++)
            f->a[i][k] = keep * f->a[i][k] + add * (x[i] / dt) * (x[k] / dt);
        f->b[i] = keep * f->b[i] + add * (x[i] / dt) * (y / dt);
    }
    f->yy = keep * f->yy + add * (y / dt) * (y / dt);
    f->weight = keep * f->weight + add;
}

/* Solves the normal equations for the coefficients in `set`; false: they cannot be told apart. */
static bool solve_set(double a[FIT_TERMS][FIT_TERMS], const double b[FIT_TERMS], unsigned set,
                      double out[FIT_TERMS]) {
    double m[FIT_TERMS][FIT_TERMS + 1];
    int row[FIT_TERMS], n = 0;
    for (int i = 0; i < FIT_TERMS; i++)
        if (set & 1u << i) row[n++] = i;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) m[i][k] = a[row[i]][row[k]];
        m[i][n] = b[row[i]];
    }
    for (int i = 0; i < n; i++) {
        if (!(m[i][i] > SMALL * a[row[i]][row[i]])) return false;
        for (int k = i + 1; k < n; k++) {
            double q = m[k][i] / m[i][i];
            for (int j = i; j <= n; j++) m[k][j] -= q * m[i][j];
        }
    }
    memset(out, 0, FIT_TERMS * sizeof *out);
    for (int i = n - 1; i >= 0; i--) {
        double x = m[i][n];
        for (int k = i + 1; k < n; k++) x -= m[i][k] * out[row[k]];
        out[row[i]] = x / m[i][i];
        if (!(out[row[i]] >= 0)) return false;
    }
    return true;
}

/* Half the squared error, without what no coefficient changes. */
static double cost_of(double a[FIT_TERMS][FIT_TERMS], const double b[FIT_TERMS],
                      const double x[FIT_TERMS]) {
    double sum = 0;
    for (int i = 0; i < FIT_TERMS; i++) {
        double row = 0;
        for (int k = 0; k < FIT_TERMS; k++) row += a[i][k] * x[k];
        sum += x[i] * (row / 2 - b[i]);
    }
    return sum;
}

/* The factor that makes the prior explain the samples best. */
static double scale_of(const energy_fit *f, const double prior[FIT_TERMS]) {
    double xy = 0, xx = 0;
    for (int i = 0; i < FIT_TERMS; i++) {
        xy += prior[i] * f->b[i];
        for (int k = 0; k < FIT_TERMS; k++) xx += prior[i] * f->a[i][k] * prior[k];
    }
    return xx > 0 && xy > 0 ? xy / xx : 1;
}

void energy_fit_solve(energy_fit *f, const double *prior) {
    double a[FIT_TERMS][FIT_TERMS], b[FIT_TERMS], best_cost = 0;
    memcpy(a, f->a, sizeof a);
    memcpy(b, f->b, sizeof b);
    double scale = prior ? scale_of(f, prior) : 0;
    for (int i = 0; i < FIT_TERMS; i++) {
        double pull = prior ? PULL * f->a[i][i] : 0;
        if (prior && !(pull > 0)) pull = 1; /* never seen: as the prior has it */
        a[i][i] += pull;
        b[i] += prior ? pull * scale * prior[i] : 0;
    }
    double found[FIT_TERMS];
    memset(f->beta, 0, sizeof f->beta);
    for (unsigned set = 1; set < 1u << FIT_TERMS; set++) {
        if (!solve_set(a, b, set, found)) continue;
        double cost = cost_of(a, b, found);
        if (cost >= best_cost - EQUAL * fabs(best_cost)) continue; /* equal ones: the first */
        best_cost = cost;
        memcpy(f->beta, found, sizeof found);
    }
}

double energy_fit_at(const energy_fit *f, const double x[FIT_TERMS]) {
    double sum = 0;
    for (int i = 0; i < FIT_TERMS; i++) sum += f->beta[i] * x[i];
    return sum;
}

double energy_fit_miss(const energy_fit *f) {
    if (!(f->yy > 0)) return 1;
    double left = (2 * cost_of((double(*)[FIT_TERMS])f->a, f->b, f->beta) + f->yy) / f->yy;
    return left > 0 ? sqrt(left) : 0;
}
