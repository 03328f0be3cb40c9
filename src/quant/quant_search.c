#include "quant/quant_search.h"

#include <math.h>

/* Rounds of improving the stored half once the codes are known, and of re-fitting a trial. */
#define SUPER_ROUNDS 3
#define REFITS 3

float quant_amax(const float *x, int n) {
    float best = 0.0f;
    for (int i = 0; i < n; i++) best = fmaxf(best, fabsf(x[i]));
    return best;
}

/* Relative to amax, so that neither large nor small blocks leave float's range. */
void quant_weigh(const float *x, int n, float amax, float *w) {
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += x[i] / amax * (x[i] / amax);
    float rms = sqrtf(sum / (float)n);
    for (int i = 0; i < n; i++) w[i] = rms + fabsf(x[i] / amax);
}

/* ---- element = scale * level ---- */

/* The code whose level is nearest to y. */
static int nearest(const quant_book *b, float y) {
    if (b->is_even) {
        float at = y - (float)b->level[0];
        return (int)lrintf(fminf(fmaxf(at, 0.0f), (float)(b->n - 1)));
    }
    int lo = 0, hi = b->n - 1; /* level[lo] <= y < level[hi], ends apart */
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if ((float)b->level[mid] <= y) lo = mid;
        else hi = mid;
    }
    return y - (float)b->level[lo] < (float)b->level[hi] - y ? lo : hi;
}

static float inverse(float s) {
    float r = s != 0.0f ? 1.0f / s : 0.0f;
    return isfinite(r) ? r : 0.0f;
}

/* With the codes that 1/inv gives, the best scale is xv / vv, and takes xv^2 / vv off the error. */
static float gain_at(const quant_book *b, int n, const float *x, const float *w, float inv,
                     float *scale) {
    float xv = 0.0f, vv = 0.0f;
    for (int i = 0; i < n; i++) {
        float v = (float)b->level[nearest(b, x[i] * inv)];
        xv += w[i] * x[i] * v;
        vv += w[i] * v * v;
    }
    *scale = vv > 0.0f ? xv / vv : 0.0f;
    return vv > 0.0f ? xv * *scale : 0.0f;
}

float quant_fit_scale(const quant_book *b, int n, const float *x, const float *w) {
    float extreme = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    float best = 0.0f, scale = 0.0f, per = inverse(extreme);
    for (int end = 0; end < 2; end++) {
        float level = (float)b->level[end ? b->n - 1 : 0];
        for (float off = -b->reach; off <= b->reach; off += b->step) {
            float s, gain = gain_at(b, n, x, w, (level + off) * per, &s);
            if (gain > best) {
                best = gain;
                scale = s;
            }
        }
    }
    for (int i = 0; i < REFITS; i++) {
        float s, gain = gain_at(b, n, x, w, inverse(scale), &s);
        if (!(gain > best)) break;
        best = gain;
        scale = s;
    }
    return scale;
}

float quant_encode_at(const quant_book *b, int n, const float *x, const float *w, float scale,
                      uint8_t *code) {
    float inv = inverse(scale), sum = 0.0f;
    for (int i = 0; i < n; i++) {
        code[i] = (uint8_t)nearest(b, x[i] * inv);
        float miss = x[i] - scale * (float)b->level[code[i]];
        sum += w[i] * miss * miss;
    }
    return sum;
}

/* Given d, the whole-number scale of each sub-block: the rounded one or a neighbour, whichever loses
 * less. Returns the error of the super-block. */
static float settle_super(const quant_book *b, int sub, int scale_lo, const float *x,
                          const float *w, const float *ideal, quant_super *out) {
    float d = quant_f16_to_f32(out->d), inv = inverse(d), total = 0.0f;
    uint8_t code[QUANT_K];
    for (int s = 0; s < QUANT_K / sub; s++) {
        float r = fminf(fmaxf(ideal[s] * inv, (float)scale_lo), (float)(-scale_lo - 1));
        int mid = (int)lrintf(r);
        float best = INFINITY;
        for (int c = mid - 1; c <= mid + 1; c++) {
            if (c < scale_lo || c > -scale_lo - 1) continue;
            float miss = quant_encode_at(b, sub, x + s * sub, w + s * sub, d * (float)c, code);
            if (!(miss < best)) continue;
            best = miss;
            out->scale[s] = (int8_t)c;
            memcpy(out->code + s * sub, code, (size_t)sub);
        }
        total += best;
    }
    return total;
}

