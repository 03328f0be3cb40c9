/* The reference variant: kern.h's arithmetic as it stands there, in plain loops. Slow, obvious, and
 * what every other variant is compared with.
 */
#include "kern/kern_variants.h"

#include "kern/kern_kv.h"
#include "kern/kern_math.h"
#include "kern/kern_panel.h"
#include "quant/quant.h"

/* ---- activations ---- */

static void ref_quantize(const float *x, int64_t k, int8_t *q, float *d, int16_t *sum16) {
    for (int64_t b = 0; b < k / KERN_BLOCK; b++) {
        const float *xb = x + b * KERN_BLOCK;
        int8_t *qb = q + b * KERN_BLOCK;
        float amax = 0;
        bool finite = true;
        for (int i = 0; i < KERN_BLOCK; i++) {
            if (!isfinite(xb[i])) finite = false;
            if (fabsf(xb[i]) > amax) amax = fabsf(xb[i]);
        }
        float inv = 127.0f / amax;
        bool zero = !finite || !isfinite(inv);
        d[b] = !finite ? NAN : zero ? 0 : amax / 127.0f;
        for (int i = 0; i < KERN_BLOCK; i++) qb[i] = zero ? 0 : (int8_t)rintf(xb[i] * inv);
        for (int s = 0; s < 2; s++) {
            int sum = 0;
            for (int i = 0; i < 16; i++) sum += qb[s * 16 + i];
            sum16[b * 2 + s] = (int16_t)sum;
        }
    }
}

static void ref_refine(const float *x, int64_t k, const int8_t *q, const float *d, int limit,
                       uint8_t *twice, int8_t *q2, float *d2, int16_t *sum16_2) {
    for (int64_t b = 0; b < k / KERN_BLOCK; b++) {
        float r[KERN_BLOCK];
        int energy = 0;
        for (int64_t e = b * KERN_BLOCK; e < (b + 1) * KERN_BLOCK; e++) {
            energy += q[e] * q[e];
            r[e % KERN_BLOCK] = fmaf(-(float)q[e], d[b], x[e]);
        }
        twice[b] = energy > 0 && energy < limit;
        if (twice[b]) ref_quantize(r, KERN_BLOCK, q2 + b * KERN_BLOCK, d2 + b, sum16_2 + b * 2);
    }
}

/* ---- products ---- */

/* One output over an unpacked chunk, or over those of its blocks that are marked in `some`. */
static float chunk_dot(const kern_format *f, int kc, const uint8_t *some, const uint8_t *w,
                       const float *scale, const float *min, int r, const int8_t *q, const float *d,
                       const int16_t *sum16, float acc) {
    int per_block = KERN_BLOCK / f->sub;
    for (int b = 0; b < kc / KERN_BLOCK; b++) {
        if (some && !some[b]) continue;
        for (int s = b * per_block; s < (b + 1) * per_block; s++) {
            int32_t dot = 0;
            for (int e = s * f->sub; e < (s + 1) * f->sub; e++)
                dot += (w[(e / 4) * 256 + r * 4 + e % 4] - f->offset) * q[e];
            acc = fmaf((float)dot, scale[s * KERN_ROWS + r] * d[b], acc);
        }
        if (!f->has_min) continue;
        for (int s = b * per_block; s < (b + 1) * per_block; s++) {
            int sum = f->sub == 16 ? sum16[s] : sum16[2 * s] + sum16[2 * s + 1];
            acc = fmaf(min[s * KERN_ROWS + r], d[b] * (float)sum, acc);
        }
    }
    return acc;
}

static float plain_value(const kern_format *f, const void *panel, int64_t i) {
    if (f->type == QUANT_F32) return ((const float *)panel)[i];
    uint16_t h = ((const uint16_t *)panel)[i];
    return f->type == QUANT_F16 ? quant_f16_to_f32(h) : quant_bf16_to_f32(h);
}

static void plain_matmul(const kern_format *f, const void *panel, const kern_act *a,
                         const int32_t *rows, int t0, int n, float *c) {
    for (int i = 0; i < n; i++) {
        const float *x = a->x + (rows ? rows[i] : t0 + i) * a->k;
        for (int r = 0; r < KERN_ROWS; r++) {
            float acc = 0;
            for (int64_t e = 0; e < a->k; e++)
                acc = fmaf(plain_value(f, panel, e * KERN_ROWS + r), x[e], acc);
            c[i * KERN_ROWS + r] = acc;
        }
    }
}

