/* A plan is a model's forward pass as data: an architecture emits it, an executor runs it. No step
 * names a kernel, so another backend, or a split over machines, runs the same list.
 *
 * Every step works on all rows of the batch. The buffers it reads and writes follow from its kind:
 *     x    residual stream            [row][n_embd]
 *     h    normed input of a branch   [row][n_embd], quantised where a reader's weights want that
 *     q    queries                    [row][head][head_dim_k]
 *     a    attention output           [row][head][head_dim_v]
 *     f    feed-forward, after the gate [row][n_ff], or [(row, expert)][n_ff_expert]
 *     y    branch output              [row][n_embd]; added to x by the next NORM
 *
 *     NORM     x += norm(y, post) or y;  h = norm(x, w)          (nothing to add in front of layer
 * 0)
 *     QKV      q, k, v = W h + bias;  norm per head;  rope;  k, v into the pages
 *     ATTN     a = softmax(scale q k, sinks) v over what the window shows
 *     OUT      y = W a + bias
 *     GATE_UP  f = glu(Wg h + bias, Wu h + bias)
 *     DOWN     y = W f + bias
 *     ROUTE    the n_used best experts of each row by W h + bias, weighted by a softmax over these
 *              (which equals one over all experts, normed to the chosen ones); or, by sigmoid, the
 *              best by sigmoid(W h) + choose, weighted by the sigmoid alone, times a scale
 *     EXP_UP   f = glu(...) for each (row, expert)
 *     EXP_DOWN y = sum over a row's experts, ascending, of weight * (W f + bias)
 *     HEAD     logits = W h + bias, scaled and capped, for rows that want them
 *     END      of an encoder: h is its answer
 *     JOIN     y = W [norm(embedding, enorm), norm(state, hnorm)]; x = 0
 *
 * A DOWN behind EXP_DOWN adds to y: an expert that every row uses.
 *
 * Some models have a layer more, which guesses the token after the next from the final state of a
 * token and the token that follows it ("next-n", multi-token prediction). Its steps lie behind the
 * model's own and are a run by themselves: JOIN, one layer, HEAD.
 *
 * An encoder differs in this: every row sees its whole sequence, which must be in one batch; keys
 * and values are wanted within their layer only, so that all layers write to the same place; NORM
 * is x = layernorm(x + y, w, b), h = x, with `keep`; and GATE_UP may have no gate: f = glu(W h +
 * b).
 *
 * A plan is built once while a model opens. The builder functions check every tensor that they name
 * against the file: the first that is missing or has another shape fails the plan (`failed`, `e`),
 * and whatever follows has no effect, so that an architecture reads as a plain list.
 */
#ifndef HEARTH_MODEL_PLAN_H
#define HEARTH_MODEL_PLAN_H

#include "model/params.h"

typedef enum plan_op {
    PLAN_NORM,
    PLAN_QKV,
    PLAN_ATTN,
    PLAN_OUT,
    PLAN_GATE_UP,
    PLAN_DOWN,
    PLAN_ROUTE,
    PLAN_EXP_UP,
    PLAN_EXP_DOWN,
    PLAN_HEAD,
    PLAN_END,
    PLAN_JOIN,
    PLAN_OPS
} plan_op;

/* GLU_GELU is the tanh form, GLU_GELU_ERF the exact one, which has no gate. */
typedef enum plan_glu { GLU_SILU, GLU_GELU, GLU_OAI, GLU_GELU_ERF } plan_glu;

/* Index of a matrix or vector of the plan; PLAN_NONE where a step has none. */
typedef int32_t plan_ref;
#define PLAN_NONE (-1)

/* Heads of one layer, shared by its QKV and ATTN steps. */
typedef struct plan_heads {
    int32_t n_head, n_head_kv, head_dim_k, head_dim_v;
    int32_t window;      /* 0: sees everything */
    int32_t rope;        /* index into plan.rope, or PLAN_NONE */
    int32_t group, slot; /* where its keys and values live: KV group, layer within the group */
    float scale, softcap;
} plan_heads;

typedef struct plan_step {
    plan_op op;
    plan_ref w, b; /* NORM: w is the vector; OUT, DOWN, ROUTE, EXP_DOWN, HEAD: the matrix */
    plan_ref wk, bk, wv, bv; /* QKV: w, b are the query's */
    plan_ref w2, b2;         /* GATE_UP, EXP_UP: w, b are the gate's, w2, b2 the up's */
    plan_ref post;           /* NORM: norm of y before it is added */
    plan_ref q_norm, k_norm; /* QKV: norm of each head */
    plan_ref sinks;          /* ATTN: one logit a head */
    int32_t heads;           /* QKV, ATTN: index into plan.heads */
    bool first;              /* NORM: there is no y yet */
    bool keep;               /* NORM: layernorm with w and b, whose result x becomes */
    bool add;                /* DOWN: to what y has */
    plan_glu glu;
    int32_t n_used;        /* ROUTE */
    bool sigmoid, normed;  /* ROUTE: not by softmax; then, whether weights are normed to sum 1 */
    plan_ref choose;       /* ROUTE by sigmoid: added to what experts are chosen by */
    plan_ref enorm, hnorm; /* JOIN */
    float scale, cap;      /* HEAD, ROUTE by sigmoid: factor (1: none). HEAD: soft cap (0: none) */
} plan_step;

