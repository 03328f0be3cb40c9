/* An executor from the inside: its buffers, and what one thread carries through a run.
 *
 * All members of the team walk the plan's steps side by side (exec.c). Within a step they share
 * work items by the team's counter; between steps they meet. Few rows (`small`) change two things
 * and no value: every member keeps a copy of the residual stream and of h, so that a NORM needs no
 * meeting.
 *
 * Rows are numbered twice: r is the row's place in the batch, i its place among the rows still
 * alive. After the last layer's keys and values are written, only rows that want an output are
 * alive.
 */
#ifndef HEARTH_MODEL_EXEC_PRIVATE_H
#define HEARTH_MODEL_EXEC_PRIVATE_H

#include <stdatomic.h>

#include "model/lora.h"

/* Rows up to which every member norms for itself. */
#define EXEC_SMALL 4
/* Matmul output that a member holds: 128 KiB, a part of its second-level cache. */
#define EXEC_TILE_FLOATS 32768
#define EXEC_ATTN_ROWS 64 /* query rows of one attention item */

/* What time is spent on: steps, the embedding, and waiting for the others. */
enum { EXEC_EMBED = PLAN_OPS, EXEC_LORA, EXEC_WAIT, EXEC_KINDS };

/* Rows of one sequence, among those alive. */
typedef struct exec_seg {
    int32_t seq, i0, n;
} exec_seg;

/* An adapter in force, and the rows alive that use it. */
typedef struct exec_lora {
    const model_lora *l;
    int n, cap;
    int32_t *row; /* [n] ascending */
    float *scale; /* [n] */
    float *part;  /* [panel][span][n][KERN_ROWS] A x of the step in hand */
} exec_lora;

/* What one member needs for itself. */
typedef struct exec_local {
    float *c;             /* [EXEC_TILE_FLOATS] output of matmul */
    void *panel;          /* [weights.panel_bytes] where matrices are not packed */
    float *x;             /* [EXEC_SMALL][n_embd] */
    float *tmp;           /* [n_embd]; also one head of K and one of V */
    kern_act h;           /* [EXEC_SMALL] rows */
    const float **attn_q; /* [attn_rows] each, the arrays of a kern_attn */
    int32_t *attn_lo, *attn_hi;
    float **attn_acc;
    float *merge_m, *merge_l; /* [max_chunks] */
    const float **merge_acc;
    float *part_m, *part_l; /* [part_slots] */
    float *part_acc;        /* [part_slots][head_dim_v] */
    int32_t *top;           /* [EXEC_SMALL][n_used] chosen experts */
    float *top_w;
    float *scores;       /* [n_expert] */
    int32_t *pair_first; /* [n_expert + 1] first pair of each expert */
    int32_t *pair_row;   /* [rows * n_used] row i of each pair, sorted by expert, then row */
    float *pair_w;       /* its weight */
    int32_t *active;     /* [n_expert] experts that have pairs */
    int32_t n_active;
    float *lora_in, *lora_out; /* a tile of rows: A x scaled, and B times that */
} exec_local;

struct model_exec {
    model *m;
    team *t;
    const kern *k;
    kern_kv_type kv;
    kern_kv_shape shape[MODEL_MAX_KV_GROUPS];
    size_t block_bytes[MODEL_MAX_KV_GROUPS];
    int max_rows, n_threads;
    int32_t max_chunks, attn_rows; /* attention: chunks of the longest context, rows of an item */
    int64_t part_slots, shared_slots;
    int step0, step1; /* the plan's steps that it runs */
    bool nextn;       /* those of the next-n layer */
    int n_groups;
    const model_kv_group *group;
    int trim_step; /* the last layer's ATTN: from here on only rows with an output are alive */

    void *map;
    size_t map_bytes, attn_bytes; /* the latter: partial results, touched only by long contexts */
    float *x, *y, *q;
    kern_act h, a, f, j;                              /* j: JOIN's input */
    float *cos[PLAN_MAX_ROPES], *sin[PLAN_MAX_ROPES]; /* [row][n_rot/2] */
    float *part_m, *part_l, *part_acc;                /* [shared_slots] */
    float *scores;                                    /* [row][n_expert] */
    int32_t *top;
    float *top_w;
    exec_local *local; /* [n_threads] */

    model_watch watch; /* NULL: nobody */
    void *watch_ud;
    float *watch_row; /* [largest k] */

    /* The present run. */
    const model_batch *b;
    float *logits, *hidden;
    const float *before; /* JOIN: [n_rows][n_embd] */
    int32_t *all, *want; /* batch rows alive before and after trim_step */
    int32_t *end;        /* of each batch row: position behind the last that it sees */
    int32_t *out_row;    /* i of the rows that want logits, after trim_step */
    int n_want, n_out;
    exec_seg *seg_all, *seg_want;
    int n_seg_all, n_seg_want;
    exec_lora *lora_all, *lora_want; /* [n_loras] by hash, with the rows of either */
    int n_loras, cap_loras;
    void *lora_map; /* their lists and results; grows with what batches need */
    size_t lora_map_bytes;
    bool stop[2];        /* see exec_sync */
    _Atomic int64_t bad; /* a logit that is not finite: place + 1, or 0 */

