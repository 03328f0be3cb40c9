/* Attention's products over Q8 pages, exact in integers; included by vec_attn.h, whose rows and
 * weights these are. kern_kv.h states what is computed.
 *
 * Scores and values are the same work: a vector has the bytes of VEC_LANES tokens' (channels') next
 * four channels (tokens), and a row's four integers of 15 bits are broadcast to it. An instruction
 * takes bytes, so a row is kept split, x = 256 * high + low: n bytes high, then n bytes low, and
 * each has its accumulator.
 *
 * What a set's header says of it, `keys` telling keys (unsigned, 128 added) from values (signed):
 *     vec_int_load(keys, p)             VEC_LANES x 4 bytes, as vec_int_dot takes them
 *     vec_int_dot(keys, acc, w, x)      acc plus the products of w with four bytes of a row
 *     vec_int_split(keys, high, low, a) VEC_LANES integers of a row, rounded from floats
 *     vec_int_join(high, low)           256 * high + low
 *     VEC_INT_COLS(rows)                vectors at a time beside that many rows
 * A set that does better otherwise (VEC_INT_WIDE) has the three below itself. Whether it subtracts
 * the 128 of keys at loading or not at all is its own affair: see `zero`.
 */

#define ATTN_DIM 512   /* largest head */
#define ATTN_NEAR 2048 /* bytes */

/* A query row as integers. */
typedef struct attn_query {
    uint8_t x[2 * ATTN_DIM] __attribute__((aligned(64)));
    ivec zero;   /* its product with keys that are all 0: to be subtracted */
    float scale; /* of a score: that of x, times a->scale */
} attn_query;

#ifndef VEC_INT_WIDE
/* Elements i .. i + VEC_LANES of a row of n. */
VEC_INLINE void vec_int_store(bool keys, uint8_t *row, int n, int i, vec a) {
    vec_int_split(keys, row + i, row + n + i, a);
}
/* acc is [2]; g: which four of the row's n. */
VEC_INLINE void vec_int_step(bool keys, ivec *acc, vec_int w, const uint8_t *row, int n, int g) {
    int32_t high, low;
    memcpy(&high, row + 4 * g, 4);
    memcpy(&low, row + n + 4 * g, 4);
    acc[0] = vec_int_dot(keys, acc[0], w, ivec_set32(high));
    acc[1] = vec_int_dot(keys, acc[1], w, ivec_set32(low));
}
VEC_INLINE ivec vec_int_end(const ivec *acc) {
    return vec_int_join(acc[0], acc[1]);
}
#endif

/* Integers with one scale, which is returned; n a multiple of 16. */
VEC_INLINE float attn_round(bool keys, const float *a, int n, uint8_t *row, float amax) {
    float inv, d = scale_of(KV_INT, amax, &inv);
    for (int i = 0; i < n; i += VEC_LANES) {
        vec x = inv == 0 ? vec_zero() : vec_mul(vec_load(a + i), vec_set(inv));
        vec_int_store(keys, row, n, i, x);
    }
    return d;
}

static void attn_query_round(const kern_attn *a, int row, attn_query *to) {
    const int n = a->shape.head_dim_k;
    uint8_t zeros[VEC_BYTES];
    memset(zeros, 128, sizeof zeros);
    to->scale = attn_round(true, a->q[row], n, to->x, largest(a->q[row], n)) * a->scale;
    ivec acc[2] = {ivec_set32(0), ivec_set32(0)};
    for (int g = 0; g < n / 4; g++) vec_int_step(true, acc, vec_int_load(true, zeros), to->x, n, g);
    to->zero = vec_int_end(acc);
}

/* Products of R rows with `cols` vectors at p, whose next four are `step` bytes on; groups [g0, g1)
 * of n elements, both multiples of 4. `ahead`: bytes to the block that comes next. It is hinted at
 * beside each reading: such a block is too small for the hardware to learn its way before it ends.
 * Hints come faster than memory, and some are lost: so a line is hinted at again shortly before. */
