/* A model: hyper-parameters, packed weights, and the plan of its forward pass. Immutable once open,
 * shared by any number of threads, outlives every request.
 *
 * An architecture (arch/<name>.c) describes its layers as data: a list of fused steps on opaque
 * buffers (plan.h). A model_exec runs the list over a batch of rows on a team of threads. One exec
 * belongs to one thread at a time; several may share a model.
 *
 * Rows: every row is one token of one sequence at one position. Rows of one sequence are contiguous
 * and ascending; keys and values of all rows are written before any is read, so a chunk of prefill,
 * single tokens of many sequences, and drafts are all the same call. A row's result does not depend
 * on the other rows of the batch. An encoder's sequences come whole, from position 0, and their
 * pages are scratch: nothing of them is wanted after the call.
 *
 *     model *m = model_open("x.gguf", NULL, &e);
 *     model_exec *x = model_exec_new(m, team, KERN_KV_F16, 512, &e);
 *     model_exec_run(x, &batch, logits, &e);
 */
#ifndef HEARTH_MODEL_H
#define HEARTH_MODEL_H

#include "base/err.h"
#include "base/team.h"
#include "gguf/gguf.h"
#include "kern/kern.h"
#include "tok/tok.h"

typedef struct model model;
typedef struct model_exec model_exec;

typedef struct model_options {
    /* Told of loading: done of total bytes packed so far; from one thread at a time. May be NULL.
     * */
    void (*progress)(void *ud, uint64_t done, uint64_t total);
    void *progress_ud;
    team *team;  /* packs in parallel when given */
    bool as_f32; /* dequantise every weight to F32: the reference computation on the same weights */
    bool no_pack; /* weights stay in the file, which must stay there; slow. Not with as_f32 */
    int32_t
        n_ctx; /* longest context that will be run, 0: the trained one. Matters only to files with
                       * long and short rope factors, which have a table for each */
} model_options;

/* Errors: ERR_NOT_FOUND, ERR_DAMAGED (format, missing tensor, wrong shape, key out of range: the
 * message names it), ERR_FAILED (architecture not known; the message lists those that are),
 * ERR_NO_FIT (weights need more memory than there is; both sizes, and no_pack as the way out). */
model *model_open(const char *path, const model_options *o, err *e);
model *model_open_memory(const void *data, size_t n, const char *name, const model_options *o,
                         err *e);
void model_close(model *m);

/* What the model is, read from the file and checked against ranges. */
typedef struct model_params {
    char arch[64];
    char name[256];                                           /* general.name or the file's stem */
    int32_t n_vocab, n_embd, n_layer, n_ctx;                  /* n_ctx: trained context */
    int32_t n_head, n_head_kv, head_dim_k, head_dim_v, n_rot; /* of layer 0 */
    int32_t n_ff, n_expert, n_expert_used, n_ff_expert;
    int32_t window;     /* sliding window in tokens, 0 when no layer has one */
    bool guesses_ahead; /* there is a layer behind the n_layer for the token after the next */
    uint64_t n_params;  /* elements of all tensors */
    uint64_t file_bytes;
    uint64_t weight_bytes; /* packed, in memory; in model_params_read: the estimate */
} model_params;

const model_params *model_params_of(const model *m);
const tok *model_tok(const model *m); /* NULL when the file has no tokenizer */
/* The file's metadata stays readable while the model is open (chat template, general.*). */
const gguf *model_gguf(const model *m);
/* Only the hyper-parameters and checks, no weights: for `show` and `fit`. Works on any opened file
 * whose architecture Hearth knows. */
bool model_params_read(const gguf *g, model_params *out, err *e);
/* Names of the architectures known, NULL-terminated. */
const char *const *model_arch_names(void);
/* Whether an architecture is one that others have and Hearth does not run; *instead: a model to
 * pull in its place, NULL: none. */
bool model_arch_refused(str kind, const char **instead);
/* Says so; always false. what: the file or the model that was asked for. */
bool model_arch_refuse(const char *what, const char *kind, const char *instead, err *e);

/* ---- summing up a text ---- */

/* As files number them. */
typedef enum model_pooling {
    MODEL_POOL_NONE = 0,
    MODEL_POOL_MEAN = 1,
    MODEL_POOL_CLS = 2,
    MODEL_POOL_LAST = 3,
    MODEL_POOL_RANK = 4
} model_pooling;

bool model_is_encoder(const model *m);          /* it has no head: model_exec_run wants hidden */
model_pooling model_pooling_of(const model *m); /* what the file says; NONE when nothing */
int model_n_scores(const model *m);             /* outputs of its classifier; 0: it has none */
/* The classifier of a final state [n_embd]: an optional dense layer with tanh, then one that gives
 * n_scores numbers, as they are. */
void model_classify(const model *m, const float *hidden, float *scores);

/* ---- what it is told by ---- */
#define MODEL_FINGERPRINT 32
/* Hash of what its results follow from: metadata, samples of every tensor, the variant of the
 * kernels. libsodium must have been initialised. */
void model_fingerprint(const model *m, uint8_t out[MODEL_FINGERPRINT]);

/* ---- KV cache shape ----
 * Layers with the same KV shape and window form a group; a page of a group holds 64 positions for
 * all its layers. The engine owns pages (who, how many, sharing); the model says how large they
 * are. */
#define MODEL_MAX_KV_GROUPS 4

typedef struct model_kv_group {
    int32_t n_layers, n_head_kv, head_dim_k, head_dim_v;
    int32_t window; /* 0: every position is seen; else a token sees itself and window-1 before it */
} model_kv_group;

