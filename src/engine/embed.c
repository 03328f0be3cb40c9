/* Vectors of texts: one call is some requests, one for each text, and waits until all are settled.
 *
 * The call's own memory is on the stack of its thread: the engine's thread touches it last when it
 * settles the last request, with the call's lock held.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/engine_private.h"

/* ---- the engine's side ---- */

void embed_opened(hearth_engine *g, hearth_request *r) {
    embed_call *c = r->sum->call;
    if (c->opened) return;
    c->opened = true;
    if (g->hooks.opened) g->hooks.opened(g->hooks.ud, c->tag, c->usage.n_prompt);
}

/* The worst that became of any: an error, then a cancellation. */
static hearth_finish worse(hearth_finish a, hearth_finish b) {
    if (a == HEARTH_FINISH_ERROR || b == HEARTH_FINISH_ERROR) return HEARTH_FINISH_ERROR;
    return a > b ? a : b;
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

void embed_settled(hearth_engine *g, hearth_request *r) {
    embed_call *c = r->sum->call;
    const hearth_usage *u = &r->account;
    pthread_mutex_lock(&c->lock);
    c->usage.n_cached += u->n_cached;
    c->usage.queued_s = larger(c->usage.queued_s, u->queued_s);
    c->usage.prefill_s = larger(c->usage.prefill_s, u->prefill_s);
    c->usage.finish = worse(c->usage.finish, u->finish);
    if (--c->left == 0) {
        if (g->hooks.settled) g->hooks.settled(g->hooks.ud, c->tag, &c->usage);
        pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- the caller's side ---- */

bool input_encode(const hearth_engine *g, const hearth_input *in, tok_ids *ids, err *e) {
    if (in->ids) {
        for (size_t i = 0; i < in->n_ids; i++) {
            if (in->ids[i] < 0 || in->ids[i] >= g->n_vocab)
                return err_set(e, ERR_USAGE, "there is no token %d; the vocabulary has 0 to %d",
                               in->ids[i], g->n_vocab - 1);
            if (!tok_ids_push(ids, in->ids[i])) return err_set(e, ERR_FAILED, "out of memory");
        }
        return true;
    }
    if (!g->tok) return err_set(e, ERR_FAILED, "this model has no tokenizer: give tokens");
    return tok_encode(g->tok, (str){in->text, in->n_text}, TOK_BOS, ids, e);
}

static bool length_check(const hearth_engine *g, tok_ids *ids, size_t which, bool truncate,
                         err *e) {
    size_t most = (size_t)g->n_ctx;
    if (ids->n == 0) return err_set(e, ERR_USAGE, "text %zu is empty: it has no token", which);
    if (ids->n <= most) return true;
    if (!truncate)
        return err_set(e, ERR_NO_FIT, "text %zu has %zu tokens; %zu fit", which, ids->n, most);
    ids->id[most - 1] = ids->id[ids->n - 1]; /* what ends a text ends it still */
    ids->n = most;
    return true;
}

static hearth_request *sum_request(hearth_engine *g, const tok_ids *ids, int32_t first,
                                   const hearth_embed_params *p, embed_call *c, err *e) {
    hearth_request *r = request_blank(g, p->owner, ids->id, ids->n, e);
    if (!r) return NULL;
    r->weight = p->weight;
    r->sum = calloc(1, sizeof *r->sum + (size_t)g->n_embd * sizeof *r->sum->vec);
    bool ok = r->sum || err_set(e, ERR_FAILED, "out of memory");
    if (!ok || !adapt_begin(g, r, p->lora, p->n_lora, e)) {
        request_release(r);
        return NULL;
    }
    r->sum->call = c;
    r->sum->n_first = first;
    c->usage.n_prompt += r->n_prompt;
    return r;
}

static void wait_all(hearth_engine *g, embed_call *c, const hearth_embed_params *p,
                     hearth_request **req, size_t n) {
    bool stopped = false;
    pthread_mutex_lock(&c->lock);
    while (c->left > 0) {
        if (!p->stop || stopped) {
            pthread_cond_wait(&c->done, &c->lock);
            continue;
        }
        struct timespec until = clock_after_ms(100);
        if (pthread_cond_timedwait(&c->done, &c->lock, &until) != ETIMEDOUT) continue;
        pthread_mutex_unlock(&c->lock);
        stopped = p->stop(p->stop_ud);
        for (size_t i = 0; i < n && stopped; i++) atomic_store(&req[i]->cancel, true);
        if (stopped) engine_poke(g);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

static void call_init(embed_call *c, void *tag, size_t n) {
    *c = (embed_call){.tag = tag, .left = (int32_t)n};
    pthread_mutex_init(&c->lock, NULL);
    clock_cond_init(&c->done);
}

static bool outcome(const embed_call *c, hearth_request **req, size_t n, err *e) {
    if (c->usage.finish == HEARTH_FINISH_CANCELLED) return err_set(e, ERR_INTERRUPTED, "cancelled");
    if (c->usage.finish != HEARTH_FINISH_ERROR) return true;
    for (size_t i = 0; i < n; i++)
        if (req[i]->usage.finish == HEARTH_FINISH_ERROR) *e = req[i]->failure;
    return false;
}

bool embed_run(hearth_engine *g, tok_ids *texts, const int32_t *first, size_t n,
               const hearth_embed_params *p, hearth_pooling how, int32_t yes, int32_t no,
               hearth_request **req, err *e) {
    embed_call c;
    request_list l = {0};
    size_t made = 0;
    bool ok = true;
    if (p->weight < 0 || p->weight > LIMIT_WEIGHT)
        return err_set(e, ERR_USAGE, "weight is %d; it must lie in 1 .. %d", p->weight,
                       LIMIT_WEIGHT);
    call_init(&c, p->tag, n);
    for (; ok && made < n; made += ok) {
        ok = length_check(g, &texts[made], made, p->truncate, e) &&
             (req[made] = sum_request(g, &texts[made], first ? first[made] : 0, p, &c, e));
        if (!ok) break;
        summing *s = req[made]->sum;
        s->how = how;
        s->yes = yes;
        s->no = no;
        req[made]->fresh = how != HEARTH_POOL_LAST; /* every state is wanted, or the first */
        request_list_add(&l, req[made]);
    }
    ok = ok && queue_enter(g, (int32_t)n, e);
    if (ok) {
        queue_submit(g, &l);
        wait_all(g, &c, p, req, n);
        ok = outcome(&c, req, n, e);
    }
    for (size_t i = 0; i < made && !ok; i++) request_release(req[i]);
    pthread_cond_destroy(&c.done);
    pthread_mutex_destroy(&c.lock);
    return ok;
}

/* What is asked for, or what the file says, or what its kind is made for. */
static hearth_pooling pooling_of(const hearth_engine *g, hearth_pooling asked) {
    hearth_pooling how = asked ? asked : (hearth_pooling)model_pooling_of(g->model->inner);
    if (how == HEARTH_POOL_RANK) return g->encoder ? HEARTH_POOL_CLS : HEARTH_POOL_LAST;
    if (how != HEARTH_POOL_NONE) return how;
    return g->encoder ? HEARTH_POOL_MEAN : HEARTH_POOL_LAST;
}

static void vec_finish(const hearth_request *r, int32_t n, bool raw, float *out) {
    double length = 0, scale = r->sum->how == HEARTH_POOL_MEAN ? 1.0 / r->n_prompt : 1;
    for (int32_t i = 0; i < n; i++) length += (double)r->sum->vec[i] * (double)r->sum->vec[i];
    if (!raw) scale = length > 0 ? 1 / sqrt(length) : 0;
    for (int32_t i = 0; i < n; i++) out[i] = (float)(scale * (double)r->sum->vec[i]);
}

static bool embed(hearth_engine *g, const hearth_input *in, size_t n, const hearth_embed_params *p,
                  float **out, int32_t *n_tokens, err *e) {
    tok_ids *texts = calloc(n, sizeof *texts);
    hearth_request **req = calloc(n, sizeof *req);
    float *vec = calloc(n, (size_t)g->n_embd * sizeof *vec);
    bool ok = texts && req && vec;
    if (!ok) err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; ok && i < n; i++)
        ok = input_encode(g, &in[i], &texts[i], e) || err_wrap(e, "text %zu", i);
    ok = ok && embed_run(g, texts, NULL, n, p, pooling_of(g, p->pooling), -1, -1, req, e);
    for (size_t i = 0; ok && i < n; i++) {
        vec_finish(req[i], g->n_embd, p->raw, vec + i * (size_t)g->n_embd);
        if (n_tokens) n_tokens[i] = req[i]->n_prompt;
        request_release(req[i]);
    }
    for (size_t i = 0; texts && i < n; i++) tok_ids_deinit(&texts[i]);
    free(texts);
    free(req);
    if (ok) *out = vec;
    else free(vec);
    return ok;
}

bool hearth_embed(hearth_engine *g, const hearth_input *in, size_t n, const hearth_embed_params *p,
                  float **out, int32_t *dim, int32_t *n_tokens, hearth_err *e) {
    static const hearth_embed_params none = {0};
    err inner = {0};
    *out = NULL;
    *dim = g->n_embd;
    if (!p) p = &none;
    bool ok;
    if (n == 0 || n > LIMIT_TEXTS)
        ok = err_set(&inner, ERR_USAGE, "%zu texts; there may be 1 to %d", n, LIMIT_TEXTS);
    else if ((unsigned)p->pooling > HEARTH_POOL_RANK)
        ok = err_set(&inner, ERR_USAGE, "pooling is %d; there is no such", (int)p->pooling);
    else ok = embed(g, in, n, p, out, n_tokens, &inner);
    return ok || engine_err_out(e, &inner);
}