typedef struct plan_matrix {
    const gguf_tensor *src;
    int64_t k, n_out; /* of one expert, or of the rows taken */
    int64_t row0;     /* first row taken of src */
    int32_t n_expert; /* 1 for a plain matrix */
    plan_ref mate;    /* its panels alternate with those of this matrix, or PLAN_NONE */
    bool is_mate;     /* the second of such a pair */
} plan_matrix;

typedef struct plan_vector {
    const gguf_tensor *src;
    int64_t n;  /* elements, over all experts */
    int64_t at; /* first element taken of src */
} plan_vector;

typedef struct plan_rope {
    int32_t n_rot;
    bool neox; /* pairs (i, i + n_rot/2); else (2i, 2i+1) */
    rope_scaling scaling;
    double base, factor;              /* factor: positions are divided by it */
    double magnitude;                 /* multiplies cos and sin */
    double beta_fast, beta_slow, ext; /* YaRN */
    int32_t ctx_orig;
    bool truncate;    /* YaRN: round the ramp's ends to whole dimensions */
    plan_ref factors; /* divides each frequency, or PLAN_NONE */
} plan_rope;

#define PLAN_MAX_ROPES 4

typedef struct plan {
    plan_step *step;
    plan_matrix *matrix;
    plan_vector *vector;
    plan_heads *heads;
    int32_t n_steps, n_matrices, n_vectors, n_heads;
    int32_t cap_steps, cap_matrices, cap_vectors, cap_heads;
    plan_rope rope[PLAN_MAX_ROPES];
    int32_t n_ropes;
    model_kv_group group[MODEL_MAX_KV_GROUPS];
    int32_t n_groups;
    int32_t nextn_step, nextn_matrix; /* from here on they are the next-n layer's */
    model_kv_group nextn_group;       /* its keys and values; no layers: there is none */
    const gguf_tensor *nextn_embd;    /* its own embedding, or NULL */
    bool encoder;
    const gguf_tensor *embd;
    const gguf_tensor *pos_embd, *type_embd; /* added to embd's rows, or NULL */
    bool tied;                               /* the head's matrix is the embedding */
    plan_ref head;
    float embd_scale; /* 1: none */
    float eps;

    /* While building. */
    const params *p;
    int32_t n_ctx; /* context that will be served: picks the long or short rope factors */
    bool in_nextn; /* heads that are added now are the next-n layer's */
    bool failed;
    err e;
} plan;

/* Reads the plan of p's architecture. n_ctx 0: the trained context. On failure the plan is empty.
 * */
bool plan_build(plan *pl, const params *p, int32_t n_ctx, err *e);
void plan_deinit(plan *pl);
/* The last ATTN of steps [from, to), with its OUT behind it: from there on only rows whose logits
 * or states are wanted are computed. */
int32_t plan_last_attn(const plan *pl, int32_t from, int32_t to);

/* ---- for architectures ---- */

/* Names take the layer where they hold a %d; other names ignore `layer`. */
bool plan_has(plan *pl, const char *name, int layer);
plan_ref plan_add_vector(plan *pl, const char *name, int layer, int64_t n);
plan_ref plan_opt_vector(plan *pl, const char *name, int layer,
                         int64_t n); /* PLAN_NONE when absent */
/* Elements [at, at + n) of a vector of `all`; PLAN_NONE when absent. */
plan_ref plan_opt_part(plan *pl, const char *name, int layer, int64_t all, int64_t at, int64_t n);
plan_ref plan_add_matrix(plan *pl, const char *name, int layer, int64_t n_out, int64_t k);
/* Rows [row0, row0 + n_out) of a matrix of `rows`. */
plan_ref plan_add_rows(plan *pl, const char *name, int layer, int64_t rows, int64_t row0,
                       int64_t n_out, int64_t k);
plan_ref plan_add_experts(plan *pl, const char *name, int layer, int32_t n_expert, int64_t n_out,
                          int64_t k);
plan_ref plan_opt_expert_vector(plan *pl, const char *name, int layer, int32_t n_expert, int64_t n);
/* Panels of a and b alternate in memory: they are read together. Same shape. */
void plan_pair(plan *pl, plan_ref a, plan_ref b);
int32_t plan_add_rope(plan *pl, const plan_rope *r);
/* Assigns group and slot. */
int32_t plan_add_heads(plan *pl, plan_heads h);
/* A tensor of ne0 x ne1 that is read row by row from the file. NULL fails the plan. */
const gguf_tensor *plan_add_rows_read(plan *pl, const char *name, int64_t ne0, int64_t ne1);
/* NULL when absent. */
const gguf_tensor *plan_opt_rows_read(plan *pl, const char *name, int layer, int64_t ne0,
                                      int64_t ne1);
/* A step with every reference PLAN_NONE. The pointer is good until the next plan_add_step. */
plan_step *plan_add_step(plan *pl, plan_op op);
void plan_fail(plan *pl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
