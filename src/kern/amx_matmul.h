/* Products with packed panels by AMX tiles, for many tokens; with few, AVX-512 is as good, and has
 * the same table otherwise. Whoever includes this says first what the tile instructions are:
 * TILE_CONFIG(p), TILE_RELEASE(), TILE_ZERO(t), TILE_LOAD(t, p, step), TILE_STORE(t, p, step) and
 * TILE_DOT(c, a, b) (TDPBSSD); amx.c has the CPU's, the tests have them in plain C.
 *
 * C (16 tokens x 16 rows of int32) += A (16 tokens x K bytes) * B (K/4 x 16 rows x 4 bytes). A
 * chunk unpacked by AVX-512 is B as it stands: a vector of a panel is one row of B. The offset is
 * taken from the weights there, once for all tokens; signed, every type fits into a byte.
 *
 * A tile could hold K = 64, but its sum has one scale only where K is one block of 32 (or a
 * sub-block of 16): kern.h fixes that each is summed exactly and then scaled by itself. So A and B
 * are configured half (a quarter) full, and the unit does half of what it could. The ways around do
 * not pay: two blocks side by side in K, one of them against zeros, cost as much as two half tiles;
 * and scales folded into the weights are another arithmetic. What is left is still more than what
 * VNNI does in the same time, and as much as the conversion and scaling of the sums in AVX-512 can
 * follow.
 */
#include "kern/kern_panel.h"
#include "kern/kern_variants.h"

#include "kern/vec_avx512.h"

#define AMX_TOKENS 16 /* rows of a tile; with fewer tokens than this nothing comes here */
#define AMX_SUBS 16   /* most sub-blocks of a chunk */

typedef struct amx_config { /* as LDTILECFG reads it */
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) amx_config;

typedef struct amx_work {
    uint8_t w[KERN_CHUNK_K * KERN_ROWS]; /* signed once the offset is taken off */
    float scale[AMX_SUBS * KERN_ROWS], min[AMX_SUBS * KERN_ROWS];
    int8_t q[AMX_TOKENS][KERN_CHUNK_K];
    int32_t dot[2][AMX_TOKENS][16];
    float d[AMX_TOKENS][KERN_CHUNK_K / KERN_BLOCK];
    float dsum[AMX_TOKENS][AMX_SUBS]; /* d * sum, per sub-block */
} __attribute__((aligned(64))) amx_work;

/* Tiles 0 and 1 are C, 2 and 3 A, 4 and 5 B: sub-blocks take turns, so that one is multiplied while
 * the other's sums are scaled. */
static void amx_begin(const kern_format *f) {
    amx_config g = {.palette = 1};
    for (int t = 0; t < 6; t++) {
        bool is_a = t == 2 || t == 3, is_b = t >= 4;
        g.rows[t] = is_b ? f->sub / 4 : AMX_TOKENS;
        g.row_bytes[t] = is_a ? f->sub : 64;
    }
    TILE_CONFIG(&g);
}

VEC_INLINE void amx_dots(int turn, const int8_t *q, const uint8_t *w, int32_t *dot) {
    if (turn == 0) {
        TILE_ZERO(0);
        TILE_LOAD(2, q, KERN_CHUNK_K);
        TILE_LOAD(4, w, 4 * KERN_ROWS);
        TILE_DOT(0, 2, 4);
        TILE_STORE(0, dot, 64);
    } else {
        TILE_ZERO(1);
        TILE_LOAD(3, q, KERN_CHUNK_K);
        TILE_LOAD(5, w, 4 * KERN_ROWS);
        TILE_DOT(1, 3, 5);
        TILE_STORE(1, dot, 64);
    }
}

/* The chunk to signed weights, scales and minima; false: AVX-512 does not know the type. */
static bool amx_unpack(const kern_format *f, const uint8_t *chunk, int kc, amx_work *x) {
    if (!kern_avx512_unpack(f, chunk, kc, x->w, x->scale, x->min)) return false;
    const ivec offset = ivec_set8(f->offset);
    for (int i = 0; i < kc * KERN_ROWS && f->offset; i += VEC_BYTES)
        ivec_store(x->w + i, _mm512_sub_epi8(ivec_load(x->w + i), offset));
    return true;
}

/* m tokens' part of a chunk; the rest of the tile is zero. e0: the chunk's first element in a
 * row. */
