/* Exact decimal numbers of the size that schemas use: m x 10^-scale, |m| < 10^20, scale 0..16.
 * Sums and products of two such numbers' mantissas fit __int128. Header only. */
#ifndef HEARTH_GRAMMAR_DECIMAL_H
#define HEARTH_GRAMMAR_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#define DEC_SCALE 16
#define DEC_DIGITS 20

typedef __int128 dec_wide;

typedef struct dec {
    dec_wide m;
    int scale;
} dec;

static inline dec_wide dec_pow10(int n) {
    dec_wide p = 1;
    while (n-- > 0) p *= 10;
    return p;
}

/* The mantissa at scale DEC_SCALE: exact, below 10^36. */
static inline dec_wide dec_unit(dec a) {
    return a.m * dec_pow10(DEC_SCALE - a.scale);
}

static inline int dec_cmp(dec a, dec b) {
    dec_wide x = dec_unit(a), y = dec_unit(b);
    return (x > y) - (x < y);
}

static inline dec dec_neg(dec a) {
    a.m = -a.m;
    return a;
}

/* A JSON number or %.17g text to decimal. 1: done; 0: more digits than fit; 2: |value| >= 10^20. */
int dec_parse(const char *text, dec *out);
/* Shortest decimal that reads back as the same double. */
int dec_from_double(double v, dec *out);
bool dec_lcm(dec a, dec b, dec *out); /* of two positive numbers; false: too large */

#endif
