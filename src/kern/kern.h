/* Kernels: the arithmetic of a forward pass, its shapes and its order of operations.
 *
 * This header states what is computed, to the bit where that is possible; ref.c is the slow truth,
 * avx2.c, avx512.c, neon.c, ... are fast, pick.c chooses at start from what the CPU has
 * (HEARTH_CPU=ref, avx2, avxvnni, avx512, amx, neon-base, neon or neon-i8mm forces one). Kernels
 * are pure functions on the caller's memory; any thread; they know panels, pages and rows, but no
 * model.
 *
 * ---- Weights: panels ----------------------------------------------------------------------------
 * A weight matrix W [n_out rows][k] multiplies activations from the left: y[r] = sum_k W[r][k]
 * x[k]. It is packed at load into panels of 64 rows (the last one padded with zero rows), so that
 * lanes are rows. A panel is a run of chunks along k: 256 elements each (the last may be shorter, a
 * multiple of 32). Every chunk can be unpacked by itself into
 *     w     uint8  [chunk_k / 4][64 rows][4]     "VNNI order": one 64-byte vector = 16 rows x 4 k
 *     scale float  [chunk_k / sub][64 rows]      sub = 32 or 16, by type
 *     min   float  [chunk_k / sub][64 rows]      only for types with a minimum
 * where the value of an element is   scale * (w - offset) + min.
 * One packed form serves every number of tokens: nothing is re-encoded for prefill.
 *
 * type     planes            offset sub scale (exact in float)         min
 * Q4_0     nibble            8      32  f16 d                          -
 * Q4_1     nibble            0      32  f16 d                          f16 m
 * Q5_0     nibble + bit      16     32  f16 d                          -
 * Q5_1     nibble + bit      0      32  f16 d                          f16 m
 * Q8_0     byte (q + 128)    128    32  f16 d                          -
 * Q2_K     2 bits            0      16  f16 d * u4                     -(f16 dmin * u4)
 * Q3_K     2 bits + bit      4      16  f16 d * i6                     -
 * Q4_K     nibble            0      32  f16 d * u6                     -(f16 dmin * u6)
 * Q5_K     nibble + bit      0      32  f16 d * u6                     -(f16 dmin * u6)
 * Q6_K     nibble + 2 bits   32     16  f16 d * i8                     -
 * IQ4_NL   nibble by table   127    32  f16 d                          -
 * IQ4_XS   nibble by table   127    32  f16 d * i6                     -
 * MXFP4    nibble by table   12     32  2^(e-128)                      -
 * F32, F16, BF16 are panels [k][64 rows] of the element itself.
 * The packed size is that of the file within 5 %.
 *
 * ---- Activations --------------------------------------------------------------------------------
 * For the block types above, a row x of k floats is quantised once and shared by all matrices that
 * read it, per block of 32: amax = max |x|; d = amax / 127; q = round-half-even(x * (127 / amax));
 * d and all q are zero when amax is 0 or so small that 127 / amax is not finite; and sums: sum16 =
 * sum of 16 q. A block with a NaN or infinity gives d = NaN and q = 0 (the request then fails;
 * nothing is clamped).
 *
 * A block with an outlier leaves its other 31 elements few bits. So a row may also be refined: a
 * block with 0 < sum q^2 < limit, where one element has most of the energy, is rounded a second
 * time, r = fmaf(-q, d, x) giving q2, d2 and sums by the same rule, and is marked in `twice`. The
 * outcome depends on the block's own values alone. What norms give is refined with KERN_TWICE_NORM
 * (one element has a half), what the feed-forward gives before its way down with KERN_TWICE_GLU
 * (four fifths: products have long tails, and would be marked too often), what attention gives is
 * not.
 *
 * ---- Product, block types: one accumulator per output, blocks in the order of k -----------------
 *     acc = 0
 *     for each block b of 32 along k:
 *         for each sub-block s of b (one, or two of 16), in order:
 *             dot = sum_i (w[i] - offset) * q[i]                        exact, int32
 *             acc = fmaf((float)dot, scale[s] * d[b], acc)
 *         if the type has a minimum, for each sub-block s of b, in order:
 *             acc = fmaf(min[s], d[b] * (float)sum[s], acc)             sum over the sub-block's q
 *         behind the last block of a chunk (256 elements, or what is left), if the row is refined:
 *         for each block of the chunk that is marked, in order, both loops once more with q2, d2
 * F32, F16, BF16 weights take the unquantised row:  acc = fmaf((float)w[k], x[k], acc), k
 * ascending. Every variant gives these bits, for every number of tokens and any split of rows over
 * threads.
 *
 * ---- Attention ----------------------------------------------------------------------------------
 * Keys and values live in pages of 64 tokens; a page holds, for each layer of its group and each KV
 * head, one kern_kv_block: K transposed (lanes are tokens) and V (lanes are channels), as F32, F16,
 * or Q8 (int8 with one float scale per token and head); kern_kv.h has the bytes. They are
 * written first and read back from the page, also for the tokens of the present step. A row (one
 * query head at one position) visits the pages of a chunk of KERN_ATTN_CHUNK absolute positions in
 * order, with a running maximum m, sum l and accumulator a; chunks are merged in order. So the
 * result does not depend on what else is in the batch. Scores of F32 and F16: s[t] = fma chain over
 * head_dim in order. V: fma chain over t in order. Q8: exact integer products of the bytes with the
 * query and with a page's weights, both rounded to integers of 16 bits with one scale (2^-16 of the
 * largest element; kern_kv.h). exp is kern's own polynomial (relative error under 2^-21).
 * Bit-stable within a variant; across variants within 1e-5 relative.
 */
