/* Products with packed panels, AVX-512 with VNNI. kern.h has the arithmetic, kern_panel.h the layout.
 *
 * A lane is a row: a 64-byte vector of weights is 16 rows x 4 elements, and vpdpbusd with four of a
 * token's values, broadcast, adds four products to each row. The unsigned weights' offset costs
 * nothing: integer accumulators start at -offset * (sum of the token's values).
 *
 * One inline function, tile, computes 32 rows x N tokens over one chunk, with N x 2 integer and N x 2
 * float accumulators in registers. It reads weights either straight from the packed planes (few
 * tokens: memory is the limit) or from a buffer into which the chunk was unpacked once (many tokens).
 * Between chunks the float accumulators live in c. The compiler makes a copy for each kind of planes,
 * of scales, and N.
 */
#include "kern/avx512.h"

#include "kern/kern_panel.h"
#include "quant/quant.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define TILE AVX512_TILE
#define DIRECT 4 /* up to so many tokens nothing is staged */
#define AHEAD 4096 /* bytes between reading and prefetching */

typedef enum { W_STAGED, W_NIBBLE, W_NIBBLE_BIT, W_NIBBLE_PAIR, W_TABLE, W_BYTE, W_PAIR, W_PAIR_BIT } planes_kind;
typedef enum { S_STAGED, S_F16, S_E8M0, S_K, S_K_PACKED } scales_kind;

/* Type, planes, scales, elements a scale, minimum: what tells the copies apart. */
#define FOR_EACH_FORMAT(X)                     \
    X(Q4_0, W_NIBBLE, S_F16, 32, false)        \
    X(Q4_1, W_NIBBLE, S_F16, 32, true)         \
    X(Q5_0, W_NIBBLE_BIT, S_F16, 32, false)    \
    X(Q5_1, W_NIBBLE_BIT, S_F16, 32, true)     \
    X(Q8_0, W_BYTE, S_F16, 32, false)          \
    X(Q2_K, W_PAIR, S_K_PACKED, 16, true)      \
    X(Q3_K, W_PAIR_BIT, S_K, 16, false)        \
    X(Q4_K, W_NIBBLE, S_K, 32, true)           \
    X(Q5_K, W_NIBBLE_BIT, S_K, 32, true)       \
    X(Q6_K, W_NIBBLE_PAIR, S_K, 16, false)     \
    X(IQ4_NL, W_TABLE, S_F16, 32, false)       \
    X(IQ4_XS, W_TABLE, S_K, 32, false)         \
    X(MXFP4, W_TABLE, S_E8M0, 32, false)

/* A chunk as the tile reads it: packed, or unpacked in w, scale, min. */
typedef struct chunk_view {
    panel_chunk p;
    const uint8_t *w;
    const float *scale, *min;
    const uint8_t *table;
    int kc;
    const uint8_t *ahead; /* packed bytes that will be wanted soon, and how many a block of 32 uses */
    int ahead_step;
} chunk_view;

/* Up to TILE tokens' part of a chunk, gathered so that the tile needs one pointer. */
typedef struct tokens {
    int8_t q[TILE][KERN_CHUNK_K];
    int32_t start[TILE][16]; /* -offset * sum, per sub-block */
    float dsum[TILE][16];    /* d * sum, per sub-block */
    float d[TILE][8];
} __attribute__((aligned(64))) tokens;

/* ---- weights ---- */

INLINE __m512i load(const void *p) {
    return _mm512_load_si512(p);
}

