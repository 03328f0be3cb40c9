/* Products with packed panels, written once on the vectors of vec_<set>.h, which is included first.
 * kern.h has the arithmetic, kern_panel.h the layout.
 *
 * A lane is a row: a vector of weights is VEC_LANES rows x 4 elements, and one dot-product step
 * with four of a token's values, broadcast, adds four products to each row. The unsigned weights'
 * offset costs nothing: integer accumulators start at -offset * (sum of the token's values).
 *
 * One inline function, tile, computes V vectors of rows x N tokens over one chunk, with V x N
 * integer and as many float accumulators in registers. It reads weights either straight from the
 * packed planes (few tokens: memory is the limit) or from a buffer into which the chunk was
 * unpacked once (many tokens). Between chunks the float accumulators live in c. The compiler makes
 * a copy for each kind of planes, of scales, and N.
 *
 * What the set's header says of dot products: part = vec_dot_begin(dot); some groups of
 * part = vec_dot_step(max_w, part, w, q), VEC_DOT_SPAN(max_w) of them; dot = vec_dot_end(dot,
 * part). A set that subtracts something from w first names it in VEC_DOT_BIAS(max_w).
 */
#include "kern/kern_panel.h"
#include "quant/quant.h"

#include <string.h>

#define VECS (KERN_ROWS / VEC_LANES) /* vectors that hold a panel's rows */
#define TILE VEC_TILE_TOKENS         /* tokens of the largest tile: 4 or 6 */
/* Up to DIRECT tokens nothing is staged, and a tile has so few that it can have most rows: one walk
 * through memory, with the further tiles of a chunk reading it from the cache. */
#ifdef VEC_DIRECT
#define DIRECT VEC_DIRECT
#else
#define DIRECT 9
#endif
#if TILE == 6
#define DIRECT_TILE 4
#else
#define DIRECT_TILE 3 /* fewer registers */
#endif

typedef enum {
    W_STAGED,
    W_NIBBLE,
    W_NIBBLE_BIT,
    W_NIBBLE_PAIR,
    W_TABLE,
    W_BYTE,
    W_PAIR,
    W_PAIR_BIT
} planes_kind;
typedef enum { S_STAGED, S_F16, S_E8M0, S_K, S_K_PACKED } scales_kind;

/* What tells the copies apart: type, planes, scales, class; class: elements a scale, minimum,
 * largest w. */
#ifndef FOR_EACH_FORMAT /* whoever includes this may name fewer: the rest goes to the reference */
#define FOR_EACH_FORMAT(X)                                                                         \
    X(Q4_0, W_NIBBLE, S_F16, C4)                                                                   \
    X(Q4_1, W_NIBBLE, S_F16, C4_MIN)                                                               \
    X(Q5_0, W_NIBBLE_BIT, S_F16, C5)                                                               \
    X(Q5_1, W_NIBBLE_BIT, S_F16, C5_MIN)                                                           \
    X(Q8_0, W_BYTE, S_F16, C8)                                                                     \
    X(Q2_K, W_PAIR, S_K_PACKED, C2_MIN)                                                            \
    X(Q3_K, W_PAIR_BIT, S_K, C3)                                                                   \
    X(Q4_K, W_NIBBLE, S_K, C4_MIN)                                                                 \
    X(Q5_K, W_NIBBLE_BIT, S_K, C5_MIN)                                                             \
    X(Q6_K, W_NIBBLE_PAIR, S_K, C6)                                                                \
    X(IQ4_NL, W_TABLE, S_F16, C8)                                                                  \
    X(IQ4_XS, W_TABLE, S_K, C8)                                                                    \
    X(MXFP4, W_TABLE, S_E8M0, C5)
#endif

typedef struct class_of {
    int sub;
    bool has_min;
    int max_w;
} class_of;
#define C2_MIN ((class_of){16, true, 3})
#define C3 ((class_of){16, false, 7})
#define C4 ((class_of){32, false, 15})
#define C4_MIN ((class_of){32, true, 15})
#define C5 ((class_of){32, false, 31})
#define C5_MIN ((class_of){32, true, 31})
#define C6 ((class_of){16, false, 63})
#define C8 ((class_of){32, false, 255})
#define FOR_EACH_CLASS(X) X(C2_MIN) X(C3) X(C4) X(C4_MIN) X(C5) X(C5_MIN) X(C6) X(C8)

/* A chunk as the tile reads it: packed, or unpacked in w, scale, min. */
typedef struct chunk_view {
    panel_chunk p;
    const uint8_t *w;
    const float *scale, *min;
    const uint8_t *table;
    int kc;
    size_t ahead;        /* bytes to the same place of the next chunk */
    const uint8_t *next; /* W_STAGED: where the tile's hints for the next chunk begin, and how */
    int next_lines;      /* many lines it names beside each block */
} chunk_view;

/* Up to TILE tokens' part of a chunk. Types with a minimum have no offset: they need dsum, the
 * others start. */
typedef struct tokens {
    int32_t start[TILE][16]; /* -offset * sum, per sub-block */
    float dsum[TILE][16];    /* d * sum, per sub-block */
    float d[TILE][8];
    const int8_t *q[TILE];
} __attribute__((aligned(64))) tokens;

/* ---- weights ---- */

