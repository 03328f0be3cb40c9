/* A KV block, byte by byte. Inside the kern room only.
 *
 *   K  [head_dim_k][64 tokens]   F32, F16 or int8
 *   V  [64 tokens][head_dim_v]   the same type
 *   Q8 only: float K scale [64], float V scale [64]; an element is int8 * scale of its token
 *
 * A row's arithmetic over one block: s[t] is the fma chain over head_dim from 0, for Q8 times the
 * token's K scale, times a->scale, then the soft cap. m' = max(m, s over visible t). When m' is
 * above m: l and acc are multiplied by exp(m - m'). p[t] = exp(s[t] - m'), l += sum p (64 lanes,
 * those not visible are 0), acc = fma(p[t] (Q8: times V scale), v[t], acc) for visible t in order.
 * A block of which the row sees nothing is passed over. So a row's bits depend on nothing but the
 * row.
 */
#ifndef HEARTH_KERN_KV_H
#define HEARTH_KERN_KV_H

#include "kern/kern.h"

static inline size_t kv_elem_bytes(kern_kv_type t) {
    return t == KERN_KV_F32 ? 4 : t == KERN_KV_F16 ? 2 : 1;
}

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
