/* The timed requests of hearth bench. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/input.h"

#define LIMIT_SECONDS 0.15 /* of each of the machine's limits, before and after a repetition */
/* Tokens that sequences may be ahead of the last one to start. */
#define AHEAD 64

void bench_random_ids(int32_t *ids, int n, int32_t n_vocab, uint64_t stream) {
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)(rng_u64(1616, stream, (uint64_t)i) % (uint64_t)n_vocab);
}

/* ---- what the engine's thread tells ---- */

static void watch_check(bench_watch *w) {
    double now = clock_now_s();
    int64_t sum = 0;
    bool began = true, reached = true;
    for (int i = 0; i < w->n; i++) {
        sum += w->got[i];
        began = began && w->got[i] > 0;
        reached = reached && w->got[i] >= w->goal;
    }
    if (began && !w->all_began) {
        w->all_began = true;
        w->began_s = now;
        w->at_begin = sum;
    }
    if (w->all_done) return;
    w->at_end = sum;
    w->done_s = now;
    w->all_done = reached;
    if (reached) pthread_cond_signal(&w->changed);
}

static void on_progress(void *ud, void *tag, int32_t n_prefilled, int32_t n_generated) {
    bench_watch *w = ud;
    (void)n_prefilled;
    pthread_mutex_lock(&w->lock);
    if (*(int32_t *)tag != n_generated) {
        *(int32_t *)tag = n_generated;
        watch_check(w);
    }
    pthread_mutex_unlock(&w->lock);
}