/* A hint beside each reading of a packed line: the same place of the next chunk will be wanted, in
 * the second-level cache. Planes and scales are streams of their own: a fixed distance would miss
 * the beginnings of most; and hints given in one burst block each other. */
VEC_INLINE void prefetch(const chunk_view *v, const void *p) {
    __builtin_prefetch((const uint8_t *)p + v->ahead, 0, 2);
}
VEC_INLINE void prefetch_w(planes_kind kind, const chunk_view *v, int g, int j) {
    const int at = j * VEC_BYTES;
    if (kind == W_STAGED || at % 64) return;
    if (kind == W_BYTE) prefetch(v, v->p.bytes + g * 256 + at);
    bool nibbles = kind >= W_NIBBLE && kind <= W_TABLE;
    if (nibbles && g % 2 == 0) prefetch(v, v->p.nibbles + g / 2 * 256 + at);
    bool pairs = kind == W_NIBBLE_PAIR || kind == W_PAIR || kind == W_PAIR_BIT;
    if (pairs && g % 4 == 0) prefetch(v, v->p.pairs + g / 4 * 256 + at);
    bool bits = kind == W_NIBBLE_BIT || kind == W_PAIR_BIT;
    if (bits && j == 0 && g % 2 == 0) prefetch(v, v->p.bits + g * 32);
}
/* Staged weights are in the cache; the next chunk's packed bytes are not, and all are wanted at
 * once. Hints for them are spread over the tiles of this chunk. at: blocks of this tile so far. */
VEC_INLINE void prefetch_next(const chunk_view *v, int at) {
    const uint8_t *p = v->next + at * v->next_lines * 64;
    for (int i = 0; i < v->next_lines; i++) __builtin_prefetch(p + i * 64, 0, 2);
}
VEC_INLINE void prefetch_scale(scales_kind kind, const chunk_view *v, bool min, int at) {
    if (kind == S_F16 && at % 32 == 0) prefetch(v, (min ? v->p.m : v->p.d) + at);
    if (at % KERN_ROWS) return;
    if (kind == S_E8M0) prefetch(v, v->p.e + at);
    if (kind == S_K && min) prefetch(v, v->p.sub_min + at);
    if (kind == S_K_PACKED || (kind == S_K && !min)) prefetch(v, v->p.sub_scale + at);
}

/* Group g (four elements) of vector j of the panel's rows. */
VEC_INLINE ivec load_w(planes_kind kind, const chunk_view *v, int g, int j) {
    const int at = j * VEC_BYTES;
    prefetch_w(kind, v, g, j);
    if (kind == W_STAGED) return ivec_load(v->w + g * 256 + at);
    if (kind == W_BYTE) return ivec_load(v->p.bytes + g * 256 + at);
    ivec w;
    if (kind == W_PAIR || kind == W_PAIR_BIT) {
        w = ivec_load(v->p.pairs + g / 4 * 256 + at);
        int i = g % 4;
        w = i == 1 ? IVEC_RIGHT(w, 2) : i == 2 ? IVEC_RIGHT(w, 4) : i == 3 ? IVEC_RIGHT(w, 6) : w;
        w = ivec_and(w, ivec_set8(3));
    } else {
        w = ivec_load(v->p.nibbles + g / 2 * 256 + at);
        w = ivec_and(g % 2 ? IVEC_RIGHT(w, 4) : w, ivec_set8(15));
    }
    if (kind == W_TABLE) w = ivec_table(v->table, w);
    if (kind == W_NIBBLE_PAIR) {
        ivec h = ivec_load(v->p.pairs + g / 4 * 256 + at);
        int i = g % 4;
        h = i == 0 ? IVEC_LEFT(h, 4) : i == 1 ? IVEC_LEFT(h, 2) : i == 3 ? IVEC_RIGHT(h, 2) : h;
        w = ivec_or(ivec_and(h, ivec_set8(0x30)), w);
    }
    if (kind == W_NIBBLE_BIT) w = ivec_add_bits(w, v->p.bits + g * 32 + at / 8, 16);
    if (kind == W_PAIR_BIT) w = ivec_add_bits(w, v->p.bits + g * 32 + at / 8, 4);
    return w;
}

/* Steps over e elements (a multiple of 16) of the planes that there are. */
VEC_INLINE void advance_w(planes_kind kind, chunk_view *v, int e) {
    if (kind == W_STAGED) v->w += e * KERN_ROWS;
    if (kind == W_BYTE) v->p.bytes += e * KERN_ROWS;
    if (kind >= W_NIBBLE && kind <= W_TABLE) v->p.nibbles += e * KERN_ROWS / 2;
    if (kind == W_NIBBLE_PAIR || kind == W_PAIR || kind == W_PAIR_BIT)
        v->p.pairs += e * KERN_ROWS / 4;
    if (kind == W_NIBBLE_BIT || kind == W_PAIR_BIT) v->p.bits += e * KERN_ROWS / 8;
}

/* ---- scales ---- */