static void ref_matmul(const kern_format *f, const void *panel, const kern_act *a,
                       const int32_t *rows, int t0, int n, float *c) {
    if (f->kind == FORMAT_PLAIN) {
        plain_matmul(f, panel, a, rows, t0, n, c);
        return;
    }
    uint8_t w[KERN_CHUNK_K * KERN_ROWS];
    float scale[16 * KERN_ROWS], min[16 * KERN_ROWS];
    for (int i = 0; i < n * KERN_ROWS; i++) c[i] = 0;
    const uint8_t *chunk = panel;
    for (int64_t k0 = 0; k0 < a->k; k0 += KERN_CHUNK_K) {
        int kc = panel_chunk_k(a->k, k0);
        panel_unpack(f, chunk, kc, w, scale, min);
        for (int i = 0; i < n; i++) {
            int64_t at = (rows ? rows[i] : t0 + i) * a->k + k0;
            for (int r = 0; r < KERN_ROWS; r++) {
                float acc = c[i * KERN_ROWS + r];
                acc = chunk_dot(f, kc, NULL, w, scale, min, r, a->q + at, a->d + at / 32,
                                a->sum16 + at / 16, acc);
                if (a->twice)
                    acc = chunk_dot(f, kc, a->twice + at / 32, w, scale, min, r, a->q2 + at,
                                    a->d2 + at / 32, a->sum16_2 + at / 16, acc);
                c[i * KERN_ROWS + r] = acc;
            }
        }
        chunk += panel_chunk_bytes(f, kc);
    }
}

/* ---- element by element ---- */

static void ref_rmsnorm(const float *x, const float *w, float eps, int64_t n, float *y) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum = fmaf(x[i], x[i], sum);
    float inv = 1.0f / sqrtf(sum / (float)n + eps);
    for (int64_t i = 0; i < n; i++) y[i] = w ? x[i] * inv * w[i] : x[i] * inv;
}

static void ref_add(float *y, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static void ref_scale(float *y, float s, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] *= s;
}

static void ref_silu_mul(const float *gate, const float *up, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = gate[i] * math_sigmoid(gate[i]) * up[i];
}

static void ref_gelu_mul(const float *gate, const float *up, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) { /* (1 + tanh(u)) / 2 = sigmoid(2u) */
        float g = gate[i], u = g * fmaf(GELU_B * g, g, GELU_A);
        out[i] = g * math_sigmoid(2.0f * u) * up[i];
    }
}

static void ref_oai_mul(const float *gate, const float *up, float alpha, float limit, float *out,
                        int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float g = gate[i] > limit ? limit : gate[i];
        float u = up[i] > limit ? limit : up[i] < -limit ? -limit : up[i];
        out[i] = g * math_sigmoid(alpha * g) * (u + 1.0f);
    }
}

static void ref_softcap(float *y, float cap, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = cap * math_tanh(y[i] / cap);
}

static void ref_softmax(float *x, int64_t n) {
    float top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > top) top = x[i];
    for (int64_t i = 0; i < n; i++) sum += x[i] = math_exp(x[i] - top);
    float inv = 1.0f / sum;
    for (int64_t i = 0; i < n; i++) x[i] *= inv;
}

static void ref_rope(float *head, int n_rot, bool neox, const float *cos, const float *sin) {
    for (int i = 0; i < n_rot / 2; i++) {
        float *a = neox ? head + i : head + 2 * i,
              *b = neox ? head + i + n_rot / 2 : head + 2 * i + 1;
        float x = *a, y = *b;
        *a = fmaf(x, cos[i], -(y * sin[i]));
        *b = fmaf(x, sin[i], y * cos[i]);
    }
}

static int64_t ref_argmax(const float *x, int64_t n) {
    int64_t best = 0;
    float top = -INFINITY; /* so that a NaN is never the largest */
    for (int64_t i = 0; i < n; i++)
        if (x[i] > top) top = x[i], best = i;
    return best;
}

/* ---- attention ---- */

/* Rounds n values to integers up to `most` and returns their scale; NaN when one is not finite. */
static float to_integers(float most, const float *x, int n, int *q) {
    float amax = 0;
    bool finite = true;
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i])) finite = false;
        if (fabsf(x[i]) > amax) amax = fabsf(x[i]);
    }
    float inv = most / amax;
    bool zero = !finite || !isfinite(inv);
    for (int i = 0; i < n; i++) q[i] = zero ? 0 : (int)rintf(x[i] * inv);
    return !finite ? NAN : zero ? 0 : amax / most;
}

static void store_values(kern_kv_type type, const float *x, int n, uint8_t *base, size_t step) {
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * step;
        if (type == KERN_KV_F32) ((float *)(void *)base)[at] = x[i];
        else ((uint16_t *)(void *)base)[at] = quant_f32_to_f16(x[i]);
    }
}

