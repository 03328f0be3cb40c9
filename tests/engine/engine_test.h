/* Help for the engine's tests: tiny models by name, requests run to their end, and hooks that
 * take notes and can hold the engine's thread at a chosen place. */
#ifndef HEARTH_TESTS_ENGINE_TEST_H
#define HEARTH_TESTS_ENGINE_TEST_H

#include <semaphore.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "hearth.h"

/* Weights of Q8_0; opened once, closed at exit. Fails the test when it cannot. */
hearth_model *tiny_get(const char *name);

#define MAX_TEXT 4096
#define MAX_OUT 512

typedef struct answer {
    int32_t id[MAX_OUT]; /* without the item that has no token */
    int n;
    char text[MAX_TEXT];
    size_t n_text;
    float logprob[MAX_OUT];
    hearth_usage usage;
    int last; /* what hearth_next gave at the end: 0 or -1 */
    hearth_err e;
} answer;

/* Reads to the end and frees the request. */
void answer_read(answer *a, hearth_request *r);
/* Submits, reads, frees. */
void answer_get(answer *a, hearth_engine *g, const hearth_params *p);
/* Fails unless both have the same tokens, text and finish. */
void answer_same(const answer *a, const answer *b, const char *what);
/* Requests 0 .. n-1 (at most MAX_COMPANY), each alone and then all at once; `check` sees each
 * answer, which is in *got. */
#define MAX_COMPANY 16
void answers_check(hearth_engine *g, int n, hearth_params (*params_of)(int), answer *got,
                   void (*check)(int i, const char *what), const char *what);

/* What a request says whose answer outgrows g's context, as requests that never shift say it:
 * after each part the next one's prompt is what a shift keeps, of which the first `keep` are the
 * prompt's. out: [p.max_tokens]; g reuses nothing. */
void answer_by_parts(hearth_engine *g, hearth_params p, int32_t keep, int32_t *out);

hearth_engine *engine_get(hearth_model *m, const hearth_engine_options *o);
/* Every request has been freed: recounts the pages and frees the engine. */
void engine_done(hearth_engine *g);
uint64_t engine_preemptions(const hearth_engine *g);
/* Bytes of one KV page of all groups, and of what n positions need. */
uint64_t engine_kv_bytes(hearth_model *m, hearth_kv type, int32_t n, int32_t chunk);

/* n tokens drawn from bytes that print; seed says which. */
void prompt_make(int32_t *ids, int32_t n, uint64_t seed);

/* ---- guesses ahead, by another model or by a layer of its own ---- */
#define GUESSED_CTX 256

typedef struct guess_tally {
    int drafted, accepted; /* of all answers */
} guess_tally;

/* Request i of six, each of another kind: greedy and drawn, with penalties, log-probabilities
 * ... */
hearth_params guessed_params(int i);
/* Fails unless the six requests give the same bytes without guesses and, alone and together, in
 * engines of all sorts that guess as o says. `begun` (or NULL) sees each engine before it works. */
guess_tally guessed_check(hearth_model *m, hearth_engine_options o, hearth_params (*params_of)(int),
                          void (*begun)(hearth_engine *g, bool guesses), const char *what);

/* ---- hooks ---- */
#define MAX_NOTES 256

typedef struct note {
    int opened, settled;
    int32_t n_prompt, prefilled, generated;
    _Atomic int ready;
    int order; /* in which it was settled: 1, 2, ... */
    hearth_usage usage;
} note;

/* Tags are small numbers from 1. The engine's thread stops in the hook `hold` names until `go`
 * is posted; `held` is posted when it does so. */
typedef struct notes {
    note of[MAX_NOTES];
    int n_settled;
    enum { HOLD_NEVER, HOLD_OPENED, HOLD_PREFILL, HOLD_DECODE } hold;
    int hold_tag;
    sem_t held, go, news; /* news: posted by every ready */
    bool broken;          /* a call came that the contract forbids */
} notes;

void notes_init(notes *n);
void notes_deinit(notes *n);
hearth_hooks notes_hooks(notes *n);
void *tag_of(int i);
/* A cmocka test's own notes, anew for each. */
extern notes heard;
int heard_setup(void **state);
int heard_teardown(void **state);

#endif
