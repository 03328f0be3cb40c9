/* A request as its client sees it, and the way of its tokens from the engine's thread to the
 * client. */
#include "engine/engine_private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"

void request_list_add(request_list *l, hearth_request *r) {
    r->next = NULL;
    if (l->last) l->last->next = r;
    else l->first = r;
    l->last = r;
}

/* ---- birth and death ---- */

static bool prompt_check(const hearth_engine *g, const hearth_params *p, err *e) {
    if (g->encoder)
        return err_set(e, ERR_USAGE, "this model sums up texts (embeddings) and generates none");
    if (!p->prompt || p->n_prompt == 0)
        return err_set(e, ERR_USAGE, "the prompt is empty: at least one token is wanted");
    size_t room = (size_t)g->n_ctx - (p->max_tokens != 0);
    if (p->n_prompt > room)
        return err_set(e, ERR_NO_FIT,
                       "the prompt has %zu tokens; the context of %d leaves room for %zu",
                       p->n_prompt, g->n_ctx, room);
    for (size_t i = 0; i < p->n_prompt; i++)
        if (p->prompt[i] < 0 || p->prompt[i] >= g->n_vocab)
            return err_set(
                e, ERR_USAGE,
                "prompt: there is no token %d (at index %zu); the vocabulary has 0 to %d",
                p->prompt[i], i, g->n_vocab - 1);
    if (p->weight < 0 || p->weight > LIMIT_WEIGHT)
        return err_set(e, ERR_USAGE, "weight is %d; it must lie in 1 .. %d", p->weight,
                       LIMIT_WEIGHT);
    if (!g->tok && p->stop && p->stop[0])
        return err_set(e, ERR_USAGE, "stop strings: this model has no tokenizer");
    return text_stops_check(p->stop, e) && sampler_check(p, g->n_vocab, e);
}

static str piece_of(const void *ud, int32_t id) {
    return tok_piece(ud, id, true);
}

hearth_request *request_blank(hearth_engine *g, const char *owner, const int32_t *ids, size_t n,
                              err *e) {
    hearth_request *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    clock_cond_init(&r->news);
    atomic_init(&r->cancel, false);
    atomic_init(&r->holders, 1);
    r->g = g;
    r->n_prompt = r->n_tokens = (int32_t)n;
    r->cap_tokens = r->n_tokens + 64;
    r->account.n_prompt = r->usage.n_prompt = r->n_prompt;
    r->owner = strdup(owner ? owner : "");
    r->tokens = malloc((size_t)r->cap_tokens * sizeof *r->tokens);
    r->space = r->owner ? strdup(r->owner) : NULL;
    if (r->owner && r->space && r->tokens) {
        memcpy(r->tokens, ids, n * sizeof *r->tokens);
        return r;
    }
    request_release(r);
    err_set(e, ERR_FAILED, "out of memory");
    return NULL;
}

