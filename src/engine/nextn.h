/* Guesses by the model's own next-n layer (multi-token prediction), where its file has one.
 *
 * The layer reads the final state of each token and the token behind it, in keys and values of its
 * own, and says what follows that one. So what the model computed is handed on after each step
 * (nextn_follow), and waits here until a guess is wanted or there is too much of it. Further
 * guesses come from what the layer said itself; their keys and values are written over.
 *
 * It knows of a text what was computed while it followed: of a beginning that came from elsewhere
 * (the prefix tree, a file) there are no states, and it starts behind that. Only distances between
 * positions matter to it, so it counts from there.
 *
 * What goes wrong here costs guesses, never an answer. The engine's thread alone.
 */
#ifndef HEARTH_ENGINE_NEXTN_H
#define HEARTH_ENGINE_NEXTN_H

#include "base/team.h"
#include "engine/kv.h"
#include "engine/pace.h"
#include "engine/sample.h"

typedef struct nextn nextn;

/* What it knows of one request. Zero at the beginning. */
typedef struct nextn_seq {
    kv_seq *seq;
    int32_t base, n;   /* the token whose state it read first; states with keys and values */
    int32_t n_pending; /* states behind those that wait */
    float *pending;    /* [NEXTN_PENDING][n_embd] */
    int32_t *tokens;   /* [cap] the text and the guesses behind it: the sampler's history */
    int32_t cap;
    sampler *sampler; /* the request's settings; owned. NULL: nothing is guessed */
    pace pace;
} nextn_seq;

/* One request's wish in a step. */
typedef struct nextn_job {
    nextn_seq *s;
    const int32_t *tokens; /* [n] what there is */
    int32_t n;
    int32_t most;   /* guesses, at least 1 */
    int32_t *guess; /* [most] */
    int32_t got;    /* out */
} nextn_job;

/* m has such a layer. t is the engine's own team. */
nextn *nextn_new(model *m, team *t, kern_kv_type type, int32_t n_ctx, int32_t batch_tokens,
                 int32_t max_requests, err *e);
void nextn_free(nextn *x); /* after every sequence; NULL is fine */

/* The states of tokens [pos, pos + n) are computed; tokens: at least pos + n + 1 of them. */
void nextn_follow(nextn *x, nextn_seq *s, const int32_t *tokens, int32_t pos, const float *states,
                  int32_t n);
/* Tokens that are worth guessing behind n of them, at most `most`: 0 while it rests, or knows
 * nothing of the last token. */
int32_t nextn_most(const nextn *x, nextn_seq *s, int32_t n, int32_t most, const cost *target);
/* Guesses for all jobs side by side. */
void nextn_run(nextn *x, nextn_job *jobs, int32_t n_jobs);
void nextn_leave(nextn *x, nextn_seq *s); /* keys and values go; x NULL is fine */

#endif
