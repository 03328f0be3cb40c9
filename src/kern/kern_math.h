/* Functions of one float: the scalar twins of what the variants compute on vectors, with the same
 * operations in the same order, so that exp is bit-equal everywhere. Inside the kern room only.
 *
 * exp: n = x log2(e) to nearest; r = x - n ln 2 in two parts; 1 + (r + r^2 q(r)), q of degree 4
 * fitted with the weight of the relative error (3e-9), then times 2^n. tanh: an odd polynomial
 * under 0.7 (1.5e-8), where 1 - 2 / (exp(2u) + 1) would cancel.
 */
#ifndef HEARTH_KERN_MATH_H
#define HEARTH_KERN_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXP_MIN (-104.0f) /* gives 0 */
#define EXP_MAX 89.0f     /* gives infinity */
#define EXP_LOG2E 1.44269504f
#define EXP_ROUND 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */
#define EXP_LN2_HIGH 0.693359375f
#define EXP_LN2_LOW (-2.12194440e-4f)
#define EXP_Q0 0.49999994f
#define EXP_Q1 0.1666652f
#define EXP_Q2 0.041668393f
#define EXP_Q3 0.008368781f
#define EXP_Q4 0.0013814502f

#define TANH_SMALL 0.7f
#define TANH_Q0 (-0.33333197f)
#define TANH_Q1 0.13329244f
#define TANH_Q2 (-0.053566985f)
#define TANH_Q3 0.020111647f
#define TANH_Q4 (-0.005155104f)

#define GELU_A 0.7978845608f /* sqrt(2 / pi) */
#define GELU_B 0.0356774081f /* 0.044715 * GELU_A */

static inline float math_power2(int32_t n) { /* -126 <= n <= 127 */
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline float math_exp(float x) {
    if (isnan(x)) return x;
    if (x < EXP_MIN) x = EXP_MIN;
    if (x > EXP_MAX) x = EXP_MAX;
    float n = fmaf(x, EXP_LOG2E, EXP_ROUND) - EXP_ROUND;
    float r = fmaf(n, -EXP_LN2_LOW, fmaf(n, -EXP_LN2_HIGH, x));
    float q = fmaf(fmaf(fmaf(fmaf(EXP_Q4, r, EXP_Q3), r, EXP_Q2), r, EXP_Q1), r, EXP_Q0);
    float p = 1.0f + fmaf(r * r, q, r);
    int32_t i = (int32_t)n, half = i / 2; /* two factors reach denormals and infinity */
    return p * math_power2(half) * math_power2(i - half);
}

static inline float math_sigmoid(float x) {
    return 1.0f / (1.0f + math_exp(-x));
}

static inline float math_tanh(float x) {
    float u = fabsf(x);
    if (u < TANH_SMALL) {
        float z = x * x;
        float q = fmaf(fmaf(fmaf(fmaf(TANH_Q4, z, TANH_Q3), z, TANH_Q2), z, TANH_Q1), z, TANH_Q0);
        return fmaf(x * z, q, x);
    }
    return copysignf(1.0f - 2.0f / (math_exp(2.0f * u) + 1.0f), x);
}

#endif