#ifndef HEARTH_KERN_H
#define HEARTH_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERN_ROWS 64        /* rows of a panel */
#define KERN_CHUNK_K 256    /* elements along k unpacked at a time */
#define KERN_BLOCK 32       /* elements that share one activation scale */
#define KERN_PAGE 64        /* tokens of a KV page */
#define KERN_ATTN_CHUNK 512 /* absolute positions of one attention work item: 8 pages */

/* ---- panels ---- */
typedef struct kern_format kern_format; /* how one quant type is packed; see panel.c */

/* NULL when the type (a quant_type) cannot be a packed weight. */
const kern_format *kern_format_of(uint32_t type);
bool kern_format_quantized_input(const kern_format *f); /* block types: reads q, d, sums; else x */
/* Bytes of one panel of 64 rows of k elements; a multiple of 64. */
size_t kern_panel_bytes(const kern_format *f, int64_t k);
/* Packs rows [row0, row0+64) of a matrix stored row after row in its GGUF type; rows at or past
 * n_rows are zero. dst has kern_panel_bytes and is 64-byte aligned. Any thread; panels are
 * independent. */
void kern_panel_pack(const kern_format *f, const void *src, int64_t n_rows, int64_t k, int64_t row0,
                     void *dst);
/* Row r (0..63) of a packed panel back to floats: the exact values of the reference dequantiser. */
void kern_panel_row(const kern_format *f, const void *panel, int64_t k, int r, float *dst);

/* ---- activations ---- */
/* n rows of k floats, and their quantised form when some reader needs it. Rows are `k` long (a
 * multiple of 32 for the quantised form) with no padding; every pointer is 64-byte aligned. */
typedef struct kern_act {
    int64_t k;
    float *x;       /* [n][k] */
    int8_t *q;      /* [n][k] */
    float *d;       /* [n][k/32] */
    int16_t *sum16; /* [n][k/16] */
    /* Refined rows, else NULL: which blocks are rounded twice, and their second rounding. */
    uint8_t *twice; /* [n][k/32] 1 or 0 */
    int8_t *q2;     /* as q, d, sum16; what belongs to other blocks has no meaning */
    float *d2;
    int16_t *sum16_2;
} kern_act;

/* A block with 0 < sum q^2 < this is rounded twice. */
#define KERN_TWICE_NORM (2 * 127 * 127)
#define KERN_TWICE_GLU (5 * 127 * 127 / 4)

/* ---- attention ---- */
typedef enum kern_kv_type { KERN_KV_F32, KERN_KV_F16, KERN_KV_Q8 } kern_kv_type;

typedef struct kern_kv_shape {
    kern_kv_type type;
    int head_dim_k, head_dim_v; /* multiples of 16, at most 512 */
} kern_kv_shape;

/* Bytes of one block (64 tokens of one layer and one KV head), a multiple of 64. */
size_t kern_kv_block_bytes(const kern_kv_shape *s);
/* Rounds one token's key and value to the page's type and writes them at slot 0..63. */
typedef void (*kern_kv_write_fn)(const kern_kv_shape *s, void *block, int slot, const float *k,
                                 const float *v);