    /* Of member 0: by kind of step, PLAN_OPS for what comes before the first, and waiting. */
    double seconds[EXEC_KINDS];
    uint64_t left_ns; /* when member 0 had finished its walk */
};

/* One member's walk over the steps. */
typedef struct exec_walk {
    model_exec *x;
    exec_local *l;
    int me;
    unsigned phase;
    uint64_t since, waited; /* member 0: when its step began, and what it has waited in it; ns */
    const int32_t *live;    /* batch row of each row alive */
    int n;                  /* rows alive */
    const exec_seg *seg;
    int n_seg;
    const exec_lora *lora; /* [n_lora] in force, with the rows alive */
    int n_lora;
    bool small;
    float *xrow[EXEC_SMALL]; /* small: this member's residual rows */
} exec_walk;

static inline const float *exec_vec(const model_exec *x, plan_ref r) {
    return r == PLAN_NONE ? NULL : x->m->w.v[r];
}
static inline const weight_matrix *exec_mat(const model_exec *x, plan_ref r) {
    return &x->m->w.m[r];
}
/* h as this member sees it. */
static inline const kern_act *exec_h(const exec_walk *w) {
    return w->small ? &w->l->h : &w->x->h;
}
/* Work items 0 .. n - 1 of a step, dealt out in runs of neighbours that shrink towards the end.
 * Neighbouring panels are neighbours in memory, so a long run is read at the memory's full speed.
 *
 *     exec_items it = {.n = n};
 *     for (int i; (i = exec_next(w, &it)) < n;) ...
 */
typedef struct exec_items {
    int n;
    int at, end;     /* of the run in hand */
    int runs, dealt; /* runs counted so far, and the items in them */
} exec_items;
int exec_next(const exec_walk *w, exec_items *it); /* n: there are no more */

/* Rows of a matmul call, of n rows in all, when an item has n_panels of output: about equal parts,
 * since a small last part would cost a panel's unpacking for little. */
int exec_block_rows(const model_exec *x, int n, int n_panels);

/* Meets the others; false when the run has been cancelled (the same for all). */
bool exec_sync(exec_walk *w);

/* The steps. Each returns when this member finds no more work; the caller meets the others, except
 * where a step that needs more than one round has met them itself (false: cancelled). */
void exec_norm(exec_walk *w, const plan_step *s, const plan_step *next);
void exec_qkv(exec_walk *w, const plan_step *s);
bool exec_attn(exec_walk *w, const plan_step *s, bool reads_q);
bool exec_join(exec_walk *w, const plan_step *s);
void exec_linear(exec_walk *w, const plan_step *s, const kern_act *in);
void exec_gate_up(exec_walk *w, const plan_step *s, const plan_step *down);
void exec_head(exec_walk *w, const plan_step *s);
bool exec_route(exec_walk *w, const plan_step *s);
void exec_experts_up(exec_walk *w, const plan_step *s, const plan_step *down);
void exec_experts_down(exec_walk *w, const plan_step *s);

/* Adapters (step_lora.c). The lists of a run, or nothing where it has none. */
bool exec_lora_begin(model_exec *x, err *e);
void exec_lora_free(model_exec *x);
/* Before a step that any adapter in force changes: A x of its input; false: cancelled. */
bool exec_lora_in(exec_walk *w, const plan_step *s);
/* Adds to c, panel p of the product of a step's matrix, B (A x) of the rows (as matmul has them).
 * */
void exec_lora_out(const exec_walk *w, const plan_step *s, plan_ref ref, int64_t p,
                   const int32_t *rows, int t0, int n, float *c);
/* The same for pairs [t0, t0 + n) of expert e, of a mixture's matrix. */
void exec_lora_expert_out(const exec_walk *w, const plan_step *s, plan_ref ref, int32_t e,
                          int64_t p, int t0, int n, float *c);
void exec_lora_embed(const exec_walk *w, int32_t row, int32_t token, float *dst);

/* Member 0, before a step: shows what its matrices will read. */
void exec_watch(exec_walk *w, const plan_step *s);

/* gate and up of n rows, [n][64] each, become f(gate) * up in gate. */
void exec_glu(const model_exec *x, plan_glu glu, float *gate, const float *up, int n);
/* Rounds n floats that belong at element `at` of a, counted over all rows. */
void exec_act_round(const model_exec *x, kern_act *a, int64_t at, const float *src, int64_t n,
                    int limit);
/* Writes n rows of 64 (the first `width` count) to rows row0.. of an activation at column col, in
 * the form that is read; where there are adapters, as floats too. */
void exec_act_put(const model_exec *x, kern_act *a, int64_t row0, int64_t col, int width,
                  const float *c, int n, bool reads_q);

#endif
