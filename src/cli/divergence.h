/* How far two rows of logits are apart: the Kullback-Leibler divergence of the distributions that
 * they stand for, gathered over many tokens. In double throughout. One thread.
 *
 *     divergence d = {0};
 *     divergence_add(&d, exact, fast, n_vocab);      // for each token
 *     divergence_figures f = divergence_of(&d);
 *     divergence_deinit(&d);
 */
#ifndef HEARTH_CLI_DIVERGENCE_H
#define HEARTH_CLI_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct divergence {
    double *kl; /* [n], nats */
    size_t n, cap, n_same;
} divergence;

typedef struct divergence_figures {
    double mean, p99, max;
    double same_top; /* share of the tokens for which both have the same likeliest one */
} divergence_figures;

/* -log softmax(row)[token]. */
double divergence_surprise(const float *row, int32_t n, int32_t token);
/* Of `other` from `exact`: the sum of p log(p / q), p of exact. False: out of memory. */
bool divergence_add(divergence *d, const float *exact, const float *other, int32_t n);
/* NAN where nothing was added. */
divergence_figures divergence_of(const divergence *d);
void divergence_deinit(divergence *d);

#endif