/* Of sub-block s, for vector j of the rows. */
VEC_INLINE vec load_scale(scales_kind kind, const chunk_view *v, int s, int j) {
    int at = s * KERN_ROWS + j * VEC_LANES;
    prefetch_scale(kind, v, false, at);
    if (kind == S_STAGED) return vec_load(v->scale + at);
    if (kind == S_F16) return vec_load_f16(v->p.d + at);
    if (kind == S_E8M0) return vec_load_e8m0(v->p.e + at);
    vec scale = kind == S_K_PACKED ? vec_load_low4(v->p.sub_scale + at)
                                   : vec_load_i8(v->p.sub_scale + at);
    return vec_mul(vec_load_f16(v->p.d + j * VEC_LANES), scale);
}

VEC_INLINE vec load_min(scales_kind kind, const chunk_view *v, int s, int j) {
    int at = s * KERN_ROWS + j * VEC_LANES;
    prefetch_scale(kind, v, true, at);
    if (kind == S_STAGED) return vec_load(v->min + at);
    if (kind == S_F16) return vec_load_f16(v->p.m + at);
    vec m = kind == S_K_PACKED ? vec_load_high4(v->p.sub_scale + at)
                               : vec_load_i8((const int8_t *)v->p.sub_min + at);
    return vec_neg(vec_mul(vec_load_f16(v->p.m + j * VEC_LANES), m));
}

/* Steps over some sub-blocks. */
VEC_INLINE void advance_scale(scales_kind kind, chunk_view *v, int subs) {
    int n = subs * KERN_ROWS;
    if (kind == S_STAGED) v->scale += n, v->min += n;
    if (kind == S_F16) v->p.d += n, v->p.m += n;
    if (kind == S_E8M0) v->p.e += n;
    if (kind == S_K || kind == S_K_PACKED) v->p.sub_scale += n, v->p.sub_min += n;
}

/* ---- the tile ---- */

/* A token's values as dot products take them. A set that can pick four out of a vector of 4 *
 * VEC_Q_GROUPS says so; else one group's four are broadcast. */
#ifndef VEC_Q_GROUPS
#define VEC_Q_GROUPS 1
VEC_INLINE ivec vec_load_q(const int8_t *q) {
    int32_t v;
    memcpy(&v, q, 4);
    return ivec_set32(v);
}
VEC_INLINE ivec vec_dot_group(int max_w, ivec part, ivec w, ivec q, int group) {
    (void)group;
    return vec_dot_step(max_w, part, w, q);
}
#endif

/* Groups that are unpacked together, because they share bytes. */
VEC_INLINE int plane_step(planes_kind wk) {
    if (wk == W_STAGED) return VEC_STAGED_STEP;
    return wk == W_BYTE ? 1 : wk == W_PAIR || wk == W_PAIR_BIT || wk == W_NIBBLE_PAIR ? 4 : 2;
}

#ifdef VEC_PAIRS
/* One sub-block of staged weights by pairs of rows and tokens; the same numbers as tile_dots'. Of
 * an odd token the partner is itself. */
VEC_INLINE void tile_dots_pairs(class_of cl, int V, int N, const chunk_view *v, const tokens *t,
                                int j0, int b, int s, ivec dot[TILE][VECS]) {
    const int subs = KERN_BLOCK / cl.sub, at = b * subs + s, pairs = (N + 1) / 2;
    const uint8_t *w = v->w + s * cl.sub * KERN_ROWS + j0 * 2 * VEC_BYTES;
    ivec acc[TILE / 2][VECS][2];
#pragma GCC unroll 3
    for (int p = 0; p < pairs; p++) {
        int second = 2 * p + 1 < N ? 2 * p + 1 : 2 * p;
#pragma GCC unroll 8
        for (int j = 0; j < V; j++)
            acc[p][j][0] = acc[p][j][1] = cl.has_min ? vec_pair_start(0, 0)
                                                     : vec_pair_start(t->start[2 * p][at],
                                                                      t->start[second][at]);
    }
#pragma GCC unroll 1
    for (int e = 0; e < cl.sub; e += 8, w += 8 * KERN_ROWS) {
        ivec q[TILE / 2];
#pragma GCC unroll 3
        for (int p = 0; p < pairs; p++) {
            int second = 2 * p + 1 < N ? 2 * p + 1 : 2 * p, from = at * cl.sub + e;
            q[p] = vec_pair_tokens(&t->q[2 * p][from], &t->q[second][from]);
        }
#pragma GCC unroll 8
        for (int j = 0; j < V; j++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                ivec rows = ivec_load(w + (2 * j + h) * VEC_BYTES);
#pragma GCC unroll 3
                for (int p = 0; p < pairs; p++)
                    acc[p][j][h] = vec_pair_step(acc[p][j][h], rows, q[p]);
            }
    }
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 8
        for (int j = 0; j < V; j++) dot[i][j] = vec_pair_rows_of(acc[i / 2][j], i % 2);
}
#endif

/* One sub-block: dot[i][j] of N tokens and V vectors. b: the block; s: the sub-block in it. The
 * loop over steps stays a loop: the hardware's prefetch follows a few loads that walk through
 * memory better than many that each leap. */
