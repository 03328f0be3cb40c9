/* What `hearth bench` measures, and how a repetition goes. cmd_bench.c reads the options and
 * prints; bench_run.c times requests; bench_rewrite.c asks for a rewriting; bench_profile.c says
 * where the time goes; limits.c knows the machine.
 *
 * Every repetition is made of requests like any other: sampling (greedy) and the output matrix are
 * in the figures. Times are taken on the engine's own thread, when a step is done. One thread.
 *
 *     bench b;
 *     if (bench_open(&b, &ref, &shape, &e))
 *         for (int i = 0; i < n && bench_repeat(&b, i, &sample, &e); i++) ...
 *     bench_close(&b);
 */
#ifndef HEARTH_CLI_BENCH_H
#define HEARTH_CLI_BENCH_H

#include <pthread.h>

#include "cli/limits.h"
#include "cli/models.h"
#include "hub/beside.h"
#include "model/cost.h"

typedef struct bench_shape {
    int prompt;    /* tokens of a prefill; 0: none */
    int tokens;    /* tokens to decode; 0: none */
    int context;   /* tokens in front of the first one decoded, at least 1 */
    int sequences; /* decoding together */
    int threads;   /* 0: what there is */
    kern_kv_type kv;
    bool no_pack;             /* weights stay in the file */
    bool constrained;         /* decode under a grammar too, to see what that costs */
    const char *draft;        /* a model that guesses ahead while rewriting, or NULL */
    const char *rewrite;      /* a text file, or NULL; then `tokens` is the most to write */
    const char *change;       /* in it, "OLD=NEW"; NULL: some word */
    const hub_adapters *lora; /* beside the model's own; borrowed */
    bool lora_turns;          /* sequence i has the i-th alone, and so on from the first */
} bench_shape;

/* One repetition, in tokens a second; shares of what the machine can do. NAN: not measured. */
typedef struct bench_sample {
    double prefill, decode;
    double plain; /* rewriting without guesses; or decoding freely, with `constrained` */
    double prefill_share, decode_share;
    limits_at limit; /* the better of just before and just after */
} bench_sample;

/* Requests as the engine's thread sees them. */
typedef struct bench_watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n;        /* requests; the first n of got count */
    int32_t *got; /* tokens written so far */
    int32_t goal; /* done when all have so many, or have ended */
    int n_settled;
    bool all_began, all_done;
    double began_s, done_s;
    int64_t at_begin, at_end; /* tokens of all at these two times */
} bench_watch;

typedef struct bench {
    bench_shape shape;
    hearth_model *m, *draft; /* draft may be NULL */
    hearth_lora_use *lora;   /* [n_lora] */
    size_t n_lora;
    hearth_model_info info;
    hearth_engine *engine;
    hearth_engine *plain;    /* without speculation; NULL unless something is rewritten */
    hearth_grammar *grammar; /* NULL unless decoding is constrained */
    bench_watch watch;
    int32_t *ids; /* [sequences][context], or of the text to rewrite */
    size_t n_ids;
    int32_t *want; /* [n_want] what should follow the text that asks for a rewriting */
    size_t n_want;
    int32_t banned;  /* while rewriting: the token of the word that is changed */
    int32_t *prompt; /* [shape.prompt] */
    model_cost cost;
    limits *limits;                     /* NULL: no shares */
    int32_t drafted, accepted, written; /* while rewriting, last repetition */
    double agrees;                      /* share of the page that was written as asked */
} bench;

/* With l, every repetition is set beside the limits; l stays the caller's. */
bool bench_open(bench *b, const models_ref *r, const bench_shape *s, limits *l, err *e);
/* Repetition number -1 warms up: it fills the context, once for all, and does not count. */
bool bench_repeat(bench *b, int i, bench_sample *out, err *e);
void bench_close(bench *b); /* also after a failure, and twice */

/* ---- rewriting ---- */

/* Sets ids, want and banned, and shape.tokens to as many as the page has, or fewer. */
bool bench_rewrite_ask(bench *b, err *e);
/* Sets agrees, of the n tokens that were written. */
bool bench_rewrite_check(bench *b, const int32_t *ids, int32_t n, err *e);

/* ---- where the time goes ---- */

enum { BENCH_MAX_KINDS = 64 };

typedef struct bench_profile {
    const char *name[BENCH_MAX_KINDS];
    /* Seconds of the first thread; decode: of all steps, each of a token of every sequence. */
    double prefill[BENCH_MAX_KINDS], decode[BENCH_MAX_KINDS];
    double prefill_s, decode_s; /* of the whole; the difference is the last name, "other" */
    int n;
} bench_profile;

bool bench_profile_run(const models_ref *r, const bench_shape *s, bench_profile *out, err *e);
void bench_profile_print(const bench_profile *p, const bench_shape *s);
void bench_profile_json(jsonw *w, const bench_profile *p);

/* n tokens that no other stream, or other n, repeats. */
void bench_random_ids(int32_t *ids, int n, int32_t n_vocab, uint64_t stream);

#endif