/* The best d for the codes and scales that are there. */
static float refit_d(const quant_book *b, int sub, const float *x, const float *w,
                     const quant_super *q) {
    float xv = 0.0f, vv = 0.0f;
    for (int i = 0; i < QUANT_K; i++) {
        float v = (float)q->scale[i / sub] * (float)b->level[q->code[i]];
        xv += w[i] * x[i] * v;
        vv += w[i] * v * v;
    }
    return vv > 0.0f ? xv / vv : 0.0f;
}

void quant_fit_super(const quant_book *b, int sub, int scale_lo, const float *x, quant_super *out) {
    float w[QUANT_K], ideal[QUANT_SUBS_MAX], extreme = 0.0f, amax = quant_amax(x, QUANT_K);
    memset(out, 0, sizeof *out);
    if (amax < QUANT_NOTHING) return;
    for (int s = 0; s < QUANT_K / sub; s++) {
        quant_weigh(x + s * sub, sub, amax, w + s * sub);
        ideal[s] = quant_fit_scale(b, sub, x + s * sub, w + s * sub);
        if (fabsf(ideal[s]) > fabsf(extreme)) extreme = ideal[s];
    }
    out->d = quant_scale_f16(extreme / (float)scale_lo);
    float best = settle_super(b, sub, scale_lo, x, w, ideal, out);
    for (int i = 0; i < SUPER_ROUNDS; i++) {
        quant_super trial = {.d = quant_scale_f16(refit_d(b, sub, x, w, out))};
        if (trial.d == out->d) break;
        float miss = settle_super(b, sub, scale_lo, x, w, ideal, &trial);
        if (!(miss < best)) break;
        best = miss;
        *out = trial;
    }
}

/* ---- element = scale * code - min, none of them negative ---- */

static int round_to(float y, int top) {
    return (int)lrintf(fminf(fmaxf(y, 0.0f), (float)top));
}

/* Normal equations of a weighted fit of x by s * a - m * b, in the sums that are gathered element by
 * element. Neither s nor m may be negative: the one that would be is set to 0. */
typedef struct affine_sums {
    float aa, ab, bb, ax, bx;
} affine_sums;

static void sums_add(affine_sums *t, float w, float a, float b, float x) {
    t->aa += w * a * a;
    t->ab += w * a * b;
    t->bb += w * b * b;
    t->ax += w * a * x;
    t->bx += w * b * x;
}

static void sums_solve(const affine_sums *t, float *s, float *m) {
    float det = t->aa * t->bb - t->ab * t->ab;
    *s = *m = 0.0f;
    if (det > 1e-6f * t->aa * t->bb) {
        *s = (t->bb * t->ax - t->ab * t->bx) / det;
        *m = (t->ab * t->ax - t->aa * t->bx) / det;
    }
    if (*m <= 0.0f) {
        *m = 0.0f;
        *s = t->aa > 0.0f ? t->ax / t->aa : 0.0f;
    }
    if (*s <= 0.0f) {
        *s = 0.0f;
        *m = t->bb > 0.0f ? fmaxf(-t->bx / t->bb, 0.0f) : 0.0f;
    }
}

static float encode_affine(int top, int n, const float *x, const float *w, float s, float m,
                           uint8_t *code) {
    float inv = inverse(s), sum = 0.0f;
    for (int i = 0; i < n; i++) {
        code[i] = (uint8_t)round_to((x[i] + m) * inv, top);
        float miss = x[i] - (s * (float)code[i] - m);
        sum += w[i] * miss * miss;
    }
    return sum;
}

/* One trial: codes from (s, m), then the best s and m for these codes. Returns the error left. */
static float refit_affine(int top, int n, const float *x, const float *w, float *s, float *m) {
    float inv = inverse(*s), sum = 0.0f;
    uint8_t code[32];
    affine_sums t = {0};
    for (int i = 0; i < n; i++) {
        code[i] = (uint8_t)round_to((x[i] + *m) * inv, top);
        sums_add(&t, w[i], (float)code[i], 1.0f, x[i]);
    }
    sums_solve(&t, s, m);
    for (int i = 0; i < n; i++) {
        float miss = x[i] - (*s * (float)code[i] - *m);
        sum += w[i] * miss * miss;
    }
    return sum;
}