int model_n_kv_groups(const model *m);
const model_kv_group *model_kv_group_at(const model *m, int g);
size_t model_kv_page_bytes(const model_kv_group *g, kern_kv_type type); /* multiple of 64 */
/* Of the next-n layer (below); NULL: the file has none. One group, with pages of its own. */
const model_kv_group *model_nextn_group(const model *m);
/* The same from parameters alone, for estimates: bytes of KV for n_ctx positions of one sequence.
 * */
uint64_t model_kv_estimate(const gguf *g, int32_t n_ctx, kern_kv_type type,
                           err *e); /* 0 on error */

/* ---- adapters ----
 * A low-rank adapter (LoRA): for some matrices W of a model a pair A [rank][k], B [n_out][rank].
 * For the sequences that it is in force for, y = W x + scale * alpha / rank * B (A x): computed
 * beside the model's own product, never put into its weights. Immutable once open, made for one
 * model, outlives the batches that name it. */
typedef struct model_lora model_lora;

typedef struct model_lora_info {
    char name[256];  /* general.name or the file's stem */
    char task[256];  /* adapter.lora.task_name, or empty */
    int32_t n_pairs; /* matrices that it changes */
    int32_t rank;    /* the largest */
    float alpha;     /* 0: the file names none, and pairs are taken as they are */
    uint64_t memory_bytes;
} model_lora_info;

/* Errors, each in one line that names the file: ERR_NOT_FOUND, ERR_DAMAGED (format, a pair that is
 * missing its half, no numbers), ERR_USAGE (no adapter, or one of another model: architecture,
 * tensors, shapes), ERR_FAILED (what is not applied: experts, whole vectors, other kinds of
 * adapters), ERR_NO_FIT. The file must stay there while the adapter is open. */
model_lora *model_lora_open(const model *m, const char *path, err *e);
/* The bytes stay the caller's and must outlive the adapter. */
model_lora *model_lora_open_memory(const model *m, const void *data, size_t n, const char *name,
                                   err *e);
void model_lora_close(model_lora *l); /* NULL is fine */
const model_lora_info *model_lora_info_of(const model_lora *l);
/* Hash of all that its results follow from. */
#define MODEL_LORA_PRINT 32
const uint8_t *model_lora_print(const model_lora *l);

typedef struct model_lora_use {
    const model_lora *lora;
    float scale; /* finite */
} model_lora_use;

/* ---- running ---- */
typedef struct model_seq {
    /* page[g][i] holds positions 64i .. 64i+63 of group g, 64-byte aligned; may be NULL where every
     * row of this batch is past the group's window. */
    void *const *page[MODEL_MAX_KV_GROUPS];
    const model_lora_use *lora; /* [n_lora] each of them once; NULL when there is none */
    int n_lora;
} model_seq;

typedef struct model_row {
    int32_t token;
    int32_t pos; /* absolute */
    int32_t seq; /* index into seqs */
    bool want_logits;
    int32_t type; /* of an encoder's token: 0, or 1 in a second text */
} model_row;

typedef struct model_batch {
    const model_seq *seqs;
    int n_seqs;
    const model_row *rows;
    int n_rows; /* 1 .. max_rows */
    /* Read between steps; when it becomes true the run stops with ERR_INTERRUPTED and the pages of
     * these rows hold nothing of use. May be NULL. */
    const _Atomic bool *cancel;
} model_batch;

/* max_rows: the largest batch. ERR_NO_FIT when buffers cannot be had. */
model_exec *model_exec_new(model *m, team *t, kern_kv_type kv, int max_rows, err *e);
void model_exec_free(model_exec *x);
size_t model_exec_bytes(const model_exec *x); /* working memory */
/* logits: [number of rows with want_logits][n_vocab], in row order, caller's. hidden: NULL, or
 * [n_rows][n_embd]: the final normed state of every row (embeddings). ERR_FAILED when a value is
 * not finite (damaged weights). */
bool model_exec_run(model_exec *x, const model_batch *b, float *logits, float *hidden, err *e);

/* ---- the layer that guesses the token after the next ----
 * A run of its own. A row is a token and the final state of the token before it (hidden, above);
 * its logits are of the token that follows it, and its own final state may stand for the next
 * row's `before`. Positions count from wherever its pages begin: only distances matter. */
model_exec *model_exec_new_nextn(model *m, team *t, kern_kv_type kv, int max_rows, err *e);
/* before: [n_rows][n_embd]. logits, hidden (may be NULL): of the rows that want logits, in order.
 */
bool model_exec_run_nextn(model_exec *x, const model_batch *b, const float *before, float *logits,
                          float *hidden, err *e);

/* One row that a matrix of tensor t is about to be multiplied with: t has n_expert matrices, this
 * row is for `expert`. Called by one of the team's threads while the others wait or work. */
typedef void (*model_watch)(void *ud, const gguf_tensor *t, int32_t n_expert, int32_t expert,
                            const float *x, int64_t k);
/* Shows every such row of the runs that follow; fn NULL ends it. The head's are those of all rows
 * alive: with `hidden`, every row. */
bool model_exec_watch(model_exec *x, model_watch fn, void *ud, err *e);

/* Time by step kind since the last reset, in seconds, for `hearth bench --profile`; returns the
 * number of kinds and sets names[i], seconds[i] (up to cap). */
int model_exec_profile(model_exec *x, const char **names, double *seconds, int cap, bool reset);

#endif
