/* Running a model by hand, below the engine: one sequence at a time, all of its KV pages, logits
 * where wanted; or a token each of several. For commands that look at numbers (logits, perplexity,
 * bench --profile). One thread.
 */
#ifndef HEARTH_CLI_DIRECT_H
#define HEARTH_CLI_DIRECT_H

#include "cli/models.h"

typedef struct direct {
    team *team;
    model *m;
    model_exec *x;
    kern_kv_type kv;
    int32_t n_ctx; /* tokens that the pages hold */
    int max_rows;
    void **page[MODEL_MAX_KV_GROUPS]; /* [n_pages] each 64-byte aligned; owned */
    int32_t n_pages, first_page;      /* first_page: of the sequence that direct_run is for; 0 */
    model_row *rows;                  /* [max_rows] */
    float *hidden; /* [max_rows][n_embd] where a run leaves final states, or NULL; the caller's */
} direct;

/* Opens the model; direct_pages must follow. On failure nothing is left to close. */
bool direct_open(direct *d, const models_ref *r, int threads, bool as_f32, err *e);
/* Room for n_ctx tokens, max_rows of them at a time. */
bool direct_pages(direct *d, int32_t n_ctx, int max_rows, kern_kv_type kv, err *e);
void direct_close(direct *d);

/* Runs ids at positions pos, pos+1, ...; n at most max_rows. Logits of the last n_logits of them
 * go to logits [n_logits][n_vocab]. */
bool direct_run(direct *d, const int32_t *ids, int n, int32_t pos, int n_logits, float *logits,
                err *e);
/* One token each of n sequences, all at position pos; the pages of sequence i begin at i * each.
 * Logits [n][n_vocab]. */
bool direct_step(direct *d, const int32_t *ids, int n, int32_t pos, int32_t each, float *logits,
                 err *e);
/* ERR_USAGE when an id is not of the vocabulary. */
bool direct_check_ids(const direct *d, const int32_t *ids, size_t n, err *e);

kern_kv_type kv_type_named(const char *name); /* "f16", "q8", "f32" */

#endif
