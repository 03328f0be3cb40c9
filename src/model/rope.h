/* Rotary position embedding: frequencies of one rope of a plan, and cos and sin of a position.
 *
 * Frequencies and angles are computed in double and rounded to float once, so a position's table is
 * the same wherever and whenever it is made. Scaling: linear and YaRN (Peng et al., "YaRN:
 * efficient context window extension of large language models", 2023), and factors a frequency
 * (llama3, longrope).
 */
#ifndef HEARTH_MODEL_ROPE_H
#define HEARTH_MODEL_ROPE_H

#include "model/plan.h"

typedef struct rope {
    int32_t n_rot;
    bool neox;
    double magnitude;
    double *freq; /* [n_rot/2], owned */
} rope;

/* factors: [n_rot/2], or NULL. */
bool rope_init(rope *r, const plan_rope *p, const float *factors, err *e);
void rope_deinit(rope *r);
/* cos, sin: [n_rot/2] */
void rope_table(const rope *r, int32_t pos, float *cos, float *sin);

#endif