VEC_INLINE void attn_int_dots(bool keys, int R, int cols, const uint8_t *p, size_t step,
                              uintptr_t ahead, const uint8_t *const *row, int n, int g0, int g1,
                              ivec out[ATTN_ROWS][4]) {
    ivec acc[ATTN_ROWS][4][2];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) acc[r][j][0] = acc[r][j][1] = ivec_set32(0);
    p += (size_t)g0 * step;
#pragma GCC unroll 1
    for (int g = g0; g < g1; g += 4) { /* or GCC copies its accumulators to and fro */
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++, p += step) {
            vec_int w[4];
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++) {
                const uint8_t *at = p + j * VEC_BYTES;
                w[j] = vec_int_load(keys, at);
                if (j * VEC_BYTES % 64 == 0) {
                    __builtin_prefetch((const void *)((uintptr_t)at + ahead), 0, 2);
                    __builtin_prefetch((const void *)((uintptr_t)at + ATTN_NEAR), 0, 2);
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < R; r++)
#pragma GCC unroll 4
                for (int j = 0; j < cols; j++)
                    vec_int_step(keys, acc[r][j], w[j], row[r], n, g + i);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) out[r][j] = vec_int_end(acc[r][j]);
}

/* p[r][t] = score of row r and token t, before the soft cap; lanes are tokens. */
VEC_INLINE void attn_int_scores(int R, attn_group *g) {
    const int n = g->a->shape.head_dim_k, cols = VEC_INT_COLS(R);
    const uint8_t *x[ATTN_ROWS];
    for (int r = 0; r < R; r++) x[r] = g->query[r]->x;
    for (int t = 0; t < KERN_PAGE; t += cols * VEC_LANES) {
        ivec dot[ATTN_ROWS][4];
        attn_int_dots(true, R, cols, g->kv.k + t * 4, KERN_PAGE * 4, g->ahead, x, n, 0, n / 4, dot);
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) {
            vec scale = vec_load(g->kv.k_scale + t + j * VEC_LANES);
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) {
                vec s = ivec_to_vec(ivec_sub32(dot[r][j], g->query[r]->zero));
                s = vec_mul(vec_mul(s, scale), vec_set(g->query[r]->scale));
                vec_store(&g->p[r][t + j * VEC_LANES], s);
            }
        }
    }
}

/* acc[r] += row r's weights times values; lanes are channels. */
VEC_INLINE void attn_int_values_cols(int R, int cols, attn_group *g, const uint8_t *const *x,
                                     const float *scale, int g0, int g1, int e) {
    ivec dot[ATTN_ROWS][4];
    attn_int_dots(false, R, cols, g->kv.v + e * 4, (size_t)g->a->shape.head_dim_v * 4, g->ahead, x,
                  KERN_PAGE, g0, g1, dot);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) {
            float *to = g->a->acc[g->row[r]] + e + j * VEC_LANES;
            vec_store(to, vec_fma(ivec_to_vec(dot[r][j]), vec_set(scale[r]), vec_load(to)));
        }
}

/* `top`: the bits of each row's largest weight. What a row does not see has the weight 0, so that
 * all rows can go through what some of them see. */
VEC_INLINE void attn_int_values(bool whole, int R, attn_group *g, const uint32_t *top) {
    const int dim = g->a->shape.head_dim_v, cols = VEC_INT_COLS(R);
    uint8_t bytes[ATTN_ROWS][2 * KERN_PAGE] __attribute__((aligned(64)));
    const uint8_t *x[ATTN_ROWS];
    float scale[ATTN_ROWS];
    int e = 0, from = whole ? 0 : KERN_PAGE, to = whole ? KERN_PAGE : 0;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        float amax;
        memcpy(&amax, &top[r], 4);
        scale[r] = attn_round(false, g->p[r], KERN_PAGE, bytes[r], amax);
        x[r] = bytes[r];
        if (!whole && g->from[r] < from) from = g->from[r];
        if (!whole && g->to[r] > to) to = g->to[r];
    }
    int g0 = from / 16 * 4, g1 = (to + 15) / 16 * 4;
    for (; e + cols * VEC_LANES <= dim; e += cols * VEC_LANES)
        attn_int_values_cols(R, cols, g, x, scale, g0, g1, e);
    for (; e < dim; e += VEC_LANES) attn_int_values_cols(R, 1, g, x, scale, g0, g1, e);
}
