/* A smaller model that guesses ahead for a larger one with the same vocabulary.
 *
 * It reads the same tokens, in keys and values of its own, and says what it would draw next, a few
 * tokens in a row; the larger model then computes them all at once and finds out what is true, as
 * with guesses from the text's past (draft.h). For a sampled answer it draws with the request's own
 * sampler settings and the same random numbers, so that two models of like mind draw alike.
 *
 * How far it guesses is a matter of pace.h.
 *
 * What goes wrong here costs guesses, never an answer. The engine's thread alone.
 */
#ifndef HEARTH_ENGINE_DRAFTER_H
#define HEARTH_ENGINE_DRAFTER_H

#include "base/team.h"
#include "engine/cost.h"
#include "engine/kv.h"
#include "engine/pace.h"
#include "engine/sample.h"

typedef struct drafter drafter;

/* What it knows of one request. Zero at the beginning. */
typedef struct drafter_seq {
    kv_seq *seq;
    int32_t *tokens; /* [cap] with keys and values: the first n */
    int32_t n, cap;
    sampler *sampler; /* the request's settings; owned */
    pace pace;
} drafter_seq;

/* One request's wish in a step. */
typedef struct drafter_job {
    drafter_seq *s;
    const int32_t *tokens; /* [n] what there is */
    int32_t n;
    int32_t most;   /* guesses, at least 1 */
    int32_t *guess; /* [most] */
    int32_t got;    /* out */
} drafter_job;

/* ERR_USAGE when the vocabularies differ, in one line that says where. The small model must
 * outlive the drafter; t is the engine's own team. */
drafter *drafter_new(model *small, const model *target, team *t, kern_kv_type type, int32_t n_ctx,
                     int32_t batch_tokens, int32_t max_requests, err *e);
void drafter_free(drafter *d); /* after every sequence; NULL is fine */

/* Tokens that are worth guessing behind n of them, at most `most`, where `target` is what the
 * larger model's step costs: 0 while it rests. */
int32_t drafter_most(const drafter *d, drafter_seq *s, int32_t n, int32_t most, const cost *target);
/* Guesses for all jobs side by side. A long text is read in pieces: until it is read nothing is
 * guessed. */
void drafter_run(drafter *d, drafter_job *jobs, int32_t n_jobs);
void drafter_leave(drafter *d, drafter_seq *s); /* keys and values go; d NULL is fine */

#endif
