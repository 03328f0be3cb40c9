/* Everything that goes element by element, written once on the vectors of vec_<set>.h and compiled
 * into each variant: include that header first, then this one. The arithmetic of one element is
 * that of kern_math.h. Sums over a row run in VEC_LANES lanes by four, then a fixed tree.
 */
#include "kern/kern_kv.h"
#include "kern/kern_math.h"
#include "quant/quant.h"

/* ---- functions of one vector ---- */

VEC_INLINE vec vec_exp(vec x) {
    x = vec_max(vec_set(EXP_MIN), x); /* a NaN stays */
    x = vec_min(vec_set(EXP_MAX), x);
    vec n = vec_sub(vec_fma(x, vec_set(EXP_LOG2E), vec_set(EXP_ROUND)), vec_set(EXP_ROUND));
    vec r = vec_fma(n, vec_set(-EXP_LN2_LOW), vec_fma(n, vec_set(-EXP_LN2_HIGH), x));
    vec q = vec_fma(vec_set(EXP_Q4), r, vec_set(EXP_Q3));
    q = vec_fma(q, r, vec_set(EXP_Q2));
    q = vec_fma(q, r, vec_set(EXP_Q1));
    q = vec_fma(q, r, vec_set(EXP_Q0));
    vec p = vec_add(vec_set(1.0f), vec_fma(vec_mul(r, r), q, r));
    return vec_scale2(p, n);
}

VEC_INLINE vec vec_sigmoid(vec x) {
    return vec_div(vec_set(1.0f), vec_add(vec_set(1.0f), vec_exp(vec_neg(x))));
}

VEC_INLINE vec vec_tanh(vec x) {
    vec u = vec_abs(x), z = vec_mul(x, x);
    vec q = vec_fma(vec_set(TANH_Q4), z, vec_set(TANH_Q3));
    q = vec_fma(q, z, vec_set(TANH_Q2));
    q = vec_fma(q, z, vec_set(TANH_Q1));
    q = vec_fma(q, z, vec_set(TANH_Q0));
    vec small = vec_fma(vec_mul(x, z), q, x);
    vec e = vec_exp(vec_add(u, u));
    vec large = vec_sub(vec_set(1.0f), vec_div(vec_set(2.0f), vec_add(e, vec_set(1.0f))));
    return vec_less(u, vec_set(TANH_SMALL), small, vec_copysign(large, x));
}

/* ---- rows ---- */

/* Runs `body` with the element's index i and its vector's length n, over all of total elements. */
#define EACH_VEC(total, body)                                                                      \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; i + VEC_LANES <= (total); i += VEC_LANES) {                                         \
            const int n = VEC_LANES;                                                               \
            body                                                                                   \
        }                                                                                          \
        if (i < (total)) {                                                                         \
            const int n = (int)((total)-i);                                                        \
            body                                                                                   \
        }                                                                                          \
    } while (0)
#define GET(p) (n == VEC_LANES ? vec_load((p) + i) : vec_load_part((p) + i, n))
#define PUT(p, v)                                                                                  \
    do {                                                                                           \
        if (n == VEC_LANES) vec_store((p) + i, v);                                                 \
        else vec_store_part((p) + i, v, n);                                                        \
    } while (0)

