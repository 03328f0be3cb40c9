/* A KV block, byte by byte. Inside the kern room only.
 *
 *   F32, F16
 *     K  [head_dim_k][64 tokens]
 *     V  [64 tokens][head_dim_v]
 *   Q8: an element is an integer of -127 .. 127 times its token's scale
 *     K  uint8 [head_dim_k / 4][64 tokens][4 channels]   the integer + 128
 *     V  int8  [64 / 4][head_dim_v][4 tokens]
 *     float K scale [64], float V scale [64]
 *
 * A row's arithmetic over one block: s[t] is its score, then the soft cap. m' = max(m, s over
 * visible t). When m' is above m: l and acc are multiplied by exp(m - m'). p[t] = exp(s[t] - m'),
 * l += sum p (64 lanes, those not visible are 0), and the values are added to acc. A block of which
 * the row sees nothing is passed over. So a row's bits depend on nothing but the row.
 *
 * F32, F16: s[t] is the fma chain over head_dim from 0, times a->scale; acc = fma(p[t], v[t], acc)
 * for visible t in order.
 *
 * Q8: products are exact in integers. round(x): d = max |x| / 32512, then round-half-even(x *
 * (32512 / max |x|)), which are integers of 16 bits; d and all integers are zero when max |x| is 0
 * or so small that the quotient is not finite; d is NaN when an x is not finite. Of the query:
 * dq, q = round(q). dot = sum over head_dim of q * k, s[t] = (float)dot * K scale[t] * (dq *
 * a->scale), from the left. Of the block: dw, w = round(p[t] * V scale[t], visible t).
 * dot = sum over visible t of w[t] * v[t], acc = fma((float)dot, dw, acc). So m and acc are the
 * same bits in every variant.
 */
#ifndef HEARTH_KERN_KV_H
#define HEARTH_KERN_KV_H

#include "kern/kern.h"

static inline size_t kv_elem_bytes(kern_kv_type t) {
    return t == KERN_KV_F32 ? 4 : t == KERN_KV_F16 ? 2 : 1;
}

/* Q8: where a token's channel is. */
static inline size_t kv_key_at(int slot, int channel) {
    return (size_t)((channel / 4 * KERN_PAGE + slot) * 4 + channel % 4);
}
static inline size_t kv_value_at(const kern_kv_shape *s, int slot, int channel) {
    return (size_t)((slot / 4 * s->head_dim_v + channel) * 4 + slot % 4);
}

/* Q8: queries and weights are integers up to this, 127 * 256. 512 products with a byte stay under
 * 2^31. */
#define KV_INT 32512.0f

typedef struct kv_parts {
    uint8_t *k, *v;
    float *k_scale, *v_scale; /* Q8 */
} kv_parts;

static inline kv_parts kv_parts_of(const kern_kv_shape *s, const void *block) {
    kv_parts p;
    size_t elem = kv_elem_bytes(s->type);
    p.k = (uint8_t *)(uintptr_t)block; /* one struct for readers and the writer */
    p.v = p.k + (size_t)s->head_dim_k * KERN_PAGE * elem;
    p.k_scale = (float *)(void *)(p.v + (size_t)s->head_dim_v * KERN_PAGE * elem);
    p.v_scale = p.k_scale + KERN_PAGE;
    return p;
}

/* Slots of block b that row i sees: [*from, *to), empty when from >= to. */
static inline void kv_visible(const kern_attn *a, int i, int b, int *from, int *to) {
    int32_t first = a->pos0 + b * KERN_PAGE;
    int32_t lo = a->lo[i] - first, hi = a->hi[i] - first;
    *from = lo < 0 ? 0 : lo > KERN_PAGE ? KERN_PAGE : lo;
    *to = hi < 0 ? 0 : hi > KERN_PAGE ? KERN_PAGE : hi;
}

#endif