static void on_settled(void *ud, void *tag, const hearth_usage *u) {
    bench_watch *w = ud;
    (void)tag, (void)u;
    pthread_mutex_lock(&w->lock);
    w->n_settled++;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void watch_begin(bench_watch *w, int n, int32_t goal) {
    pthread_mutex_lock(&w->lock);
    w->n = n;
    w->goal = goal;
    w->n_settled = 0;
    w->all_began = w->all_done = false;
    memset(w->got, 0, (size_t)n * sizeof *w->got);
    pthread_mutex_unlock(&w->lock);
}

static void watch_wait(bench_watch *w) {
    pthread_mutex_lock(&w->lock);
    while (!w->all_done && w->n_settled < w->n) pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

/* ---- requests ---- */

static hearth_params greedy(const int32_t *ids, size_t n, int32_t max_tokens) {
    hearth_params q = hearth_params_default();
    q.temperature = 0;
    q.prompt = ids;
    q.n_prompt = n;
    q.max_tokens = max_tokens;
    q.ignore_eos = true;
    return q;
}

/* Reads a request to its end; its error, if it has one. The ids go to out, at most cap of them. */
static bool request_drain(hearth_request *r, int32_t *out, int32_t cap, int32_t *n, err *e) {
    hearth_err he = {0};
    hearth_token t;
    int more;
    *n = 0;
    while ((more = hearth_next(r, &t, &he)) == 1)
        if (t.id >= 0 && *n < cap) out[(*n)++] = t.id;
    if (more < 0) err_from_hearth(e, &he);
    return more == 0;
}

static hearth_request *submit(bench *b, hearth_engine *g, hearth_params *q, int i, err *e) {
    hearth_err he = {0};
    q->tag = &b->watch.got[i];
    q->lora = b->lora;
    q->n_lora = b->n_lora;
    if (b->n_lora && b->shape.lora_turns) {
        q->lora = &b->lora[(size_t)i % b->n_lora];
        q->n_lora = 1;
    }
    hearth_request *r = hearth_submit(g, q, &he);
    if (!r) err_from_hearth(e, &he);
    return r;
}

/* Seconds from submitting a prompt to the first token after it. */
static bool prefill(bench *b, int repetition, double *seconds, err *e) {
    bench_watch *w = &b->watch;
    int32_t n = 0, id;
    bench_random_ids(b->prompt, b->shape.prompt, b->info.n_vocab, (uint64_t)(repetition + 1));
    hearth_params q = greedy(b->prompt, (size_t)b->shape.prompt, 1);
    watch_begin(w, 1, 1);
    double t0 = clock_now_s();
    hearth_request *r = submit(b, b->engine, &q, 0, e);
    if (!r) return false;
    watch_wait(w);
    *seconds = w->done_s - t0;
    bool ok = request_drain(r, &id, 1, &n, e);
    hearth_request_free(r);
    return ok;
}

/* All sequences together, from when the last one has its first token until it has them all. */
static bool decode(bench *b, int32_t n_tokens, const hearth_grammar *by, double *rate, err *e) {
    const bench_shape *s = &b->shape;
    bench_watch *w = &b->watch;
    hearth_request **r = calloc((size_t)s->sequences, sizeof *r);
    if (!r) return err_set(e, ERR_NO_FIT, "out of memory");
    bool ok = true;
    int32_t ahead = s->sequences > 1 ? AHEAD : 0;
    watch_begin(w, s->sequences, n_tokens + 1);
    for (int i = 0; ok && i < s->sequences; i++) {
        const int32_t *ids = b->ids + (size_t)i * (size_t)s->context;
        hearth_params q = greedy(ids, (size_t)s->context, n_tokens + 1 + ahead);
        q.grammar = by;
        ok = (r[i] = submit(b, b->engine, &q, i, e)) != NULL;
    }
    if (ok) watch_wait(w);
    for (int i = 0; i < s->sequences; i++) {
        int32_t n = 0, id;
        if (!r[i]) continue;
        hearth_cancel(r[i]);
        if (!request_drain(r[i], &id, 1, &n, e)) ok = false;
        hearth_request_free(r[i]);
    }
    free(r);
    if (ok && !w->all_done)
        ok = err_set(e, ERR_FAILED, "the model wrote fewer tokens than it was asked for");
    if (ok) *rate = (double)(w->at_end - w->at_begin) / (w->done_s - w->began_s);
    return ok;
}

/* ---- rewriting a text ---- */

static bool rewrite_once(bench *b, hearth_engine *g, int32_t *out, int32_t *n, double *rate,
                         hearth_usage *u, err *e) {
    bench_watch *w = &b->watch;
    hearth_params q = greedy(b->ids, b->n_ids, b->shape.tokens);
    const hearth_bias ban = {b->banned, -INFINITY};
    q.ignore_eos = false;
    q.bias = &ban;
    q.n_bias = 1;
    watch_begin(w, 1, b->shape.tokens);
    hearth_request *r = submit(b, g, &q, 0, e);
    if (!r) return false;
    watch_wait(w);
    bool ok = request_drain(r, out, b->shape.tokens, n, e);
    hearth_request_usage(r, u);
    hearth_request_free(r);
    if (ok && *n < 2) ok = err_set(e, ERR_FAILED, "the model ends at once: nothing to measure");
    if (ok) *rate = (double)(w->at_end - w->at_begin) / (w->done_s - w->began_s);
    return ok;
}

/* With guesses and without, which must give the same tokens. */
static bool rewrite(bench *b, bench_sample *out, err *e) {
    size_t cap = (size_t)b->shape.tokens;
    int32_t *ids = malloc(2 * cap * sizeof *ids), n[2] = {0};
    hearth_usage u[2] = {0};
    if (!ids) return err_set(e, ERR_NO_FIT, "out of memory");
    bool ok = rewrite_once(b, b->engine, ids, &n[0], &out->decode, &u[0], e) &&
              rewrite_once(b, b->plain, ids + cap, &n[1], &out->plain, &u[1], e);
    if (ok && (n[0] != n[1] || memcmp(ids, ids + cap, (size_t)n[0] * sizeof *ids) != 0))
        ok = err_set(e, ERR_FAILED, "guessing ahead has changed the text: this is a defect");
    b->drafted = u[0].n_drafted;
    b->accepted = u[0].n_accepted;
    b->written = n[0];
    ok = ok && bench_rewrite_check(b, ids, n[0], e);
    free(ids);
    return ok;
}

/* ---- opening ---- */

static bool ids_make(bench *b, err *e) {
    const bench_shape *s = &b->shape;
    if (s->rewrite) return bench_rewrite_ask(b, e);
    b->n_ids = (size_t)s->sequences * (size_t)s->context;
    b->ids = malloc(b->n_ids * sizeof *b->ids);
    if (!b->ids) return err_set(e, ERR_NO_FIT, "out of memory");
    for (int i = 0; i < s->sequences; i++)
        bench_random_ids(b->ids + (size_t)i * (size_t)s->context, s->context, b->info.n_vocab,
                         1000000u + (uint64_t)i);
    return true;
}

static bool engines_make(bench *b, err *e) {
    const bench_shape *s = &b->shape;
    int64_t filled = s->rewrite ? (int64_t)b->n_ids : s->context;
    int64_t need = filled + s->tokens + 1 + (s->sequences > 1 ? AHEAD : 0);
    if (need < s->prompt + 1) need = s->prompt + 1;
    if (need > b->info.n_ctx_train)
        return err_set(e, ERR_NO_FIT, "%lld tokens are more than the model's context of %d",
                       (long long)need, b->info.n_ctx_train);
    hearth_engine_options o = {.n_threads = s->threads,
                               .n_ctx = (int32_t)need,
                               .kv = s->kv == KERN_KV_Q8    ? HEARTH_KV_Q8
                                     : s->kv == KERN_KV_F32 ? HEARTH_KV_F32
                                                            : HEARTH_KV_F16,
                               .max_requests = s->sequences,
                               /* A context is filled once; prompts of prefill are new each time. */
                               .no_prefix_reuse = s->context == 1,
                               .hooks = {&b->watch, NULL, on_progress, on_settled},
                               .draft = b->draft,
                               .no_speculation = !s->rewrite};
    hearth_err he = {0};
    b->engine = hearth_engine_new(b->m, &o, &he);
    o.no_speculation = true;
    o.draft = NULL;
    if (b->engine && s->rewrite) b->plain = hearth_engine_new(b->m, &o, &he);
    if (b->engine && (!s->rewrite || b->plain)) return true;
    err_from_hearth(e, &he);
    return false;
}

/* A list of texts that does not end: masks are made for each token, and none is put in. */
static bool grammar_make(bench *b, err *e) {
    static const char list[] =
        "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1000000}";
    hearth_err he = {0};
    b->grammar = hearth_grammar_new(HEARTH_GRAMMAR_JSON_SCHEMA, list, sizeof list - 1, &he);
    if (!b->grammar) err_from_hearth(e, &he);
    return b->grammar != NULL;
}

static bool open_draft(bench *b, err *e) {
    models_ref r;
    hearth_err he = {0};
    const bench_shape *s = &b->shape;
    if (!s->draft) return true;
    if (!models_find(&r, s->draft, e)) return false;
    b->draft = models_open(&r, s->threads, 0, s->no_pack, &he);
    if (!b->draft) err_from_hearth(e, &he);
    return b->draft != NULL;
}

bool bench_open(bench *b, const models_ref *r, const bench_shape *s, limits *l, err *e) {
    *b = (bench){.shape = *s, .limits = l};
    pthread_mutex_init(&b->watch.lock, NULL);
    pthread_cond_init(&b->watch.changed, NULL);
    hearth_err he = {0};
    gguf *g = models_open_file(r, e);
    bool ok = g && model_cost_of(g, s->kv, &b->cost, e);
    gguf_close(g);
    models_ref bare = *r;
    bare.n_adapters = 0; /* they are opened here */
    if (ok && !(b->m = models_open(&bare, s->threads, 0, s->no_pack, &he))) {
        err_from_hearth(e, &he);
        ok = false;
    }
    ok = ok && hub_loras_of(b->m, r->name, s->lora, &b->lora, &b->n_lora, e);
    if (ok) {
        hearth_model_info_get(b->m, &b->info);
        b->watch.got = calloc((size_t)s->sequences, sizeof *b->watch.got);
        b->prompt = malloc((size_t)(s->prompt + 1) * sizeof *b->prompt);
        ok = (b->watch.got && b->prompt) || err_set(e, ERR_NO_FIT, "out of memory");
    }
    return ok && (!s->constrained || grammar_make(b, e)) && ids_make(b, e) && open_draft(b, e) &&
           engines_make(b, e);
}

void bench_close(bench *b) {
    hearth_engine_free(b->engine);
    hearth_engine_free(b->plain);
    hearth_grammar_free(b->grammar);
    hub_loras_close(b->lora, b->n_lora);
    hearth_model_close(b->m);
    hearth_model_close(b->draft);
    if (b->shape.rewrite) hearth_free(b->ids);
    else free(b->ids);
    hearth_free(b->want);
    free(b->watch.got);
    free(b->prompt);
    if (b->shape.sequences) {
        pthread_mutex_destroy(&b->watch.lock);
        pthread_cond_destroy(&b->watch.changed);
    }
    *b = (bench){0};
}

/* ---- a repetition ---- */

static double larger(double a, double b) {
    return b > a || isnan(a) ? b : a;
}

/* Rates over what the machine could do at most with so many bytes and multiply-adds a token. */
static void shares(const bench *b, bench_sample *s) {
    const model_cost *c = &b->cost;
    const bench_shape *sh = &b->shape;
    double p = sh->prompt, ideal = (c->dot_macs + c->last_dot_macs / p) / s->limit.dot;
    double plain = c->fma_macs + c->last_fma_macs / p;
    if (plain > 0) ideal += plain / s->limit.fma;
    s->prefill_share = s->prefill * ideal;
    double kv = model_cost_kv_bytes(c, sh->context + sh->tokens / 2);
    double step = c->weight_bytes + sh->sequences * kv;
    if (!sh->rewrite && !(c->routed && sh->sequences > 1))
        s->decode_share = s->decode / sh->sequences * step / s->limit.read;
}

bool bench_repeat(bench *b, int i, bench_sample *out, err *e) {
    const bench_shape *s = &b->shape;
    int threads = hearth_engine_threads(b->engine);
    limits_at before = {0}, after = {0};
    double seconds = NAN;
    *out = (bench_sample){NAN, NAN, NAN, NAN, NAN, {threads, NAN, NAN, NAN}};
    if (i >= 0 && b->limits && !limits_measure(b->limits, threads, LIMIT_SECONDS, &before, e))
        return false;
    if (s->prompt > 0 && !prefill(b, i, &seconds, e)) return false;
    if (s->prompt > 0) out->prefill = s->prompt / seconds;
    if (s->rewrite && !rewrite(b, out, e)) return false;
    if (!s->rewrite && s->tokens > 0 &&
        !decode(b, i < 0 && s->tokens > 4 ? 4 : s->tokens, NULL, &out->decode, e))
        return false;
    if (b->grammar) {
        out->plain = out->decode;
        if (!decode(b, s->tokens, b->grammar, &out->decode, e)) return false;
    }
    if (i < 0 || !b->limits) return true;
    if (!limits_measure(b->limits, threads, LIMIT_SECONDS, &after, e)) return false;
    out->limit.read = larger(before.read, after.read);
    out->limit.dot = larger(before.dot, after.dot);
    out->limit.fma = larger(before.fma, after.fma);
    shares(b, out);
    return true;
}
