/* Attention over pages, written once on the vectors of vec_<set>.h; include vec_misc.h first.
 * kern_kv.h states what one row computes; here ATTN_ROWS rows share the loads of keys and values.
 * What a row computes does not depend on the rows beside it: scores outside its limits are replaced
 * before they count, and values of tokens that it does not see are never multiplied in, not even by
 * 0.
 */

#define ATTN_ROWS 4

/* A group of rows on one block. */
typedef struct attn_group {
    const kern_attn *a;
    int row[ATTN_ROWS]; /* indices into a's arrays */
    int n;
    int from[ATTN_ROWS], to[ATTN_ROWS]; /* slots seen */
    kv_parts kv;
    uintptr_t ahead;                           /* bytes to the block that comes next, or 0 */
    const struct attn_query *query[ATTN_ROWS]; /* Q8 */
    float p[ATTN_ROWS][KERN_PAGE] __attribute__((aligned(64))); /* scores, then weights */
} attn_group;

VEC_INLINE vec kv_load(kern_kv_type type, const uint8_t *base, int i) {
    if (type == KERN_KV_F32) return vec_load((const float *)(const void *)base + i);
    return vec_load_f16((const uint16_t *)(const void *)base + i);
}

#include "kern/vec_attn_int.h"

/* p[r][t] = fma chain of q[r] and key t; lanes are tokens. */
VEC_INLINE void attn_scores(kern_kv_type type, int R, attn_group *g) {
    const float *q[ATTN_ROWS];
    for (int r = 0; r < R; r++) q[r] = g->a->q[g->row[r]];
    for (int t0 = 0; t0 < KERN_PAGE; t0 += VEC_SCORE_COLS * VEC_LANES) {
        vec s[ATTN_ROWS][VEC_SCORE_COLS];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < VEC_SCORE_COLS; j++) s[r][j] = vec_zero();
        for (int e = 0; e < g->a->shape.head_dim_k; e++) {
            vec k[VEC_SCORE_COLS];
#pragma GCC unroll 4
            for (int j = 0; j < VEC_SCORE_COLS; j++)
                k[j] = kv_load(type, g->kv.k, e * KERN_PAGE + t0 + j * VEC_LANES);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                vec x = vec_set(q[r][e]);
#pragma GCC unroll 4
                for (int j = 0; j < VEC_SCORE_COLS; j++) s[r][j] = vec_fma(x, k[j], s[r][j]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < VEC_SCORE_COLS; j++)
                vec_store(&g->p[r][t0 + j * VEC_LANES], s[r][j]);
    }
}

/* The scores of one row as they count, back to p; returns the largest. `whole`: it sees all. */
VEC_INLINE vec attn_scale(kern_kv_type type, bool whole, attn_group *g, int r) {
    const kern_attn *a = g->a;
    float *p = g->p[r];
    vec lo = vec_set((float)g->from[r]), hi = vec_set((float)g->to[r]), low = vec_set(-INFINITY);
    vec top = low;
#pragma GCC unroll 4
    for (int t = 0; t < KERN_PAGE; t += VEC_LANES) {
        vec s = vec_load(p + t), at = vec_add(vec_iota(), vec_set((float)t));
        if (type != KERN_KV_Q8) s = vec_mul(s, vec_set(a->scale));
        if (a->softcap > 0)
            s = vec_mul(vec_set(a->softcap), vec_tanh(vec_div(s, vec_set(a->softcap))));
        if (!whole) s = vec_less(at, lo, low, vec_less(at, hi, s, low));
        vec_store(p + t, s);
        top = vec_max(s, top);
    }
    return top;
}

/* A row's running sum and accumulator brought to a new maximum. */
VEC_INLINE void attn_raise(const kern_attn *a, int row, float m) {
    if (!(m > a->m[row])) return;
    float c = math_exp(a->m[row] - m);
    a->m[row] = m;
    a->l[row] *= c;
    misc_scale(a->acc[row], c, a->shape.head_dim_v);
}

/* Scores to weights, of R rows side by side: while one waits for its sum the others go on. Q8: the
 * bits of each row's largest, times the values' scales, go to most; those of a NaN are larger. */
VEC_INLINE void attn_weights(kern_kv_type type, bool whole, int R, attn_group *g, uint32_t *most) {
    const kern_attn *a = g->a;
    vec top[ATTN_ROWS], sum[ATTN_ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) top[r] = attn_scale(type, whole, g, r);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) attn_raise(a, g->row[r], vec_top(top[r]));
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        float *p = g->p[r];
        vec lo = vec_set((float)g->from[r]), hi = vec_set((float)g->to[r]);
        vec now = vec_set(a->m[g->row[r]]);
        sum[r] = top[r] = vec_zero();
#pragma GCC unroll 4
        for (int t = 0; t < KERN_PAGE; t += VEC_LANES) {
            vec at = vec_add(vec_iota(), vec_set((float)t));
            vec w = vec_exp(vec_sub(vec_load(p + t), now));
            if (!whole) w = vec_less(at, lo, vec_zero(), vec_less(at, hi, w, vec_zero()));
            sum[r] = vec_add(sum[r], w);
            if (type == KERN_KV_Q8) {
                w = vec_mul(w, vec_load(g->kv.v_scale + t));
                if (!whole) w = vec_less(at, lo, vec_zero(), vec_less(at, hi, w, vec_zero()));
                top[r] = vec_max_bits(top[r], w);
            }
            vec_store(p + t, w);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) a->l[g->row[r]] += vec_sum(sum[r]);
    if (type != KERN_KV_Q8) return;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) most[r] = vec_top_bits(top[r]);
}