static void ref_kv_write(const kern_kv_shape *s, void *block, int slot, const float *k,
                         const float *v) {
    kv_parts p = kv_parts_of(s, block);
    size_t elem = kv_elem_bytes(s->type), at = (size_t)slot;
    if (s->type == KERN_KV_Q8) {
        int q[512];
        p.k_scale[slot] = to_integers(127.0f, k, s->head_dim_k, q);
        for (int i = 0; i < s->head_dim_k; i++) p.k[kv_key_at(slot, i)] = (uint8_t)(q[i] + 128);
        p.v_scale[slot] = to_integers(127.0f, v, s->head_dim_v, q);
        for (int i = 0; i < s->head_dim_v; i++) p.v[kv_value_at(s, slot, i)] = (uint8_t)q[i];
        return;
    }
    store_values(s->type, k, s->head_dim_k, p.k + at * elem, KERN_PAGE);
    store_values(s->type, v, s->head_dim_v, p.v + at * (size_t)s->head_dim_v * elem, 1);
}

static float load_value(kern_kv_type type, const uint8_t *base, size_t i) {
    if (type == KERN_KV_F32) return ((const float *)(const void *)base)[i];
    return quant_f16_to_f32(((const uint16_t *)(const void *)base)[i]);
}

/* Row i's scores of tokens [from, to) of a block, before the soft cap. */
static void scores(const kern_attn *a, int i, const kv_parts *p, int from, int to, float *s) {
    const int n = a->shape.head_dim_k;
    if (a->shape.type == KERN_KV_Q8) {
        int q[512];
        float scale = to_integers(KV_INT, a->q[i], n, q) * a->scale;
        for (int t = from; t < to; t++) {
            int dot = 0;
            for (int e = 0; e < n; e++) dot += q[e] * (p->k[kv_key_at(t, e)] - 128);
            s[t] = (float)dot * p->k_scale[t] * scale;
        }
        return;
    }
    for (int t = from; t < to; t++) {
        s[t] = 0;
        for (int e = 0; e < n; e++)
            s[t] = fmaf(a->q[i][e], load_value(a->shape.type, p->k, (size_t)(e * KERN_PAGE + t)),
                        s[t]);
        s[t] *= a->scale;
    }
}

/* acc += the weights w of tokens [from, to) times their values. */
static void add_values(const kern_kv_shape *s, const kv_parts *p, int from, int to, float *w,
                       float *acc) {
    if (s->type == KERN_KV_Q8) {
        int q[KERN_PAGE];
        for (int t = from; t < to; t++) w[t] *= p->v_scale[t];
        float scale = to_integers(KV_INT, w + from, to - from, q + from);
        for (int e = 0; e < s->head_dim_v; e++) {
            int dot = 0;
            for (int t = from; t < to; t++) dot += q[t] * (int8_t)p->v[kv_value_at(s, t, e)];
            acc[e] = fmaf((float)dot, scale, acc[e]);
        }
        return;
    }
    for (int t = from; t < to; t++)
        for (int e = 0; e < s->head_dim_v; e++)
            acc[e] = fmaf(w[t], load_value(s->type, p->v, (size_t)(t * s->head_dim_v + e)), acc[e]);
}

static void attn_block(const kern_attn *a, int i, int b, float *acc) {
    int from, to;
    kv_visible(a, i, b, &from, &to);
    if (from >= to) return;
    kv_parts p = kv_parts_of(&a->shape, a->block[b]);
    float s[KERN_PAGE], top = a->m[i], sum = 0;
    scores(a, i, &p, from, to, s);
    for (int t = from; t < to; t++) {
        if (a->softcap > 0) s[t] = a->softcap * math_tanh(s[t] / a->softcap);
        if (s[t] > top) top = s[t];
    }
    if (top > a->m[i]) {
        float c = math_exp(a->m[i] - top);
        a->m[i] = top;
        a->l[i] *= c;
        for (int e = 0; e < a->shape.head_dim_v; e++) acc[e] *= c;
    }
    for (int t = from; t < to; t++) {
        s[t] = math_exp(s[t] - top);
        sum += s[t];
    }
    add_values(&a->shape, &p, from, to, s, acc);
    a->l[i] += sum;
}

static void ref_attn(const kern_attn *a) {
    for (int i = 0; i < a->n_rows; i++) {
        a->m[i] = -INFINITY;
        a->l[i] = 0;
        for (int e = 0; e < a->shape.head_dim_v; e++) a->acc[i][e] = 0;
        for (int b = 0; b < a->n_blocks; b++) attn_block(a, i, b, a->acc[i]);
    }
}

const kern kern_ref = {
    .name = "ref",
    .tile_tokens = 1,
    .quantize = ref_quantize,
    .refine = ref_refine,
    .matmul = ref_matmul,
    .rmsnorm = ref_rmsnorm,
    .add = ref_add,
    .scale = ref_scale,
    .silu_mul = ref_silu_mul,
    .gelu_mul = ref_gelu_mul,
    .oai_mul = ref_oai_mul,
    .softcap = ref_softcap,
    .softmax = ref_softmax,
    .rope = ref_rope,
    .kv_write = ref_kv_write,
    .attn = ref_attn,
    .argmax = ref_argmax,
};