/* Group g (four elements) of 16 rows: vector j of the panel's four. */
INLINE __m512i load_w(planes_kind kind, const chunk_view *v, int g, int j) {
    const __m512i low4 = _mm512_set1_epi8(15), low2 = _mm512_set1_epi8(3);
    if (kind == W_STAGED) return load(v->w + g * 256 + j * 64);
    if (kind == W_BYTE) return load(v->p.bytes + g * 256 + j * 64);
    __m512i w = _mm512_setzero_si512();
    if (kind == W_PAIR || kind == W_PAIR_BIT) {
        w = load(v->p.pairs + g / 4 * 256 + j * 64);
        int i = g % 4;
        w = i == 1 ? _mm512_srli_epi16(w, 2) : i == 2 ? _mm512_srli_epi16(w, 4) : i == 3 ? _mm512_srli_epi16(w, 6) : w;
        w = _mm512_and_si512(w, low2);
    } else {
        w = load(v->p.nibbles + g / 2 * 256 + j * 64);
        w = _mm512_and_si512(g % 2 ? _mm512_srli_epi16(w, 4) : w, low4);
    }
    if (kind == W_TABLE) {
        __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)v->table));
        w = _mm512_shuffle_epi8(table, w);
    }
    if (kind == W_NIBBLE_PAIR) {
        __m512i h = load(v->p.pairs + g / 4 * 256 + j * 64);
        int i = g % 4;
        h = i == 0 ? _mm512_slli_epi16(h, 4) : i == 1 ? _mm512_slli_epi16(h, 2) : i == 3 ? _mm512_srli_epi16(h, 2) : h;
        w = _mm512_ternarylogic_epi32(h, _mm512_set1_epi8(0x30), w, 0xea); /* (h & 0x30) | w */
    }
    if (kind == W_NIBBLE_BIT || kind == W_PAIR_BIT) {
        uint64_t mask;
        memcpy(&mask, v->p.bits + g * 32 + j * 8, 8);
        __m512i one = _mm512_set1_epi8(kind == W_NIBBLE_BIT ? 16 : 4);
        w = _mm512_mask_add_epi8(w, mask, w, one);
    }
    return w;
}

/* Steps over e elements (a multiple of 16) of the planes that there are. */
INLINE void advance_w(planes_kind kind, chunk_view *v, int e) {
    if (kind == W_STAGED) v->w += e * KERN_ROWS;
    if (kind == W_BYTE) v->p.bytes += e * KERN_ROWS;
    if (kind >= W_NIBBLE && kind <= W_TABLE) v->p.nibbles += e * KERN_ROWS / 2;
    if (kind == W_NIBBLE_PAIR || kind == W_PAIR || kind == W_PAIR_BIT) v->p.pairs += e * KERN_ROWS / 4;
    if (kind == W_NIBBLE_BIT || kind == W_PAIR_BIT) v->p.bits += e * KERN_ROWS / 8;
}

/* ---- scales ---- */

INLINE __m512 f16x16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)p));
}
INLINE __m128i bytes16(const void *p) {
    return _mm_load_si128((const __m128i *)p);
}

/* Scale of sub-block s for rows 16j.. */
INLINE __m512 load_scale(scales_kind kind, const chunk_view *v, int s, int j) {
    int at = s * KERN_ROWS + j * 16;
    if (kind == S_STAGED) return _mm512_load_ps(v->scale + at);
    if (kind == S_F16) return f16x16(v->p.d + at);
    if (kind == S_E8M0) { /* 2^(e-128): e-1 in the exponent field; 0 and 1 are denormals */
        __m512i e = _mm512_cvtepu8_epi32(bytes16(v->p.e + at));
        __m512i bits = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
        __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
        bits = _mm512_mask_sllv_epi32(bits, small, _mm512_set1_epi32(0x200000), e);
        return _mm512_castsi512_ps(bits);
    }
    __m128i b = bytes16(v->p.sub_scale + at);
    if (kind == S_K_PACKED) b = _mm_and_si128(b, _mm_set1_epi8(15));
    return _mm512_mul_ps(f16x16(v->p.d + j * 16), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b)));
}

INLINE __m512 load_min(scales_kind kind, const chunk_view *v, int s, int j) {
    int at = s * KERN_ROWS + j * 16;
    if (kind == S_STAGED) return _mm512_load_ps(v->min + at);
    if (kind == S_F16) return f16x16(v->p.m + at);
    __m128i b;
    if (kind == S_K_PACKED) b = _mm_and_si128(_mm_srli_epi16(bytes16(v->p.sub_scale + at), 4), _mm_set1_epi8(15));
    else b = bytes16(v->p.sub_min + at);
    __m512 m = _mm512_mul_ps(f16x16(v->p.m + j * 16), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b)));
    return _mm512_xor_ps(m, _mm512_set1_ps(-0.0f));
}

/* Steps over some sub-blocks. */
INLINE void advance_scale(scales_kind kind, chunk_view *v, int subs) {
    int n = subs * KERN_ROWS;
    if (kind == S_STAGED) v->scale += n, v->min += n;
    if (kind == S_F16) v->p.d += n, v->p.m += n;
    if (kind == S_E8M0) v->p.e += n;
    if (kind == S_K || kind == S_K_PACKED) v->p.sub_scale += n, v->p.sub_min += n;
}