static hearth_request *request_new(hearth_engine *g, const hearth_params *p, err *e) {
    hearth_request *r = request_blank(g, p->owner, p->prompt, p->n_prompt, e);
    if (!r) return NULL;
    r->tag = p->tag;
    r->max_tokens = p->max_tokens;
    r->n_logprobs = p->n_logprobs;
    r->ignore_eos = p->ignore_eos;
    r->special_text = p->special_text;
    r->shifts = p->context_shift;
    r->n_keep = p->n_keep;
    r->weight = p->weight;
    if (p->n_logprobs >= 0 && !(r->raw = malloc((size_t)g->n_vocab * sizeof *r->raw))) {
        request_release(r);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    r->sampler = sampler_new(p, g->n_vocab, g->tok ? piece_of : NULL, g->tok, e);
    /* Another one for who guesses: its history goes back and forth. */
    sampler **guesses = g->drafter ? &r->drafted.sampler : g->nextn ? &r->ahead.sampler : NULL;
    if (guesses) *guesses = sampler_new(p, g->n_vocab, g->tok ? piece_of : NULL, g->tok, e);
    if (!r->sampler || (guesses && !*guesses) ||
        !text_init(&r->text, g->tok, p->special_text, p->stop, e) ||
        !adapt_begin(g, r, p->lora, p->n_lora, e) || !thought_init(&r->thought, p, e) ||
        (p->grammar && !constrain_begin(g, r, p->grammar, e)) || !force_begin(g, r, e)) {
        request_release(r);
        return NULL;
    }
    return r;
}

void request_release(hearth_request *r) {
    if (atomic_fetch_sub(&r->holders, 1) != 1) return;
    for (token_item *i = r->first, *next; i; i = next) {
        next = i->next;
        free(i);
    }
    free(r->current);
    sampler_free(r->sampler);
    constrain_end(r);
    draft_deinit(&r->draft);
    drafter_leave(NULL, &r->drafted);
    nextn_leave(NULL, &r->ahead);
    text_deinit(&r->text);
    thought_deinit(&r->thought);
    tok_ids_deinit(&r->forced);
    adapt_end(r);
    free(r->owner);
    free(r->space);
    free(r->tokens);
    free(r->raw);
    free(r->sum);
    pthread_cond_destroy(&r->news);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

bool queue_enter(hearth_engine *g, int32_t n, err *e) {
    if (atomic_fetch_add(&g->n_queued, n) < g->max_queued) return true;
    atomic_fetch_sub(&g->n_queued, n);
    return err_set(e, ERR_BUSY, "%d requests are waiting already: try again later", g->max_queued);
}

void queue_submit(hearth_engine *g, request_list *l) {
    for (hearth_request *r = l->first; r; r = r->next) {
        r->submitted_s = clock_now_s();
        atomic_store(&r->holders, 2);
    }
    pthread_mutex_lock(&g->lock);
    if (g->inbox.last) g->inbox.last->next = l->first;
    else g->inbox.first = l->first;
    g->inbox.last = l->last;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

hearth_request *hearth_submit(hearth_engine *g, const hearth_params *p, hearth_err *e) {
    err inner = {0};
    bool queued = false;
    hearth_request *r = NULL;
    if (prompt_check(g, p, &inner) && (queued = queue_enter(g, 1, &inner)))
        r = request_new(g, p, &inner);
    if (!r) {
        if (queued) atomic_fetch_sub(&g->n_queued, 1);
        engine_err_out(e, &inner);
        return NULL;
    }
    request_list l = {r, r};
    queue_submit(g, &l);
    return r;
}

void hearth_cancel(hearth_request *r) {
    pthread_mutex_lock(&r->lock);
    bool ended = r->ended;
    pthread_mutex_unlock(&r->lock);
    if (ended || atomic_exchange(&r->cancel, true)) return;
    engine_poke(r->g);
}

void hearth_request_free(hearth_request *r) {
    if (!r) return;
    hearth_cancel(r);
    pthread_mutex_lock(&r->lock);
    r->left = true;
    pthread_mutex_unlock(&r->lock);
    request_release(r);
}

hearth_params hearth_params_default(void) {
    return (hearth_params){.max_tokens = -1,
                           .n_keep = -1,
                           .temperature = 0.8f,
                           .top_k = 40,
                           .top_p = 0.95f,
                           .min_p = 0.05f,
                           .typical_p = 1.0f,
                           .xtc_threshold = 0.1f,
                           .repeat_penalty = 1.0f,
                           .penalty_last_n = 64,
                           .dry_base = 1.75f,
                           .dry_allowed_length = 2,
                           .dry_last_n = -1,
                           .mirostat_tau = 5.0f,
                           .mirostat_eta = 0.1f,
                           .n_logprobs = -1,
                           .thought_budget = -1};
}

/* ---- reading ---- */

/* False when the time was up first. until NULL: no limit. */
static bool news_wait(hearth_request *r, const struct timespec *until) {
    while (!r->first && !r->ended) {
        if (!until) pthread_cond_wait(&r->news, &r->lock);
        else if (pthread_cond_timedwait(&r->news, &r->lock, until) == ETIMEDOUT)
            return r->first || r->ended;
    }
    return true;
}

static int next_until(hearth_request *r, hearth_token *out, const struct timespec *until,
                      hearth_err *e) {
    int got = 1;
    free(r->current);
    r->current = NULL;
    pthread_mutex_lock(&r->lock);
    if (!news_wait(r, until)) {
        got = 2;
    } else if (r->first) {
        r->current = r->first;
        r->first = r->current->next;
        if (!r->first) r->last = NULL;
        *out = r->current->token;
    } else if (r->usage.finish == HEARTH_FINISH_ERROR) {
        engine_err_out(e, &r->failure);
        got = -1;
    } else {
        got = 0;
    }
    pthread_mutex_unlock(&r->lock);
    return got;
}

int hearth_next(hearth_request *r, hearth_token *out, hearth_err *e) {
    return next_until(r, out, NULL, e);
}

int hearth_next_timeout(hearth_request *r, hearth_token *out, int timeout_ms, hearth_err *e) {
    struct timespec until = clock_after_ms(timeout_ms);
    return next_until(r, out, &until, e);
}

void hearth_request_usage(const hearth_request *r, hearth_usage *out) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&r
                                ->lock; /* locking is no change that a reader sees */
    pthread_mutex_lock(lock);
    *out = r->usage;
    pthread_mutex_unlock(lock);
}

/* ---- what the engine tells ---- */

bool request_emit(hearth_request *r, int32_t id, float logprob, const hearth_logprob *top,
                  int n_top) {
    size_t top_bytes = (size_t)n_top * sizeof *top, n = r->text.out.len;
    token_item *i = malloc(sizeof *i + top_bytes + n + 1);
    if (!i) return false;
    char *at = (char *)(i + 1);
    if (n_top > 0) memcpy(at, top, top_bytes);
    char *words = at + top_bytes;
    memcpy(words, n ? r->text.out.data : "", n);
    words[n] = 0;
    i->next = NULL;
    i->token = (hearth_token){.id = id,
                              .text = words,
                              .text_len = n,
                              .logprob = logprob,
                              .top = n_top > 0 ? (const hearth_logprob *)(void *)at : NULL,
                              .n_top = n_top,
                              .ends = id >= 0 && r->finish == HEARTH_FINISH_END};
    pthread_mutex_lock(&r->lock);
    if (r->last) r->last->next = i;
    else r->first = i;
    r->last = i;
    r->unread = true;
    pthread_cond_signal(&r->news);
    pthread_mutex_unlock(&r->lock);
    return true;
}

/* With the lock held, so that who has read the end, or has left, is never told again. */
static void tell(hearth_request *r) {
    bool news = r->unread && !r->left && !r->sum && !r->pin;
    r->unread = false;
    if (news && r->g->hooks.ready) r->g->hooks.ready(r->g->hooks.ud, r->tag);
}

void request_usage_publish(hearth_request *r) {
    pthread_mutex_lock(&r->lock);
    r->usage = r->account;
    pthread_mutex_unlock(&r->lock);
}

void request_end(hearth_request *r) {
    pthread_mutex_lock(&r->lock);
    r->usage = r->account;
    r->ended = r->unread = true;
    pthread_cond_broadcast(&r->news);
    tell(r);
    pthread_mutex_unlock(&r->lock);
}

void request_ready(hearth_request *r) {
    if (!r->g->hooks.ready) return;
    pthread_mutex_lock(&r->lock);
    tell(r);
    pthread_mutex_unlock(&r->lock);
}

void request_fail(hearth_request *r, const err *e) {
    if (r->finish == HEARTH_FINISH_ERROR) return;
    r->finish = HEARTH_FINISH_ERROR;
    pthread_mutex_lock(&r->lock);
    r->failure = *e;
    pthread_mutex_unlock(&r->lock);
}
