#include "cli/divergence.h"

#include <math.h>
#include <stdlib.h>

/* log of the sum of exp(row[i] - top); *top_at: the first of the largest. */
static double log_sum(const float *row, int32_t n, int32_t *top_at) {
    int32_t at = 0;
    double sum = 0;
    for (int32_t i = 1; i < n; i++)
        if (row[i] > row[at]) at = i;
    for (int32_t i = 0; i < n; i++) sum += exp((double)row[i] - (double)row[at]);
    *top_at = at;
    return log(sum);
}

double divergence_surprise(const float *row, int32_t n, int32_t token) {
    int32_t top;
    double rest = log_sum(row, n, &top);
    return rest - ((double)row[token] - (double)row[top]);
}

bool divergence_add(divergence *d, const float *exact, const float *other, int32_t n) {
    if (d->n == d->cap) {
        size_t cap = d->cap * 2 + 256;
        double *kl = realloc(d->kl, cap * sizeof *kl);
        if (!kl) return false;
        d->kl = kl;
        d->cap = cap;
    }
    int32_t p_top, q_top;
    double p_rest = log_sum(exact, n, &p_top), q_rest = log_sum(other, n, &q_top), sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double p = (double)exact[i] - (double)exact[p_top] - p_rest;
        double q = (double)other[i] - (double)other[q_top] - q_rest;
        sum += exp(p) * (p - q);
    }
    d->kl[d->n++] = sum;
    d->n_same += p_top == q_top;
    return true;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

divergence_figures divergence_of(const divergence *d) {
    divergence_figures f = {NAN, NAN, NAN, NAN};
    if (d->n == 0) return f;
    qsort(d->kl, d->n, sizeof *d->kl, by_size);
    double sum = 0;
    for (size_t i = 0; i < d->n; i++) sum += d->kl[i];
    f.mean = sum / (double)d->n;
    f.p99 = d->kl[(d->n - 1) * 99 / 100];
    f.max = d->kl[d->n - 1];
    f.same_top = (double)d->n_same / (double)d->n;
    return f;
}

void divergence_deinit(divergence *d) {
    free(d->kl);
    *d = (divergence){0};
}