/* ---- the tile ---- */

/* The reading of packed weights straight from memory outruns the hardware's own prefetch: a block has
 * so many instructions that too few lines are under way at a time. */
INLINE void prefetch_ahead(chunk_view *v) {
    for (int i = 0; i < v->ahead_step; i += 64) _mm_prefetch((const char *)v->ahead + i, _MM_HINT_T0);
    v->ahead += v->ahead_step;
}

INLINE __m512i four(const int8_t *q) {
    int32_t v;
    memcpy(&v, q, 4);
    return _mm512_set1_epi32(v);
}

/* Rows 16*j0 .. 16*(j0+V) x N tokens over one chunk; c: [N][64], started at zero when `first`. */
INLINE void tile(planes_kind wk, scales_kind sk, int sub, bool has_min, int V, int N, const chunk_view *whole,
                 const tokens *t, int j0, bool first, float *c) {
    __m512 f[TILE][4];
    __m512i dot[TILE][4];
    chunk_view v = *whole;
    const int subs = KERN_BLOCK / sub, groups = sub / 4;
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) f[i][j] = first ? _mm512_setzero_ps() : _mm512_load_ps(c + i * 64 + (j0 + j) * 16);
    for (int b = 0; b < v.kc / KERN_BLOCK; b++) {
        if (wk != W_STAGED && j0 == 0) prefetch_ahead(&v);
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++) {
#pragma GCC unroll 6
            for (int i = 0; i < N; i++)
#pragma GCC unroll 4
                for (int j = 0; j < V; j++) dot[i][j] = _mm512_set1_epi32(t->start[i][b * subs + s]);
#pragma GCC unroll 8
            for (int g = 0; g < groups; g++) {
                __m512i w[4];
#pragma GCC unroll 4
                for (int j = 0; j < V; j++) w[j] = load_w(wk, &v, s * groups + g, j0 + j);
#pragma GCC unroll 6
                for (int i = 0; i < N; i++) {
                    __m512i q = four(&t->q[i][b * 32 + (s * groups + g) * 4]);
#pragma GCC unroll 4
                    for (int j = 0; j < V; j++) dot[i][j] = _mm512_dpbusd_epi32(dot[i][j], w[j], q);
                }
            }
#pragma GCC unroll 4
            for (int j = 0; j < V; j++) {
                __m512 scale = load_scale(sk, &v, s, j0 + j);
#pragma GCC unroll 6
                for (int i = 0; i < N; i++)
                    f[i][j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[i][j]),
                                              _mm512_mul_ps(scale, _mm512_set1_ps(t->d[i][b])), f[i][j]);
            }
        }
        if (has_min) {
#pragma GCC unroll 2
            for (int s = 0; s < subs; s++)
#pragma GCC unroll 4
                for (int j = 0; j < V; j++) {
                    __m512 min = load_min(sk, &v, s, j0 + j);
#pragma GCC unroll 6
                    for (int i = 0; i < N; i++)
                        f[i][j] = _mm512_fmadd_ps(min, _mm512_set1_ps(t->dsum[i][b * subs + s]), f[i][j]);
                }
        }
        advance_w(wk, &v, KERN_BLOCK);
        advance_scale(sk, &v, subs);
    }
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 4
        for (int j = 0; j < V; j++) _mm512_store_ps(c + i * 64 + (j0 + j) * 16, f[i][j]);
}

typedef void (*tile_fn)(const chunk_view *v, const tokens *t, bool first, float *c);

#define TILE_FN(name, wk, sk, sub, has_min, V, N)                                                    \
    static void name(const chunk_view *v, const tokens *t, bool first, float *c) {                   \
        for (int j0 = 0; j0 < 4; j0 += V) tile(wk, sk, sub, has_min, V, N, v, t, j0, first, c);       \
    }

