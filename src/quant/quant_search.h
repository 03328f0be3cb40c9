/* The search for scales that lose least, for the formats whose scales are themselves rounded.
 *
 * What is minimised is a weighted sum of squared errors: large weights matter more, since they meet
 * the activations with more force. Everything here is float arithmetic in a fixed order, so the
 * same input gives the same bytes everywhere. Sums run in four lanes, which are added at the end.
 *
 * A book is the list of levels that a code can name: whole numbers in a row, or a code book.
 *     element = scale * level              quant_fit_scale, quant_fit_super
 *     element = scale * code - min         quant_fit_affine_super
 * Any thread.
 */
#ifndef HEARTH_QUANT_SEARCH_H
#define HEARTH_QUANT_SEARCH_H

#include "quant/quant_private.h"

#define QUANT_SUBS_MAX 16
/* Half of the smallest half-precision number: a block below it can only be stored as zeros. */
#define QUANT_NOTHING 2.5e-8f

typedef struct quant_book {
    const int8_t *level; /* [n] ascending */
    int n;
    bool is_even; /* level[i] = level[0] + i */
    float step,
        reach; /* trial scales put the extreme element at an end of the book, +- reach levels */
} quant_book;

/* A super-block: element = (d * scale[sub]) * level[code]. */
typedef struct quant_super {
    uint16_t d; /* half */
    int8_t scale[QUANT_SUBS_MAX];
    uint8_t code[QUANT_K];
} quant_super;

/* A super-block: element = (d * scale[sub]) * code - (dmin * min[sub]). */
typedef struct quant_affine_super {
    uint16_t d, dmin; /* halves */
    uint8_t scale[QUANT_SUBS_MAX], min[QUANT_SUBS_MAX];
    uint8_t code[QUANT_K];
} quant_affine_super;

float quant_amax(const float *x, int n); /* the largest magnitude */
/* Weights of a sub-block: the magnitude on top of the root mean square, both over amax, and times
 * `by` where it is not NULL. Squares as weights were tried for the signed formats: less weighted
 * error, but more error outright. */
void quant_weigh(const float *x, const float *by, int n, float amax, float *w);
/* The real scale that loses least for n elements, 0 when they are all zero. */
float quant_fit_scale(const quant_book *book, int n, const float *x, const float *w);
/* The code of the level nearest to each element at this scale. */
void quant_encode_at(const quant_book *book, int n, const float *x, float scale, uint8_t *code);
/* 256 elements in sub-blocks of `sub`, whole-number scales from scale_lo (negative) to -scale_lo
 * - 1. */
void quant_fit_super(const quant_book *book, int sub, int scale_lo, const float *x, const float *by,
                     quant_super *out);
/* 256 elements in sub-blocks of `sub`, codes 0..top, scales and minimums 0..scale_top. */
void quant_fit_affine_super(int top, int sub, int scale_top, const float *x, const float *by,
                            quant_affine_super *out);
/* Real scale and minimum (not negative) for n <= 32 elements, codes 0..top. */
void quant_fit_affine(int top, int n, const float *x, const float *w, float *scale, float *min);
/* The weighted squared error at such a scale and minimum, and the code of each element. */
float quant_affine_miss(int top, int n, const float *x, const float *w, float scale, float min);
void quant_affine_encode(int top, int n, const float *x, float scale, float min, uint8_t *code);

#endif