/* acc[r] += p[r][t] * value t for t in [from, to), R rows at a time; lanes are channels. */
VEC_INLINE void attn_values_cols(kern_kv_type type, int R, int cols, attn_group *g, const int *rows,
                                 int from, int to, int e0) {
    vec s[ATTN_ROWS][VEC_VALUE_COLS];
    int dim = g->a->shape.head_dim_v;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            s[r][j] = vec_load(g->a->acc[g->row[rows[r]]] + e0 + j * VEC_LANES);
    for (int t = from; t < to; t++) {
        vec v[VEC_VALUE_COLS];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) v[j] = kv_load(type, g->kv.v, t * dim + e0 + j * VEC_LANES);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            vec w = vec_set(g->p[rows[r]][t]);
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++) s[r][j] = vec_fma(w, v[j], s[r][j]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            vec_store(g->a->acc[g->row[rows[r]]] + e0 + j * VEC_LANES, s[r][j]);
}

VEC_INLINE void attn_values(kern_kv_type type, int R, attn_group *g, const int *rows, int from,
                            int to) {
    int e = 0, dim = g->a->shape.head_dim_v;
    if (from >= to) return;
    for (; e + VEC_VALUE_COLS * VEC_LANES <= dim; e += VEC_VALUE_COLS * VEC_LANES)
        attn_values_cols(type, R, VEC_VALUE_COLS, g, rows, from, to, e);
    for (; e + VEC_LANES <= dim; e += VEC_LANES) attn_values_cols(type, R, 1, g, rows, from, to, e);
}

/* R rows on a block that they all see whole, or each in part. */
VEC_INLINE void attn_group_rows(kern_kv_type type, int R, bool whole, attn_group *g) {
    static const int all[ATTN_ROWS] = {0, 1, 2, 3};
    uint32_t most[ATTN_ROWS];
    if (type == KERN_KV_Q8) { /* the scales lie behind keys and values, and are wanted soon */
        for (int t = 0; t < 2 * KERN_PAGE; t += 16) __builtin_prefetch(g->kv.k_scale + t);
        attn_int_scores(R, g);
        attn_weights(type, whole, R, g, most);
        attn_int_values(whole, R, g, most);
        return;
    }
    attn_scores(type, R, g);
    attn_weights(type, whole, R, g, most);
    if (whole) {
        attn_values(type, R, g, all, 0, KERN_PAGE);
        return;
    }
    int from = 0, to = KERN_PAGE; /* what all rows see */
    for (int r = 0; r < R; r++) {
        if (g->from[r] > from) from = g->from[r];
        if (g->to[r] < to) to = g->to[r];
    }
    if (from >= to) from = to = KERN_PAGE; /* nothing in common: each row alone */
    for (int r = 0; r < R; r++)
        attn_values(type, 1, g, &all[r], g->from[r], g->to[r] < from ? g->to[r] : from);
    attn_values(type, R, g, all, from, to);
    for (int r = 0; r < R; r++)
        attn_values(type, 1, g, &all[r], g->from[r] > to ? g->from[r] : to, g->to[r]);
}

VEC_INLINE void attn_group_block(kern_kv_type type, attn_group *g) {
    bool whole = true;
    for (int r = 0; r < g->n; r++) whole = whole && g->from[r] == 0 && g->to[r] == KERN_PAGE;
    if (whole && g->n == ATTN_ROWS) {
        attn_group_rows(type, ATTN_ROWS, true, g);
        return;
    }
    switch (g->n) {
    case 1: attn_group_rows(type, 1, false, g); break;
    case 2: attn_group_rows(type, 2, false, g); break;
    case 3: attn_group_rows(type, 3, false, g); break;
    default: attn_group_rows(type, 4, false, g); break;
    }
}

/* Rows [i0, i0 + n) on block b: those that see some of it. Only the first rows of an item bring the
 * next block: the others find it. */
static void attn_rows_block(const kern_attn *a, int i0, int n, int b, const attn_query *query) {
    attn_group g;
    g.a = a, g.n = 0;
    for (int i = i0; i < i0 + n; i++) {
        int from, to;
        kv_visible(a, i, b, &from, &to);
        if (from >= to) continue;
        g.row[g.n] = i, g.from[g.n] = from, g.to[g.n] = to;
        g.query[g.n++] = &query[i - i0];
    }
    if (g.n == 0) return;
    g.kv = kv_parts_of(&a->shape, a->block[b]);
    g.ahead = 0;
    if (i0 == 0 && b + 1 < a->n_blocks)
        g.ahead = (uintptr_t)a->block[b + 1] - (uintptr_t)a->block[b];
    switch (a->shape.type) {
    case KERN_KV_F32: attn_group_block(KERN_KV_F32, &g); break;
    case KERN_KV_F16: attn_group_block(KERN_KV_F16, &g); break;
    case KERN_KV_Q8: attn_group_block(KERN_KV_Q8, &g); break;
    }
}

static void vec_attn(const kern_attn *a) {
    for (int i = 0; i < a->n_rows; i++) {
        a->m[i] = -INFINITY;
        a->l[i] = 0;
        memset(a->acc[i], 0, (size_t)a->shape.head_dim_v * sizeof(float));
    }
    for (int i = 0; i < a->n_rows; i += ATTN_ROWS) {
        int n = a->n_rows - i < ATTN_ROWS ? a->n_rows - i : ATTN_ROWS;
        attn_query query[ATTN_ROWS];
        for (int r = 0; r < n && a->shape.type == KERN_KV_Q8; r++)
            attn_query_round(a, i + r, &query[r]);
        for (int b = 0; b < a->n_blocks; b++) attn_rows_block(a, i, n, b, query);
    }
}