/* Straight from the planes, 1 to DIRECT tokens. */
#define DIRECT_FNS(type, wk, sk, sub, has_min)                       \
    TILE_FN(direct_##type##_1, wk, sk, sub, has_min, 4, 1)           \
    TILE_FN(direct_##type##_2, wk, sk, sub, has_min, 2, 2)           \
    TILE_FN(direct_##type##_3, wk, sk, sub, has_min, 2, 3)           \
    TILE_FN(direct_##type##_4, wk, sk, sub, has_min, 2, 4)
FOR_EACH_FORMAT(DIRECT_FNS)

static tile_fn direct_tile(uint32_t type, int n) {
#define DIRECT_CASE(type, wk, sk, sub, has_min)                                                                  \
    case QUANT_##type: {                                                                                         \
        static const tile_fn fn[DIRECT] = {direct_##type##_1, direct_##type##_2, direct_##type##_3,              \
                                           direct_##type##_4};                                                   \
        return fn[n - 1];                                                                                        \
    }
    switch (type) { FOR_EACH_FORMAT(DIRECT_CASE) }
    return NULL;
}

/* From the staging buffer, 1 to TILE tokens. */
#define STAGED_FNS(name, sub, has_min)                                   \
    TILE_FN(name##_1, W_STAGED, S_STAGED, sub, has_min, 4, 1)            \
    TILE_FN(name##_2, W_STAGED, S_STAGED, sub, has_min, 2, 2)            \
    TILE_FN(name##_3, W_STAGED, S_STAGED, sub, has_min, 2, 3)            \
    TILE_FN(name##_4, W_STAGED, S_STAGED, sub, has_min, 2, 4)            \
    TILE_FN(name##_5, W_STAGED, S_STAGED, sub, has_min, 2, 5)            \
    TILE_FN(name##_6, W_STAGED, S_STAGED, sub, has_min, 2, 6)            \
    static const tile_fn name[TILE] = {name##_1, name##_2, name##_3, name##_4, name##_5, name##_6};
STAGED_FNS(staged_32, 32, false)
STAGED_FNS(staged_32_min, 32, true)
STAGED_FNS(staged_16, 16, false)
STAGED_FNS(staged_16_min, 16, true)

/* ---- staging ---- */

INLINE void stage(planes_kind wk, scales_kind sk, int sub, bool has_min, const chunk_view *v, uint8_t *w,
                  float *scale, float *min) {
    chunk_view at = *v;
    for (int g0 = 0; g0 < v->kc / 4; g0 += 4) { /* 16 elements: a whole step of every plane */
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) _mm512_store_si512(w + (g0 + g) * 256 + j * 64, load_w(wk, &at, g, j));
        advance_w(wk, &at, 16);
    }
    for (int s = 0; s < v->kc / sub; s++)
        for (int j = 0; j < 4; j++) {
            _mm512_store_ps(scale + s * KERN_ROWS + j * 16, load_scale(sk, v, s, j));
            if (has_min) _mm512_store_ps(min + s * KERN_ROWS + j * 16, load_min(sk, v, s, j));
        }
}

#define STAGE_FN(type, wk, sk, sub, has_min)                                                          \
    static void stage_##type(const chunk_view *v, uint8_t *w, float *scale, float *min) {             \
        stage(wk, sk, sub, has_min, v, w, scale, min);                                                \
    }
FOR_EACH_FORMAT(STAGE_FN)

static void stage_chunk(uint32_t type, const chunk_view *v, uint8_t *w, float *scale, float *min) {
#define STAGE_CASE(type, wk, sk, sub, has_min) \
    case QUANT_##type: stage_##type(v, w, scale, min); return;
    switch (type) { FOR_EACH_FORMAT(STAGE_CASE) }
}

/* Gathers one token's part of a chunk. e0: the chunk's first element, counted over all rows of a. */
INLINE void token_gather(const kern_format *f, const kern_act *a, int64_t e0, int kc, tokens *t, int i) {
    for (int e = 0; e < kc; e += 32)
        _mm256_store_si256((__m256i *)(void *)(t->q[i] + e), _mm256_load_si256((const __m256i *)(const void *)(a->q + e0 + e)));
    __mmask16 m16 = (__mmask16)((1u << kc / 16) - 1);
    __mmask8 m8 = (__mmask8)((1u << kc / 32) - 1);
    __m256i sums = _mm256_maskz_loadu_epi16(m16, a->sum16 + e0 / 16);
    __m256 d = _mm256_maskz_loadu_ps(m8, a->d + e0 / 32);
    _mm256_store_ps(t->d[i], d);
    if (f->sub == 32) {
        __m256i start = _mm256_madd_epi16(sums, _mm256_set1_epi16((int16_t)-f->offset));
        __m256i sum32 = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
        _mm256_store_si256((__m256i *)(void *)t->start[i], start);
        _mm256_store_ps(t->dsum[i], _mm256_mul_ps(d, _mm256_cvtepi32_ps(sum32)));
    } else {
        __m512i s = _mm512_cvtepi16_epi32(sums);
        __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
        __m512 dd = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(d));
        _mm512_store_si512(t->start[i], _mm512_mullo_epi32(s, _mm512_set1_epi32(-f->offset)));
        _mm512_store_ps(t->dsum[i], _mm512_mul_ps(dd, _mm512_cvtepi32_ps(s)));
    }
}

/* ---- panels of plain numbers: fma chains along k, lanes are rows ---- */

INLINE __m512 load_plain(uint32_t type, const uint8_t *panel, int64_t e, int j) {
    if (type == QUANT_F32) return _mm512_load_ps((const float *)(const void *)panel + e * 64 + j * 16);
    const uint16_t *h = (const uint16_t *)(const void *)panel + e * 64 + j * 16;
    if (type == QUANT_F16) return f16x16(h);
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)(const void *)h));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE void plain_tile(uint32_t type, int N, const uint8_t *panel, int64_t k, const float *const *x, float *c) {
    __m512 f[TILE][4];
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) f[i][j] = _mm512_setzero_ps();
    for (int64_t e = 0; e < k; e++) {
        __m512 w[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) w[j] = load_plain(type, panel, e, j);
#pragma GCC unroll 6
        for (int i = 0; i < N; i++) {
            __m512 v = _mm512_set1_ps(x[i][e]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) f[i][j] = _mm512_fmadd_ps(w[j], v, f[i][j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < N; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) _mm512_store_ps(c + i * 64 + j * 16, f[i][j]);
}

INLINE void plain_tiles(uint32_t type, int n, const uint8_t *panel, int64_t k, const float *const *x, float *c) {
    switch (n) {
    case 1: plain_tile(type, 1, panel, k, x, c); break;
    case 2: plain_tile(type, 2, panel, k, x, c); break;
    case 3: plain_tile(type, 3, panel, k, x, c); break;
    case 4: plain_tile(type, 4, panel, k, x, c); break;
    case 5: plain_tile(type, 5, panel, k, x, c); break;
    default: plain_tile(type, 6, panel, k, x, c); break;
    }
}

static void plain_matmul(uint32_t type, const uint8_t *panel, const kern_act *a, const int32_t *rows, int t0, int n,
                         float *c) {
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

void avx512_matmul(const kern_format *f, const void *panel, const kern_act *a, const int32_t *rows, int t0, int n,
                   float *c) {
    if (f->kind == FORMAT_PLAIN) {
        plain_matmul(f->type, panel, a, rows, t0, n, c);
        return;
    }
    uint8_t w[KERN_CHUNK_K * KERN_ROWS] __attribute__((aligned(64)));
    float scale[16 * KERN_ROWS] __attribute__((aligned(64)));
    float min[16 * KERN_ROWS] __attribute__((aligned(64)));
    tokens t;
    const tile_fn *staged = f->sub == 32 ? (f->has_min ? staged_32_min : staged_32) : f->has_min ? staged_16_min : staged_16;
    const uint8_t *chunk = panel;
    chunk_view v = {.w = w, .scale = scale, .min = min, .table = f->table};
    for (int64_t k0 = 0; k0 < a->k; k0 += KERN_CHUNK_K) {
        v.kc = panel_chunk_k(a->k, k0);
        v.p = panel_chunk_at(f, chunk, v.kc);
        size_t bytes = panel_chunk_bytes(f, v.kc);
        if (n > DIRECT) stage_chunk(f->type, &v, w, scale, min);
        v.ahead = chunk + AHEAD, v.ahead_step = (int)bytes / (v.kc / KERN_BLOCK);
        for (int i0 = 0; i0 < n; i0 += TILE) {
            int m = n - i0 < TILE ? n - i0 : TILE;
            for (int i = 0; i < m; i++)
                token_gather(f, a, (rows ? rows[i0 + i] : t0 + i0 + i) * a->k + k0, v.kc, &t, i);
            tile_fn fn = n > DIRECT ? staged[m - 1] : direct_tile(f->type, m);
            fn(&v, &t, k0 == 0, c + i0 * 64);
        }
        chunk += bytes;
    }
}
