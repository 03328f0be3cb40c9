#include "quant/quant_search.h"

#include <math.h>

/* Rounds of improving the stored half once the codes are known, and of re-fitting a trial. */
#define SUPER_ROUNDS 3
#define REFITS 3

/* ---- Four floats at a time: every processor has them, and all add in the same order ---- */

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

static f4 all(float f) {
    return (f4){f, f, f, f};
}
static f4 load(const float *p) {
    f4 v;
    memcpy(&v, p, sizeof v);
    return v;
}
static f4 pick(i4 mask, f4 yes, f4 no) {
    return (f4)((mask & (i4)yes) | (~mask & (i4)no));
}
static f4 clamp(f4 y, float lo, float hi) {
    y = pick(y > all(lo), y, all(lo));
    return pick(y < all(hi), y, all(hi));
}
/* To the nearest whole number, ties to even: right below 2^22. Adding 1.5 * 2^23 leaves no bits for
 * a fraction. */
static f4 whole(f4 y) {
    return (y + all(12582912.0f)) - all(12582912.0f);
}
static float sum(f4 v) {
    return (v[0] + v[1]) + (v[2] + v[3]);
}

float quant_amax(const float *x, int n) {
    float best = 0.0f;
    for (int i = 0; i < n; i++) best = fmaxf(best, fabsf(x[i]));
    return best;
}

/* Relative to amax, so that neither large nor small blocks leave float's range. */
void quant_weigh(const float *x, const float *by, int n, float amax, float *w) {
    float squares = 0.0f;
    for (int i = 0; i < n; i++) squares += x[i] / amax * (x[i] / amax);
    float rms = sqrtf(squares / (float)n);
    for (int i = 0; i < n; i++) w[i] = (rms + fabsf(x[i] / amax)) * (by ? by[i] : 1.0f);
}

static float inverse(float s) {
    float r = s != 0.0f ? 1.0f / s : 0.0f;
    return isfinite(r) ? r : 0.0f;
}

/* ---- element = scale * level ---- */

/* The levels nearest to y; half-way the upper one of a code book, the even one of whole numbers. */
static f4 nearest(const quant_book *b, f4 y) {
    if (b->is_even) return whole(clamp(y, (float)b->level[0], (float)b->level[b->n - 1]));
    f4 level = all((float)b->level[0]);
    for (int i = 1; i < b->n; i++) {
        float step = (float)(b->level[i] - b->level[i - 1]);
        level += pick(y >= all((float)b->level[i] - 0.5f * step), all(step), all(0.0f));
    }
    return level;
}

void quant_encode_at(const quant_book *b, int n, const float *x, float scale, uint8_t *code) {
    float inv = inverse(scale);
    for (int i = 0; i < n; i += 4) {
        f4 level = nearest(b, load(x + i) * all(inv));
        for (int k = 0; k < 4; k++) {
            int c = 0;
            if (b->is_even) c = (int)level[k] - b->level[0];
            else
                while ((float)b->level[c] < level[k]) c++;
            code[i + k] = (uint8_t)c;
        }
    }
}

/* The weighted squared error at this scale. */
static float miss_at(const quant_book *b, int n, const float *x, const float *w, float scale) {
    f4 inv = all(inverse(scale)), s = all(scale), total = all(0.0f);
    for (int i = 0; i < n; i += 4) {
        f4 xi = load(x + i), miss = xi - s * nearest(b, xi * inv);
        total += load(w + i) * miss * miss;
    }
    return sum(total);
}