VEC_INLINE void tile_dots(planes_kind wk, class_of cl, int V, int N, const chunk_view *v,
                          const tokens *t, int j0, int b, int s, ivec dot[TILE][VECS]) {
#ifdef VEC_PAIRS
    if (wk == W_STAGED) {
        tile_dots_pairs(cl, V, N, v, t, j0, b, s, dot);
        return;
    }
#endif
    const int subs = KERN_BLOCK / cl.sub, groups = cl.sub / 4, span = VEC_DOT_SPAN(cl.max_w);
    const int planes = plane_step(wk) > span ? plane_step(wk) : span,
              least = planes > VEC_Q_GROUPS ? planes : VEC_Q_GROUPS,
              step = least < groups ? least : groups;
    ivec part[TILE][VECS], q[TILE];
    chunk_view at = *v;
    advance_w(wk, &at, s * cl.sub);
    int e = b * KERN_BLOCK + s * cl.sub;
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 8
        for (int j = 0; j < V; j++)
            dot[i][j] = ivec_set32(cl.has_min ? 0 : t->start[i][b * subs + s]);
#pragma GCC unroll 1
    for (int g0 = 0; g0 < groups; g0 += step, e += 4 * step) {
#pragma GCC unroll 8
        for (int g = 0; g < step; g++) {
            ivec w[VECS];
#pragma GCC unroll 8
            for (int j = 0; j < V; j++) w[j] = load_w(wk, &at, g, j0 + j);
#pragma GCC unroll 6
            for (int i = 0; i < N; i++) {
                if (g % VEC_Q_GROUPS == 0) q[i] = vec_load_q(t->q[i] + e + g * 4);
#pragma GCC unroll 8
                for (int j = 0; j < V; j++) {
                    if (g % span == 0) part[i][j] = vec_dot_begin(dot[i][j]);
                    part[i][j] = vec_dot_group(cl.max_w, part[i][j], w[j], q[i], g % VEC_Q_GROUPS);
                    if (g % span == span - 1 || g == step - 1)
                        dot[i][j] = vec_dot_end(dot[i][j], part[i][j]);
                }
            }
        }
        advance_w(wk, &at, 4 * step);
    }
}

/* Vectors j0 .. j0 + V of rows x N tokens over one chunk; c: [N][64], started at zero when `first`.
 * */
VEC_INLINE void tile(planes_kind wk, scales_kind sk, class_of cl, int V, int N,
                     const chunk_view *whole, const tokens *t, int j0, bool first, float *c) {
    vec f[TILE][VECS];
    ivec dot[TILE][VECS];
    chunk_view v = *whole;
    const int subs = KERN_BLOCK / cl.sub;
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 8
        for (int j = 0; j < V; j++)
            f[i][j] = first ? vec_zero() : vec_load(c + i * 64 + (j0 + j) * VEC_LANES);
    for (int b = 0; b < v.kc / KERN_BLOCK; b++) {
        if (wk == W_STAGED) prefetch_next(whole, j0 / V * (v.kc / KERN_BLOCK) + b);
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++) {
            tile_dots(wk, cl, V, N, &v, t, j0, b, s, dot);
#pragma GCC unroll 8
            for (int j = 0; j < V; j++) {
                vec scale = load_scale(sk, &v, s, j0 + j);
#pragma GCC unroll 6
                for (int i = 0; i < N; i++)
                    f[i][j] = vec_fma(ivec_to_vec(dot[i][j]), vec_mul(scale, vec_set(t->d[i][b])),
                                      f[i][j]);
            }
        }
        const int min_subs = cl.has_min ? subs : 0;
#pragma GCC unroll 2
        for (int s = 0; s < min_subs; s++)
#pragma GCC unroll 8
            for (int j = 0; j < V; j++) {
                vec min = load_min(sk, &v, s, j0 + j);
#pragma GCC unroll 6
                for (int i = 0; i < N; i++)
                    f[i][j] = vec_fma(min, vec_set(t->dsum[i][b * subs + s]), f[i][j]);
            }
        advance_w(wk, &v, KERN_BLOCK);
        advance_scale(sk, &v, subs);
    }
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 8
        for (int j = 0; j < V; j++) vec_store(c + i * 64 + (j0 + j) * VEC_LANES, f[i][j]);
}

typedef void (*tile_fn)(const chunk_view *v, const tokens *t, bool first, float *c);

#define TILE_FN(name, wk, sk, cl, V, N)                                                            \
    static void name(const chunk_view *v, const tokens *t, bool first, float *c) {                 \
        for (int j0 = 0; j0 < VECS; j0 += V) tile(wk, sk, cl, V, N, v, t, j0, first, c);           \
    }