static void misc_rmsnorm(const float *x, const float *w, float eps, int64_t len, float *y) {
    vec s[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
    int64_t done = 0;
    for (; done + 4 * VEC_LANES <= len; done += 4 * VEC_LANES)
        for (int j = 0; j < 4; j++) {
            vec v = vec_load(x + done + j * VEC_LANES);
            s[j] = vec_fma(v, v, s[j]);
        }
    const float *rest = x + done;
    EACH_VEC(len - done, {
        vec v = GET(rest);
        s[0] = vec_fma(v, v, s[0]);
    });
    float sum = vec_sum(vec_add(vec_add(s[0], s[1]), vec_add(s[2], s[3])));
    vec inv = vec_set(1.0f / sqrtf(sum / (float)len + eps));
    if (w) EACH_VEC(len, PUT(y, vec_mul(vec_mul(GET(x), inv), GET(w))););
    else EACH_VEC(len, PUT(y, vec_mul(GET(x), inv)););
}

static void misc_add(float *y, const float *x, int64_t len) {
    EACH_VEC(len, PUT(y, vec_add(GET(y), GET(x))););
}

static void misc_scale(float *y, float s, int64_t len) {
    EACH_VEC(len, PUT(y, vec_mul(GET(y), vec_set(s))););
}

static void misc_silu_mul(const float *gate, const float *up, float *out, int64_t len) {
    EACH_VEC(len, {
        vec g = GET(gate);
        PUT(out, vec_mul(vec_mul(g, vec_sigmoid(g)), GET(up)));
    });
}

static void misc_gelu_mul(const float *gate, const float *up, float *out, int64_t len) {
    EACH_VEC(len, {
        vec g = GET(gate);
        vec u = vec_mul(g, vec_fma(vec_mul(vec_set(GELU_B), g), g, vec_set(GELU_A)));
        PUT(out, vec_mul(vec_mul(g, vec_sigmoid(vec_add(u, u))), GET(up)));
    });
}

static void misc_oai_mul(const float *gate, const float *up, float alpha, float limit, float *out,
                         int64_t len) {
    EACH_VEC(len, {
        vec g = vec_min(vec_set(limit), GET(gate));
        vec u = vec_max(vec_set(-limit), vec_min(vec_set(limit), GET(up)));
        vec s = vec_sigmoid(vec_mul(vec_set(alpha), g));
        PUT(out, vec_mul(vec_mul(g, s), vec_add(u, vec_set(1.0f))));
    });
}

static void misc_softcap(float *y, float cap, int64_t len) {
    EACH_VEC(len, PUT(y, vec_mul(vec_set(cap), vec_tanh(vec_div(GET(y), vec_set(cap))))););
}

/* The largest of a row that is not NaN; -inf for none. */
static float row_top(const float *x, int64_t len) {
    vec top = vec_set(-INFINITY);
    int64_t i = 0;
    for (; i + VEC_LANES <= len; i += VEC_LANES) top = vec_max(vec_load(x + i), top);
    float best = vec_top(top);
    for (; i < len; i++)
        if (x[i] > best) best = x[i];
    return best;
}

static void misc_softmax(float *x, int64_t len) {
    vec top = vec_set(row_top(x, len)), sum = vec_zero();
    EACH_VEC(len, {
        vec e = vec_exp(vec_sub(GET(x), top));
        PUT(x, e);
        if (n == VEC_LANES) sum = vec_add(sum, e);
        else sum = vec_add(sum, vec_less(vec_iota(), vec_set((float)n), e, vec_zero()));
    });
    misc_scale(x, 1.0f / vec_sum(sum), len);
}

static int64_t misc_argmax(const float *x, int64_t len) {
    float top = row_top(x, len);
    for (int64_t i = 0; i < len; i++)
        if (x[i] == top) return i;
    return 0;
}

static void misc_rope(float *head, int n_rot, bool neox, const float *cos, const float *sin) {
    int half = n_rot / 2, i = 0;
    for (; i + VEC_LANES <= half; i += VEC_LANES) {
        vec x, y, c = vec_load(cos + i), s = vec_load(sin + i);
        if (neox) x = vec_load(head + i), y = vec_load(head + i + half);
        else vec_load_pairs(head + 2 * i, &x, &y);
        vec a = vec_fma(x, c, vec_neg(vec_mul(y, s))), b = vec_fma(x, s, vec_mul(y, c));
        if (neox) vec_store(head + i, a), vec_store(head + i + half, b);
        else vec_store_pairs(head + 2 * i, a, b);
    }
    for (; i < half; i++) {
        float *p = neox ? head + i : head + 2 * i, *q = neox ? head + i + half : head + 2 * i + 1;
        float x = *p, y = *q;
        *p = fmaf(x, cos[i], -(y * sin[i]));
        *q = fmaf(x, sin[i], y * cos[i]);
    }
}

/* ---- rounding to eight bits ---- */

/* The scale of integers up to `most` for a block whose largest magnitude is amax, and what to
 * multiply by (0: all zero). */
static float scale_of(float most, float amax, float *inv) {
    *inv = most / amax;
    if (isnan(amax) || isinf(amax)) {
        *inv = 0;
        return NAN;
    }
    if (!isfinite(*inv)) *inv = 0;
    return *inv == 0 ? 0 : amax / most;
}

/* The largest magnitude of n values, a multiple of 16; NaN when one is NaN or infinite. */
static float largest(const float *x, int n) {
    vec top = vec_zero(), nan = vec_zero();
    for (int i = 0; i < n; i += VEC_LANES) {
        vec v = vec_load(x + i);
        top = vec_max(vec_abs(v), top);
        nan = vec_add(nan, vec_sub(v, v)); /* NaN for NaN and infinities */
    }
    return vec_any_nan(nan) ? NAN : vec_top(top);
}

/* n a multiple of 16. A value times zero may be NaN or -0: then zeros are written outright. */
static float quantize_values(const float *x, int n, int8_t *q) {
    float inv, d = scale_of(127.0f, largest(x, n), &inv);
    vec m = vec_set(inv);
    for (int i = 0; i < n; i += VEC_LANES)
        vec_store_i8(q + i, inv == 0 ? vec_zero() : vec_mul(vec_load(x + i), m));
    return d;
}

static void misc_quantize(const float *x, int64_t k, int8_t *q, float *d, int16_t *sum16) {
    for (int64_t b = 0; b < k / KERN_BLOCK; b++) {
        int8_t *to = q + b * KERN_BLOCK;
        d[b] = quantize_values(x + b * KERN_BLOCK, KERN_BLOCK, to);
        sum16[2 * b] = (int16_t)vec_sum16_i8(to);
        sum16[2 * b + 1] = (int16_t)vec_sum16_i8(to + 16);
    }
}

static void misc_refine(const float *x, int64_t k, const int8_t *q, const float *d, int limit,
                        uint8_t *twice, int8_t *q2, float *d2, int16_t *sum16_2) {
    for (int64_t b = 0; b < k / KERN_BLOCK; b++, q += KERN_BLOCK, x += KERN_BLOCK) {
        int energy = 0;
        for (int e = 0; e < KERN_BLOCK; e++) energy += q[e] * q[e];
        twice[b] = energy > 0 && energy < limit;
        if (!twice[b]) continue;
        float r[KERN_BLOCK];
        vec of = vec_set(d[b]);
        for (int e = 0; e < KERN_BLOCK; e += VEC_LANES)
            vec_store(r + e, vec_fma(vec_neg(vec_load_i8(q + e)), of, vec_load(x + e)));
        misc_quantize(r, KERN_BLOCK, q2 + b * KERN_BLOCK, d2 + b, sum16_2 + b * 2);
    }
}

/* ---- writing KV ---- */

static void misc_kv_write(const kern_kv_shape *s, void *block, int slot, const float *k,
                          const float *v) {
    kv_parts p = kv_parts_of(s, block);
    int nk = s->head_dim_k, nv = s->head_dim_v;
    if (s->type == KERN_KV_F32) {
        float *to = (float *)(void *)p.k + slot;
        for (int i = 0; i < nk; i++) to[i * KERN_PAGE] = k[i];
        memcpy(p.v + (size_t)(slot * nv) * 4, v, (size_t)nv * 4);
    } else if (s->type == KERN_KV_F16) {
        uint16_t h[VEC_LANES], *to = (uint16_t *)(void *)p.k + slot,
                               *row = (uint16_t *)(void *)p.v + slot * nv;
        for (int i = 0; i < nk; i += VEC_LANES) {
            vec_store_f16(h, vec_load(k + i));
            for (int j = 0; j < VEC_LANES; j++) to[(i + j) * KERN_PAGE] = h[j];
        }
        for (int i = 0; i < nv; i += VEC_LANES) vec_store_f16(row + i, vec_load(v + i));
    } else {
        int8_t q[512];
        p.k_scale[slot] = quantize_values(k, nk, q);
        for (int i = 0; i < nk; i++) p.k[kv_key_at(slot, i)] = (uint8_t)(q[i] + 128);
        p.v_scale[slot] = quantize_values(v, nv, q);
        for (int i = 0; i < nv; i++) p.v[kv_value_at(s, slot, i)] = (uint8_t)q[i];
    }
}