/* With the codes that 1/inv gives, the best scale is xv / vv, and takes xv^2 / vv off the error. */
static float gain_at(const quant_book *b, int n, const float *x, const float *w, float inv,
                     float *scale) {
    f4 xv4 = all(0.0f), vv4 = all(0.0f);
    for (int i = 0; i < n; i += 4) {
        f4 xi = load(x + i), v = nearest(b, xi * all(inv)), wv = load(w + i) * v;
        xv4 += wv * xi;
        vv4 += wv * v;
    }
    float xv = sum(xv4), vv = sum(vv4);
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

/* Given d, the whole-number scale of each sub-block: the rounded one or a neighbour, whichever
 * loses less. Returns the error of the super-block. */
static float settle_super(const quant_book *b, int sub, int scale_lo, const float *x,
                          const float *w, const float *ideal, quant_super *out) {
    float d = quant_f16_to_f32(out->d), inv = inverse(d), total = 0.0f;
    for (int s = 0; s < QUANT_K / sub; s++) {
        float r = fminf(fmaxf(ideal[s] * inv, (float)scale_lo), (float)(-scale_lo - 1));
        int mid = (int)lrintf(r);
        float best = INFINITY;
        for (int c = mid - 1; c <= mid + 1; c++) {
            if (c < scale_lo || c > -scale_lo - 1) continue;
            float miss = miss_at(b, sub, x + s * sub, w + s * sub, d * (float)c);
            if (!(miss < best)) continue;
            best = miss;
            out->scale[s] = (int8_t)c;
        }
        quant_encode_at(b, sub, x + s * sub, d * (float)out->scale[s], out->code + s * sub);
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

void quant_fit_super(const quant_book *b, int sub, int scale_lo, const float *x, const float *by,
                     quant_super *out) {
    float w[QUANT_K], ideal[QUANT_SUBS_MAX], extreme = 0.0f, amax = quant_amax(x, QUANT_K);
    memset(out, 0, sizeof *out);
    if (amax < QUANT_NOTHING) return;
    for (int s = 0; s < QUANT_K / sub; s++) {
        quant_weigh(x + s * sub, by ? by + s * sub : NULL, sub, amax, w + s * sub);
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

/* Normal equations of a weighted fit of x by s * a - m * b. Neither s nor m may be negative: the
 * one that would be is set to 0. */
typedef struct affine_sums {
    float aa, ab, bb, ax, bx;
} affine_sums;

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

static f4 affine_code(f4 x, float m, float inv, int top) {
    return whole(clamp((x + all(m)) * all(inv), 0.0f, (float)top));
}

float quant_affine_miss(int top, int n, const float *x, const float *w, float s, float m) {
    float inv = inverse(s);
    f4 total = all(0.0f);
    for (int i = 0; i < n; i += 4) {
        f4 xi = load(x + i), miss = xi - (all(s) * affine_code(xi, m, inv, top) - all(m));
        total += load(w + i) * miss * miss;
    }
    return sum(total);
}

void quant_affine_encode(int top, int n, const float *x, float s, float m, uint8_t *code) {
    float inv = inverse(s);
    for (int i = 0; i < n; i += 4) {
        f4 c = affine_code(load(x + i), m, inv, top);
        for (int k = 0; k < 4; k++) code[i + k] = (uint8_t)c[k];
    }
}

/* One trial of n <= 32 elements: codes from (s, m), then the best s and m for these codes. Returns
 * the error left. */
static float affine_refit(int top, int n, const float *x, const float *w, float *s, float *m) {
    float inv = inverse(*s);
    f4 code[8], aa = all(0.0f), ab = aa, bb = aa, ax = aa, bx = aa, total = aa;
    for (int i = 0; i < n; i += 4) {
        f4 xi = load(x + i), wi = load(w + i), c = affine_code(xi, *m, inv, top), wc = wi * c;
        code[i / 4] = c;
        aa += wc * c;
        ab += wc;
        bb += wi;
        ax += wc * xi;
        bx += wi * xi;
    }
    affine_sums t = {sum(aa), sum(ab), sum(bb), sum(ax), sum(bx)};
    sums_solve(&t, s, m);
    for (int i = 0; i < n; i += 4) {
        f4 miss = load(x + i) - (all(*s) * code[i / 4] - all(*m));
        total += load(w + i) * miss * miss;
    }
    return sum(total);
}

/* Trials: the range of the elements is spread over somewhat fewer or more levels than there are. */
void quant_fit_affine(int top, int n, const float *x, const float *w, float *scale, float *min) {
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
        float miss = affine_refit(top, n, x, w, &s, &m);
        if (miss < best) {
            best = miss;
            *scale = s;
            *min = m;
        }
    }
    for (int i = 0; i < REFITS; i++) {
        float s = *scale, m = *min, miss = affine_refit(top, n, x, w, &s, &m);
        if (!(miss < best)) break;
        best = miss;
        *scale = s;
        *min = m;
    }
}

static int round_to(float y, int top) {
    return (int)lrintf(fminf(fmaxf(y, 0.0f), (float)top));
}

/* Given d and dmin, the whole-number scale and minimum of each sub-block: the rounded pair or one
 * of its eight neighbours, whichever loses least. Returns the error of the super-block. */
static float settle_affine(int top, int sub, int scale_top, const float *x, const float *w,
                           const float *ideal_s, const float *ideal_m, quant_affine_super *out) {
    float d = quant_f16_to_f32(out->d), dmin = quant_f16_to_f32(out->dmin), total = 0.0f;
    float inv_d = inverse(d), inv_m = inverse(dmin);
    for (int s = 0; s < QUANT_K / sub; s++, x += sub, w += sub) {
        int mid = round_to(ideal_s[s] * inv_d, scale_top);
        int mid_m = round_to(ideal_m[s] * inv_m, scale_top);
        float best = INFINITY;
        for (int k = 0; k < 9; k++) {
            int c = mid + k / 3 - 1, cm = mid_m + k % 3 - 1;
            if (c < 0 || c > scale_top || cm < 0 || cm > scale_top) continue;
            float miss = quant_affine_miss(top, sub, x, w, d * (float)c, dmin * (float)cm);
            if (!(miss < best)) continue;
            best = miss;
            out->scale[s] = (uint8_t)c;
            out->min[s] = (uint8_t)cm;
        }
        quant_affine_encode(top, sub, x, d * (float)out->scale[s], dmin * (float)out->min[s],
                            out->code + s * sub);
        total += best;
    }
    return total;
}

/* The best d and dmin for the codes, scales and minimums that are there. */
static void refit_halves(int sub, const float *x, const float *w, const quant_affine_super *q,
                         float *d, float *dmin) {
    affine_sums t = {0};
    for (int i = 0; i < QUANT_K; i++) {
        float a = (float)q->scale[i / sub] * (float)q->code[i], b = (float)q->min[i / sub];
        t.aa += w[i] * a * a;
        t.ab += w[i] * a * b;
        t.bb += w[i] * b * b;
        t.ax += w[i] * a * x[i];
        t.bx += w[i] * b * x[i];
    }
    sums_solve(&t, d, dmin);
}

void quant_fit_affine_super(int top, int sub, int scale_top, const float *x, const float *by,
                            quant_affine_super *out) {
    float w[QUANT_K], s[QUANT_SUBS_MAX], m[QUANT_SUBS_MAX], max_s = 0.0f, max_m = 0.0f;
    float amax = quant_amax(x, QUANT_K);
    memset(out, 0, sizeof *out);
    if (amax < QUANT_NOTHING) return;
    for (int i = 0; i < QUANT_K / sub; i++) {
        quant_weigh(x + i * sub, by ? by + i * sub : NULL, sub, amax, w + i * sub);
        quant_fit_affine(top, sub, x + i * sub, w + i * sub, &s[i], &m[i]);
        max_s = fmaxf(max_s, s[i]);
        max_m = fmaxf(max_m, m[i]);
    }
    out->d = quant_scale_f16(max_s / (float)scale_top);
    out->dmin = quant_scale_f16(max_m / (float)scale_top);
    float best = settle_affine(top, sub, scale_top, x, w, s, m, out);
    for (int i = 0; i < SUPER_ROUNDS; i++) {
        float d, dmin;
        refit_halves(sub, x, w, out, &d, &dmin);
        quant_affine_super trial = {.d = quant_scale_f16(d), .dmin = quant_scale_f16(dmin)};
        if (trial.d == out->d && trial.dmin == out->dmin) break;
        float miss = settle_affine(top, sub, scale_top, x, w, s, m, &trial);
        if (!(miss < best)) break;
        best = miss;
        *out = trial;
    }
}