#define TILE_FNS_3(name, wk, sk, cl)                                                               \
    TILE_FN(name##_1, wk, sk, cl, VEC_TILE_ROWS(1), 1)                                             \
    TILE_FN(name##_2, wk, sk, cl, VEC_TILE_ROWS(2), 2)                                             \
    TILE_FN(name##_3, wk, sk, cl, VEC_TILE_ROWS(3), 3)
#define TILE_FNS_4(name, wk, sk, cl)                                                               \
    TILE_FNS_3(name, wk, sk, cl)                                                                   \
    TILE_FN(name##_4, wk, sk, cl, VEC_TILE_ROWS(4), 4)
#if TILE == 6
#define TILE_FNS(name, wk, sk, cl)                                                                 \
    TILE_FNS_4(name, wk, sk, cl)                                                                   \
    TILE_FN(name##_5, wk, sk, cl, VEC_TILE_ROWS(5), 5)                                             \
    TILE_FN(name##_6, wk, sk, cl, VEC_TILE_ROWS(6), 6)                                             \
    static const tile_fn name[TILE] = {name##_1, name##_2, name##_3, name##_4, name##_5, name##_6};
#else
#define TILE_FNS(name, wk, sk, cl)                                                                 \
    TILE_FNS_4(name, wk, sk, cl)                                                                   \
    static const tile_fn name[TILE] = {name##_1, name##_2, name##_3, name##_4};
#endif

/* Straight from the planes. */
#if DIRECT_TILE == 4
#define DIRECT_FNS(type, wk, sk, cl)                                                               \
    TILE_FNS_4(direct_##type, wk, sk, cl)                                                          \
    static const tile_fn direct_##type[DIRECT_TILE] = {direct_##type##_1, direct_##type##_2,       \
                                                       direct_##type##_3, direct_##type##_4};
#else
#define DIRECT_FNS(type, wk, sk, cl)                                                               \
    TILE_FNS_3(direct_##type, wk, sk, cl)                                                          \
    static const tile_fn direct_##type[DIRECT_TILE] = {direct_##type##_1, direct_##type##_2,       \
                                                       direct_##type##_3};
#endif
FOR_EACH_FORMAT(DIRECT_FNS)

/* From the staging buffer, 1 to TILE tokens. */
#define STAGED_FNS(cl) TILE_FNS(staged_##cl, W_STAGED, S_STAGED, cl)
FOR_EACH_CLASS(STAGED_FNS)

/* ---- staging ---- */

/* Two groups of vector j to the staged form: as in the panel, or by pairs of rows. */
VEC_INLINE void stage_groups(uint8_t *w, int j, ivec even, ivec odd) {
#ifdef VEC_PAIRS
    ivec pair[2];
    vec_pair_rows(even, odd, pair);
    ivec_store(w + 2 * j * VEC_BYTES, pair[0]);
    ivec_store(w + (2 * j + 1) * VEC_BYTES, pair[1]);
#else
    ivec_store(w + j * VEC_BYTES, even);
    ivec_store(w + 4 * KERN_ROWS + j * VEC_BYTES, odd);
#endif
}

/* w NULL: the scales alone. */
VEC_INLINE void stage(planes_kind wk, scales_kind sk, class_of cl, const chunk_view *v, uint8_t *w,
                      float *scale, float *min) {
    chunk_view at = *v;
    for (int g0 = 0; w && g0 < v->kc / 4; g0 += 4) { /* 16 elements: a whole step of every plane */
#pragma GCC unroll 2
        for (int g = 0; g < 4; g += 2)
#pragma GCC unroll 8
            for (int j = 0; j < VECS; j++)
                stage_groups(w + (g0 + g) * 256, j, load_w(wk, &at, g, j),
                             load_w(wk, &at, g + 1, j));
        advance_w(wk, &at, 16);
    }
    for (int s = 0; s < v->kc / cl.sub; s++)
        for (int j = 0; j < VECS; j++) {
            vec_store(scale + s * KERN_ROWS + j * VEC_LANES, load_scale(sk, v, s, j));
            if (cl.has_min) vec_store(min + s * KERN_ROWS + j * VEC_LANES, load_min(sk, v, s, j));
        }
}

/* What a format needs: its ways of unpacking and of multiplying. */
typedef struct format_code {
    void (*stage)(const chunk_view *v, uint8_t *w, float *scale, float *min);
    const tile_fn *direct, *staged;
    int bias;
} format_code;

#define STAGE_FN(type, wk, sk, cl)                                                                 \
    static void stage_##type(const chunk_view *v, uint8_t *w, float *scale, float *min) {          \
        stage(wk, sk, cl, v, w, scale, min);                                                       \
    }
FOR_EACH_FORMAT(STAGE_FN)

static format_code code_of(uint32_t type) {
#define CODE_CASE(type, wk, sk, cl)                                                                \
    case QUANT_##type:                                                                             \
        return (format_code){stage_##type, direct_##type, staged_##cl, VEC_DOT_BIAS(cl.max_w)};
    switch (type) { FOR_EACH_FORMAT(CODE_CASE) }
    return (format_code){0};
}

/* A whole chunk's sums of 16 to start * each, to start * (sum of 32), and to d * (sum of 32). */
#ifndef VEC_CHUNK_SUMS
VEC_INLINE void vec_chunk_starts16(const int16_t *sum16, int32_t start, int32_t *to) {
    int16_t sum[16];
    memcpy(sum, sum16, sizeof sum);
    for (int s = 0; s < 16; s++) to[s] = start * sum[s];
}
VEC_INLINE void vec_chunk_starts(const int16_t *sum16, int32_t start, int32_t *to) {
    int16_t pair[16];
    memcpy(pair, sum16, sizeof pair);
    for (int b = 0; b < 8; b++) to[b] = start * (pair[2 * b] + pair[2 * b + 1]);
}
VEC_INLINE void vec_chunk_dsums(const int16_t *sum16, const float *d, float *to) {
    int16_t pair[16];
    memcpy(pair, sum16, sizeof pair);
    for (int b = 0; b < 8; b++) to[b] = d[b] * (float)(pair[2 * b] + pair[2 * b + 1]);
}
#endif

/* The m tokens rows[i], or t0 + i where rows is NULL, of n blocks of the chunk at k0. start is
 * -offset, plus what the set's dot products subtract. */
VEC_INLINE void gather_blocks(int sub, bool has_min, int32_t start, const kern_act *a,
                              const int32_t *rows, int t0, int m, int64_t k0, int n, tokens *t) {
    const int per_block = KERN_BLOCK / sub, whole = KERN_CHUNK_K / KERN_BLOCK;
    for (int i = 0; i < m; i++) {
        const int64_t e0 = (rows ? rows[i] : t0 + i) * a->k + k0;
        const int16_t *sum16 = a->sum16 + e0 / 16;
        float d[8]; /* a copy: nothing written below can be a part of it */
        memcpy(d, a->d + e0 / KERN_BLOCK, (size_t)n * sizeof *d);
        memcpy(t->d[i], d, (size_t)n * sizeof *d);
        t->q[i] = a->q + e0;
        if (n == whole && sub == 32 && has_min) {
            vec_chunk_dsums(sum16, d, t->dsum[i]);
        } else if (n == whole && sub == 32) {
            vec_chunk_starts(sum16, start, t->start[i]);
        } else if (n == whole && !has_min) {
            vec_chunk_starts16(sum16, start, t->start[i]);
        } else {
            for (int s = 0; s < n * per_block; s++) {
                int32_t sum = sub == 32 ? sum16[2 * s] + sum16[2 * s + 1] : sum16[s];
                if (has_min) t->dsum[i][s] = d[s / per_block] * (float)sum;
                else t->start[i][s] = start * sum;
            }
        }
    }
}

static void tokens_gather(const kern_format *f, int bias, const kern_act *a, const int32_t *rows,
                          int t0, int m, int64_t k0, int kc, tokens *t) {
    const int whole = KERN_CHUNK_K / KERN_BLOCK, n = kc / KERN_BLOCK; /* constant: straight code */
    int32_t start = bias - f->offset;
    if (n < whole) gather_blocks(f->sub, f->has_min, start, a, rows, t0, m, k0, n, t);
    else if (f->sub == 32 && f->has_min)
        gather_blocks(32, true, start, a, rows, t0, m, k0, whole, t);
    else if (f->sub == 32) gather_blocks(32, false, start, a, rows, t0, m, k0, whole, t);
    else if (f->has_min) gather_blocks(16, true, start, a, rows, t0, m, k0, whole, t);
    else gather_blocks(16, false, start, a, rows, t0, m, k0, whole, t);
}

/* ---- blocks that are rounded twice ---- */

/* The view from block b on, where it is one block long. */
VEC_INLINE chunk_view view_block(const kern_format *f, const chunk_view *v, bool staged, int b) {
    chunk_view at = *v;
    const int e = b * KERN_BLOCK, n = e / f->sub * KERN_ROWS;
    at.kc = KERN_BLOCK, at.next_lines = 0;
    if (staged) {
        at.w += e * KERN_ROWS;
        at.scale += n, at.min += n;
        return at;
    }
    if (f->nibbles) at.p.nibbles += e * KERN_ROWS / 2;
    if (f->bytes) at.p.bytes += e * KERN_ROWS;
    if (f->bits) at.p.bits += e * KERN_ROWS / 8;
    if (f->pairs) at.p.pairs += e * KERN_ROWS / 4;
    if (f->kind == FORMAT_F16) at.p.d += n;
    if (f->kind == FORMAT_F16 && f->has_min) at.p.m += n;
    if (f->kind == FORMAT_E8M0) at.p.e += n;
    if (f->kind == FORMAT_K) at.p.sub_scale += n;
    if (f->kind == FORMAT_K && f->has_min && !f->packed_min) at.p.sub_min += n;
    return at;
}

/* The second rounding of the block at e0, counted over all rows of a, as token i of t. */
VEC_INLINE void token_gather_second(const kern_format *f, int bias, const kern_act *a, int64_t e0,
                                    tokens *t, int i) {
    const int16_t *half = a->sum16_2 + e0 / 16;
    float d = a->d2[e0 / KERN_BLOCK];
    t->q[i] = a->q2 + e0;
    t->d[i][0] = d;
    for (int s = 0; s < KERN_BLOCK / f->sub; s++) {
        int32_t sum = f->sub == 32 ? half[0] + half[1] : half[s];
        t->dsum[i][s] = d * (float)sum;
        t->start[i][s] = (bias - f->offset) * sum;
    }
}

/* One block of the n tokens named by `at`: their second part is added to their rows of c. Tiles
 * want neighbouring rows of output, so these are copied there and back. */
static void twice_block(const kern_format *f, const format_code *code, const chunk_view *v,
                        bool staged, const kern_act *a, const int64_t *e0, const int32_t *at, int n,
                        float *c) {
    float out[TILE * KERN_ROWS] __attribute__((aligned(64)));
    const int most = staged ? TILE : DIRECT_TILE;
    for (int i0 = 0, m; i0 < n; i0 += m) {
        tokens t;
        m = n - i0 < most ? n - i0 : most;
        for (int i = 0; i < m; i++) {
            token_gather_second(f, code->bias, a, e0[i0 + i], &t, i);
            memcpy(out + i * KERN_ROWS, c + at[i0 + i] * KERN_ROWS, KERN_ROWS * sizeof *c);
        }
        (staged ? code->staged : code->direct)[m - 1](v, &t, false, out);
        for (int i = 0; i < m; i++)
            memcpy(c + at[i0 + i] * KERN_ROWS, out + i * KERN_ROWS, KERN_ROWS * sizeof *c);
    }
}

#define AT_ONCE 512     /* tokens of one walk through a panel */
#define TWICE_BLOCKS 64 /* looked through together: as many marks as a cache line holds */

/* Which of up to TWICE_BLOCKS blocks are rounded twice, of the tokens that have any such. */
typedef struct twice_marks {
    int n;
    int32_t token[AT_ONCE];
    uint64_t of[AT_ONCE], any; /* bit b: the block */
} twice_marks;

/* n marks, a byte each, as bits; n <= 64. */
VEC_INLINE uint64_t twice_bits(const uint8_t *twice, int n) {
    uint64_t bits = 0;
    for (int b = 0; b < n; b += 8) {
        uint64_t marks = 0; /* byte i is 1 or 0, and goes to bit 56 + i of the product */
        memcpy(&marks, twice + b, n - b < 8 ? (size_t)(n - b) : 8);
        bits |= (marks * 0x0102040810204080u >> 56) << b;
    }
    return bits;
}

/* Of the n tokens rows[i], or t0 + i, the n_blocks from element k0 on. */
static void twice_look(const kern_act *a, const int32_t *rows, int t0, int n, int64_t k0,
                       int n_blocks, twice_marks *out) {
    out->n = 0;
    out->any = 0;
    for (int i = 0; i < n; i++) {
        const uint8_t *twice = a->twice + ((rows ? rows[i] : t0 + i) * a->k + k0) / KERN_BLOCK;
        uint64_t bits = n_blocks == TWICE_BLOCKS ? twice_bits(twice, TWICE_BLOCKS)
                                                 : twice_bits(twice, n_blocks);
        out->token[out->n] = i;
        out->of[out->n] = bits;
        out->n += bits != 0;
        out->any |= bits;
    }
}

/* The second parts of the chunk at k0, whose blocks are those from b0 on in `look`. */
static void twice_add(const kern_format *f, const format_code *code, const chunk_view *v,
                      bool staged, const kern_act *a, const int32_t *rows, int t0, int64_t k0,
                      const twice_marks *look, int b0, float *c) {
    for (int b = 0; b < v->kc / KERN_BLOCK; b++) {
        int32_t at[AT_ONCE];
        int64_t e0[AT_ONCE];
        int m = 0;
        if (!(look->any >> (b0 + b) & 1)) continue;
        for (int j = 0; j < look->n; j++) {
            at[m] = look->token[j];
            m += (int)(look->of[j] >> (b0 + b) & 1);
        }
        for (int j = 0; j < m; j++)
            e0[j] = (rows ? rows[at[j]] : t0 + at[j]) * a->k + k0 + b * KERN_BLOCK;
        chunk_view block = view_block(f, v, staged, b);
        twice_block(f, code, &block, staged, a, e0, at, m, c);
    }
}

/* ---- panels of plain numbers: fma chains along k, lanes are rows ---- */

VEC_INLINE vec load_plain(uint32_t type, const uint8_t *panel, int64_t e, int j) {
    int64_t at = e * KERN_ROWS + j * VEC_LANES;
    if (type == QUANT_F32) return vec_load((const float *)(const void *)panel + at);
    const uint16_t *h = (const uint16_t *)(const void *)panel + at;
    return type == QUANT_F16 ? vec_load_f16(h) : vec_load_bf16(h);
}

VEC_INLINE void plain_tile(uint32_t type, int V, int N, const uint8_t *panel, int64_t k,
                           const float *const *x, float *c) {
    for (int j0 = 0; j0 < VECS; j0 += V) {
        vec f[TILE][VECS];
#pragma GCC unroll 6
        for (int i = 0; i < N; i++)
#pragma GCC unroll 16
            for (int j = 0; j < V; j++) f[i][j] = vec_zero();
        for (int64_t e = 0; e < k; e++) {
            vec w[VECS];
#pragma GCC unroll 16
            for (int j = 0; j < V; j++) w[j] = load_plain(type, panel, e, j0 + j);
#pragma GCC unroll 6
            for (int i = 0; i < N; i++) {
                vec v = vec_set(x[i][e]);
#pragma GCC unroll 16
                for (int j = 0; j < V; j++) f[i][j] = vec_fma(w[j], v, f[i][j]);
            }
        }
#pragma GCC unroll 6
        for (int i = 0; i < N; i++)
#pragma GCC unroll 16
            for (int j = 0; j < V; j++) vec_store(c + i * 64 + (j0 + j) * VEC_LANES, f[i][j]);
    }
}

VEC_INLINE void plain_tiles(uint32_t type, int n, const uint8_t *panel, int64_t k,
                            const float *const *x, float *c) {
    switch (n) {
    case 1: plain_tile(type, VECS, 1, panel, k, x, c); break;
    case 2: plain_tile(type, VEC_PLAIN_ROWS, 2, panel, k, x, c); break;
    case 3: plain_tile(type, VEC_PLAIN_ROWS, 3, panel, k, x, c); break;
    case 4: plain_tile(type, VEC_PLAIN_ROWS, 4, panel, k, x, c); break;
#if TILE == 6
    case 5: plain_tile(type, VEC_PLAIN_ROWS, 5, panel, k, x, c); break;
    default: plain_tile(type, VEC_PLAIN_ROWS, 6, panel, k, x, c); break;
#endif
    }
}

static void plain_matmul(uint32_t type, const uint8_t *panel, const kern_act *a,
                         const int32_t *rows, int t0, int n, float *c) {
    for (int i0 = 0; i0 < n; i0 += TILE) {
        const float *x[TILE];
        int m = n - i0 < TILE ? n - i0 : TILE;
        for (int i = 0; i < m; i++) x[i] = a->x + (rows ? rows[i0 + i] : t0 + i0 + i) * a->k;
        if (type == QUANT_F32) plain_tiles(QUANT_F32, m, panel, a->k, x, c + i0 * 64);
        else if (type == QUANT_F16) plain_tiles(QUANT_F16, m, panel, a->k, x, c + i0 * 64);
        else plain_tiles(QUANT_BF16, m, panel, a->k, x, c + i0 * 64);
    }
}

/* ---- one chunk, all tokens ---- */

/* Planes of bytes are in the staged order, unless that is by pairs. */
#ifdef VEC_PAIRS
#define BYTES_STAGED false
#else
#define BYTES_STAGED true
#endif

static void blocks_matmul(const kern_format *f, const format_code *code, const uint8_t *chunk,
                          const kern_act *a, const int32_t *rows, int t0, int n, float *c) {
    uint8_t w[KERN_CHUNK_K * KERN_ROWS] __attribute__((aligned(64)));
    float scale[16 * KERN_ROWS] __attribute__((aligned(64)));
    float min[16 * KERN_ROWS] __attribute__((aligned(64)));
    twice_marks look;
    tokens t;
    look.n = 0, look.any = 0;
    const bool in_place = f->bytes && BYTES_STAGED, staged = n > (in_place ? DIRECT_TILE : DIRECT);
    chunk_view v = {.w = w, .scale = scale, .min = min, .table = f->table};
    for (int64_t k0 = 0; k0 < a->k; k0 += KERN_CHUNK_K) {
        v.kc = panel_chunk_k(a->k, k0);
        v.p = panel_chunk_at(f, chunk, v.kc);
        size_t bytes = panel_chunk_bytes(f, v.kc);
        v.ahead = bytes;
        if (f->kind == FORMAT_K) prefetch(&v, v.p.d), prefetch(&v, v.p.d + 32);
        if (f->kind == FORMAT_K && f->has_min) prefetch(&v, v.p.m), prefetch(&v, v.p.m + 32);
        if (staged && in_place) v.w = v.p.bytes;
        if (staged) code->stage(&v, in_place ? NULL : w, scale, min);
        const int most = staged ? TILE : DIRECT_TILE, tiles = (n + most - 1) / most;
        const int blocks = v.kc / KERN_BLOCK * (VECS / VEC_TILE_ROWS(TILE)); /* of a tile */
        v.next_lines = ((int)(bytes / 64) + tiles * blocks - 1) / (tiles * blocks);
        for (int done = 0, i0 = 0, m; done < tiles; done++, i0 += m) {
            size_t named = (size_t)(done * blocks * v.next_lines) * 64;
            v.next = chunk + bytes + named;
            if (named >= bytes) v.next_lines = 0;
            m = (n - i0 + tiles - done - 1) / (tiles - done); /* about equal: 8 is 4 and 4 */
            tokens_gather(f, code->bias, a, rows ? rows + i0 : NULL, t0 + i0, m, k0, v.kc, &t);
            (staged ? code->staged : code->direct)[m - 1](&v, &t, k0 == 0, c + i0 * KERN_ROWS);
        }
        const int b0 = (int)(k0 / KERN_BLOCK % TWICE_BLOCKS);
        int64_t left = (a->k - k0) / KERN_BLOCK;
        if (a->twice && b0 == 0)
            twice_look(a, rows, t0, n, k0, left < TWICE_BLOCKS ? (int)left : TWICE_BLOCKS, &look);
        if (a->twice) twice_add(f, code, &v, staged, a, rows, t0, k0, &look, b0, c);
        chunk += bytes;
    }
}

static void vec_matmul(const kern_format *f, const void *panel, const kern_act *a,
                       const int32_t *rows, int t0, int n, float *c) {
    if (f->kind == FORMAT_PLAIN) {
        plain_matmul(f->type, panel, a, rows, t0, n, c);
        return;
    }
    const format_code code = code_of(f->type);
    if (!code.stage) {
        kern_matmul_by_ref(VEC_NAME, f, panel, a, rows, t0, n, c);
        return;
    }
    for (int i0 = 0; i0 < n; i0 += AT_ONCE)
        blocks_matmul(f, &code, panel, a, rows ? rows + i0 : NULL, t0 + i0,
                      n - i0 < AT_ONCE ? n - i0 : AT_ONCE, c + i0 * KERN_ROWS);
}