/* Trials: the range of the elements is spread over somewhat fewer or more levels than there are. */
static void fit_affine(int top, int n, const float *x, const float *w, float *scale, float *min) {
    float lo = 0.0f, hi = x[0], best = INFINITY;
    for (int i = 0; i < n; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    *scale = 0.0f;
    *min = -lo;
    if (!(hi > lo)) return; /* all alike, and not positive */
    for (float off = -1.0f; off <= 1.0f; off += 0.1f) {
        float s = (hi - lo) / ((float)top + off), m = -lo;
        float miss = refit_affine(top, n, x, w, &s, &m);
        if (miss < best) {
            best = miss;
            *scale = s;
            *min = m;
        }
    }
    for (int i = 0; i < REFITS; i++) {
        float s = *scale, m = *min, miss = refit_affine(top, n, x, w, &s, &m);
        if (!(miss < best)) break;
        best = miss;
        *scale = s;
        *min = m;
    }
}

/* Given d and dmin, the whole-number scale and minimum of each sub-block: the rounded pair or one of its
 * eight neighbours, whichever loses least. Returns the error of the super-block. */
static float settle_affine(int top, int sub, int scale_top, const float *x, const float *w,
                           const float *ideal_s, const float *ideal_m, quant_affine_super *out) {
    float d = quant_f16_to_f32(out->d), dmin = quant_f16_to_f32(out->dmin), total = 0.0f;
    float inv_d = inverse(d), inv_m = inverse(dmin);
    uint8_t code[QUANT_K];
    for (int s = 0; s < QUANT_K / sub; s++) {
        int mid = round_to(ideal_s[s] * inv_d, scale_top),
            mid_m = round_to(ideal_m[s] * inv_m, scale_top);
        float best = INFINITY;
        for (int k = 0; k < 9; k++) {
            int c = mid + k / 3 - 1, cm = mid_m + k % 3 - 1;
            if (c < 0 || c > scale_top || cm < 0 || cm > scale_top) continue;
            float miss = encode_affine(top, sub, x + s * sub, w + s * sub, d * (float)c,
                                       dmin * (float)cm, code);
            if (!(miss < best)) continue;
            best = miss;
            out->scale[s] = (uint8_t)c;
            out->min[s] = (uint8_t)cm;
            memcpy(out->code + s * sub, code, (size_t)sub);
        }
        total += best;
    }
    return total;
}

void quant_fit_affine_super(int top, int sub, int scale_top, const float *x,
                            quant_affine_super *out) {
    float w[QUANT_K], s[QUANT_SUBS_MAX], m[QUANT_SUBS_MAX], max_s = 0.0f, max_m = 0.0f;
    float amax = quant_amax(x, QUANT_K);
    memset(out, 0, sizeof *out);
    if (amax < QUANT_NOTHING) return;
    for (int i = 0; i < QUANT_K / sub; i++) {
        quant_weigh(x + i * sub, sub, amax, w + i * sub);
        fit_affine(top, sub, x + i * sub, w + i * sub, &s[i], &m[i]);
        max_s = fmaxf(max_s, s[i]);
        max_m = fmaxf(max_m, m[i]);
    }
    out->d = quant_scale_f16(max_s / (float)scale_top);
    out->dmin = quant_scale_f16(max_m / (float)scale_top);
    float best = settle_affine(top, sub, scale_top, x, w, s, m, out);
    for (int i = 0; i < SUPER_ROUNDS; i++) {
        float d, dmin;
        affine_sums t = {0};
        for (int e = 0; e < QUANT_K; e++)
            sums_add(&t, w[e], (float)out->scale[e / sub] * (float)out->code[e],
                     (float)out->min[e / sub], x[e]);
        sums_solve(&t, &d, &dmin);
        quant_affine_super trial = {.d = quant_scale_f16(d), .dmin = quant_scale_f16(dmin)};
        if (trial.d == out->d && trial.dmin == out->dmin) break;
        float miss = settle_affine(top, sub, scale_top, x, w, s, m, &trial);
        if (!(miss < best)) break;
        best = miss;
        *out = trial;
    }
}