static void amx_gather(const kern_format *f, const kern_act *a, const int32_t *rows, int t0, int m,
                       int64_t e0, int kc, amx_work *x) {
    const int subs = KERN_BLOCK / f->sub;
    if (m < AMX_TOKENS) {
        memset(x->q, 0, sizeof x->q);
        memset(x->d, 0, sizeof x->d);
        memset(x->dsum, 0, sizeof x->dsum);
    }
    for (int i = 0; i < m; i++) {
        int64_t at = (rows ? rows[i] : t0 + i) * a->k + e0;
        const int16_t *sum = a->sum16 + at / 16;
        memcpy(x->q[i], a->q + at, (size_t)kc);
        memcpy(x->d[i], a->d + at / KERN_BLOCK, (size_t)(kc / KERN_BLOCK) * 4);
        for (int s = 0; s < kc / f->sub; s++) {
            int32_t of_sub = subs == 2 ? sum[s] : sum[2 * s] + sum[2 * s + 1];
            x->dsum[i][s] = x->d[i][s / subs] * (float)of_sub;
        }
    }
}

/* 16 tokens and 16 rows from row 16 * j over one chunk; of c [m][64], m tokens are there. */
VEC_INLINE void amx_tile(const kern_format *f, amx_work *x, int kc, int j, int m, bool first,
                         float *c) {
    const int halves = f->sub < KERN_BLOCK, sub = halves ? 16 : KERN_BLOCK; /* no divisions */
    vec acc[AMX_TOKENS];
#pragma GCC unroll 16
    for (int i = 0; i < AMX_TOKENS; i++)
        acc[i] = first || i >= m ? vec_zero() : vec_load(c + i * KERN_ROWS + j * VEC_LANES);
    for (int s = 0; s * sub < kc; s++) {
        const int b = s >> halves;
        int32_t(*dot)[16] = x->dot[s % 2];
        const uint8_t *w = x->w + s * sub * KERN_ROWS + j * VEC_BYTES;
        amx_dots(s % 2, &x->q[0][s * sub], w, dot[0]);
        vec scale = vec_load(x->scale + s * KERN_ROWS + j * VEC_LANES);
#pragma GCC unroll 16
        for (int i = 0; i < AMX_TOKENS; i++)
            acc[i] = vec_fma(ivec_to_vec(ivec_load(dot[i])), vec_mul(scale, vec_set(x->d[i][b])),
                             acc[i]);
        if (!f->has_min || (halves && s % 2 == 0)) continue; /* minima follow a whole block */
        for (int n = b << halves; n <= s; n++) {
            vec min = vec_load(x->min + n * KERN_ROWS + j * VEC_LANES);
#pragma GCC unroll 16
            for (int i = 0; i < AMX_TOKENS; i++)
                acc[i] = vec_fma(min, vec_set(x->dsum[i][n]), acc[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < AMX_TOKENS; i++)
        if (i < m) vec_store(c + i * KERN_ROWS + j * VEC_LANES, acc[i]);
}

static void amx_matmul(const kern_format *f, const void *panel, const kern_act *a,
                       const int32_t *rows, int t0, int n, float *c) {
    if (n < AMX_TOKENS || f->kind == FORMAT_PLAIN) {
        kern_avx512.matmul(f, panel, a, rows, t0, n, c);
        return;
    }
    amx_work x;
    const uint8_t *chunk = panel;
    amx_begin(f);
    for (int64_t k0 = 0; k0 < a->k; k0 += KERN_CHUNK_K) {
        int kc = panel_chunk_k(a->k, k0);
        if (!amx_unpack(f, chunk, kc, &x)) {
            kern_avx512.matmul(f, panel, a, rows, t0, n, c);
            break;
        }
        for (int i0 = 0; i0 < n; i0 += AMX_TOKENS) {
            int m = n - i0 < AMX_TOKENS ? n - i0 : AMX_TOKENS;
            amx_gather(f, a, rows ? rows + i0 : NULL, t0 + i0, m, k0, kc, &x);
            for (int j = 0; j < KERN_ROWS / VEC_LANES; j++)
                amx_tile(f, &x, kc, j, m, k0 == 0, c + i0 * KERN_ROWS);
        }
        if (a->twice) kern_avx512_twice(f, chunk, kc, a, rows, t0, n, k0, c);
        chunk += panel_chunk_bytes(f, kc);
    }
    TILE_RELEASE();
}

static kern amx_table(const char *name) {
    kern k = kern_avx512;
    k.name = name;
    k.tile_tokens = AMX_TOKENS;
    k.matmul = amx_matmul;
    return k;
}