/* One attention work item: some rows on one chunk of one sequence's KV of one head and layer. */
typedef struct kern_attn {
    kern_kv_shape shape;
    float scale;              /* multiplies q.k */
    float softcap;            /* > 0: s = softcap * tanh(s / softcap) after the scale */
    int n_rows;               /* query rows (heads of the group x positions) */
    const float *const *q;    /* [n_rows] -> [head_dim_k] */
    const int32_t *lo, *hi;   /* [n_rows] visible absolute positions: lo <= t < hi */
    const void *const *block; /* [pages of the chunk] -> block; not read where no row sees it */
    int32_t pos0;             /* absolute position of block[0]'s first token (a multiple of 64) */
    int n_blocks;
    float *m, *l;      /* [n_rows] out: maximum (-inf: saw nothing) and sum of exp(s - m) */
    float *const *acc; /* [n_rows] -> [head_dim_v] out: sum of exp(s - m) v */
} kern_attn;

/* ---- the table of one variant ---- */
typedef struct kern {
    const char *name; /* "ref", "avx2", "neon", ... as HEARTH_CPU takes them */
    /* Largest number of tokens that matmul computes per unpacked chunk with full reuse. */
    int tile_tokens;

    /* One row. q, d and sum16 as above. */
    void (*quantize)(const float *x, int64_t k, int8_t *q, float *d, int16_t *sum16);
    /* The second rounding of k elements x, whose first is q and d; where a block is not marked, q2,
     * d2 and sum16_2 stay as they are. */
    void (*refine)(const float *x, int64_t k, const int8_t *q, const float *d, int limit,
                   uint8_t *twice, int8_t *q2, float *d2, int16_t *sum16_2);
    /* c[i][r] = row r of the panel times token rows[i] (or i + t0 when rows is NULL), i < n. c is
     * [n][64], 64-byte aligned, written whole. */
    void (*matmul)(const kern_format *f, const void *panel, const kern_act *a, const int32_t *rows,
                   int t0, int n, float *c);
    /* y = x / sqrt(mean(x^2) + eps) * w; w NULL means 1. y may be x. */
    void (*rmsnorm)(const float *x, const float *w, float eps, int64_t n, float *y);
    /* y += x; y *= s */
    void (*add)(float *y, const float *x, int64_t n);
    void (*scale)(float *y, float s, int64_t n);
    /* out[i] = f(gate[i]) * up[i]; out may be gate. */
    void (*silu_mul)(const float *gate, const float *up, float *out, int64_t n);
    void (*gelu_mul)(const float *gate, const float *up, float *out, int64_t n); /* tanh form */
    /* gpt-oss: g = min(gate, limit), u = clamp(up, -limit, limit),
     * out = g * sigmoid(alpha g) * (u + 1) */
    void (*oai_mul)(const float *gate, const float *up, float alpha, float limit, float *out,
                    int64_t n);
    /* y = softcap * tanh(y / softcap) */
    void (*softcap)(float *y, float cap, int64_t n);
    /* In place; returns nothing. Sum in a fixed order. */
    void (*softmax)(float *x, int64_t n);
    /* Rotates the first n_rot of a head's elements. cos, sin: [n_rot/2] for this position. neox:
     * pairs (i, i + n_rot/2); else (2i, 2i+1). */
    void (*rope)(float *head, int n_rot, bool neox, const float *cos, const float *sin);
    kern_kv_write_fn kv_write;
    void (*attn)(const kern_attn *a);
    /* Index of the largest of n floats; the lowest index wins a tie. */
    int64_t (*argmax)(const float *x, int64_t n);
} kern;

/* The variant in force: chosen on first use, then fixed for the process. Never NULL. */
const kern *kern_get(void);
/* By name; NULL when this build or this CPU lacks it. For tests and `hearth bench`. */
const kern *kern_named(const char *name);
/* Names of the variants that run here, best first; NULL-terminated. */
const char *const *kern_names(void);

/* Merges n partial results of one row (chunks in ascending order) into out [head_dim_v]. `sink`,
 * when not NULL, is one more logit that takes part in the sum but has no value (gpt-oss). Rows that
 * saw nothing give zeros. Plain C, the same for every variant. */
void kern_attn_merge(int n, const float *m, const float *l, const float *const *acc, int head_dim_v,
                     const float *sink, float *out);
/* y = (x - mean) / sqrt(variance + eps) * w + b; b NULL means 0. y may be x. For encoders, as is
 * the next one; plain C, the same for every variant. */
void kern_layernorm(const float *x, const float *w, const float *b, float eps, int64_t n, float *y);
/* x = x * (1 + erf(x / sqrt 2)) / 2, to 2e-7 of |x| */
void kern_gelu_erf(float *x, int64_t n);
/* exp(x) by kern's polynomial, the scalar twin of what the variants use. */
float kern_expf(float x);

#endif
