/* Samplers: from the logits of one position to one token.
 *
 * A sampler belongs to one request and is used by one thread at a time. What it draws is a pure
 * function of the logits, the tokens so far, the parameters, and (seed, choice, position); mirostat
 * also carries its one number from token to token.
 *
 * How a distribution is held: candidates stay in ascending order of id from the first filter to the
 * draw, each with its logit and a weight, exp(logit - largest) in units of 2^-40, rounded down.
 * Weights are integers, so that sums do not depend on the order of adding, "the smallest set that
 * holds p" is exact, and no filter needs to sort: each finds the key where it cuts by radix
 * selection, and keeps what is better; equal keys are kept in the order of ids. What is less likely
 * than 2^-40 of the likeliest is never drawn.
 */
#ifndef HEARTH_ENGINE_SAMPLE_H
#define HEARTH_ENGINE_SAMPLE_H

#include "base/err.h"
#include "base/str.h"
#include "hearth.h"

typedef struct sampler sampler;

/* The text of a token, for the sequence breakers of DRY. */
typedef str (*sampler_piece_fn)(const void *ud, int32_t id);

/* Checks every value of p that is a number or a list against its range: ERR_USAGE names the
 * parameter, its value and what is allowed. Text and prompt lengths are not its business. */
bool sampler_check(const hearth_params *p, int32_t n_vocab, err *e);

/* p must have passed sampler_check; what is needed of it is copied. piece may be NULL: no breakers.
 */
sampler *sampler_new(const hearth_params *p, int32_t n_vocab, sampler_piece_fn piece,
                     const void *ud, err *e);
void sampler_free(sampler *s);
/* The history is another one from now on. */
void sampler_restart(sampler *s);

/* Draws the token that follows tokens[0 .. n). `logits` [n_vocab] is used up. -1: ERR_FAILED for
 * logits that are no numbers, or when every token is banned. */
int32_t sampler_draw(sampler *s, float *logits, const int32_t *tokens, int32_t n, err *e);

/* Natural logarithms of the probabilities that raw logits give: of `token`, and of the n_top
 * likeliest, likeliest first, ties by lower id. n_top is at most n_vocab. False when memory is
 * short. */
bool sample_logprobs(const float *logits, int32_t n_vocab, int32_t token, float *logprob,
                     hearth_logprob *top, int n_top);

#endif
