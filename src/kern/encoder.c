/* What only encoders need. Plain C, the same for every variant: small beside their matrices. */
#include <math.h>

#include "kern/kern.h"

#define LANES 16

/* Sums go over 16 lanes, then over the lanes: a fixed order, and one that compilers can widen. */
static float sum_of(const float *x, int64_t n, float minus, bool square) {
    float lane[LANES] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        float d = x[i] - minus;
        lane[i % LANES] += square ? d * d : d;
    }
    for (int i = 0; i < LANES; i++) sum += lane[i];
    return sum;
}

void kern_layernorm(const float *x, const float *w, const float *b, float eps, int64_t n,
                    float *y) {
    float mean = sum_of(x, n, 0, false) / (float)n;
    float scale = 1.0f / sqrtf(sum_of(x, n, mean, true) / (float)n + eps);
    for (int64_t i = 0; i < n; i++) {
        float v = (x[i] - mean) * scale * w[i];
        y[i] = b ? v + b[i] : v;
    }
}

/* erf by formula 7.1.26 of Abramowitz and Stegun, whose error is under 1.5e-7. */
void kern_gelu_erf(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float z = fabsf(x[i]) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
        float poly = t * (0.254829592f +
                          t * (-0.284496736f +
                               t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
        float erf_z = 1.0f - poly * kern_expf(-z * z);
        x[i] = 0.5f * x[i] * (1.0f + copysignf(erf_z, x[i]));
    }
}
