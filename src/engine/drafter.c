#include "engine/drafter.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/memory.h"

/* Vocabularies of one family are padded to different sizes. */
#define PADDING_MOST 512

struct drafter {
    model *m;
    model_exec *exec;
    kv *kv;
    int32_t n_vocab, target_vocab, n_ctx, max_rows, max_jobs;
    double step_s; /* of one token a request, lately; 0: not known yet */
    bool broken;   /* it has failed once, and is not asked any more */
    model_seq *seqs;
    model_row *rows;
    float *logits; /* [max_jobs][n_vocab] */
    drafter_job **live;
};

/* ---- making ---- */

/* The texts of all tokens that both have. */
static bool same_vocabulary(const model *small, const model *target, err *e) {
    const gguf *a = model_gguf(small), *b = model_gguf(target);
    const char *key = "tokenizer.ggml.tokens", *why = "one of them has no vocabulary";
    const gguf_kv *x = gguf_find(a, key), *y = gguf_find(b, key);
    str s, t;
    uint64_t n = 0;
    int32_t na = model_params_of(small)->n_vocab, nb = model_params_of(target)->n_vocab;
    if (!x || !y) goto differ;
    why = "one has many more tokens";
    if (na - nb > PADDING_MOST || nb - na > PADDING_MOST) goto differ;
    why = "one reads text in another way";
    if (!gguf_get_str(a, "tokenizer.ggml.model", &s) ||
        !gguf_get_str(b, "tokenizer.ggml.model", &t) || !str_eq(s, t))
        goto differ;
    why = "some tokens are other texts";
    n = x->n < y->n ? x->n : y->n;
    for (uint64_t i = 0; i < n; i++)
        if (!gguf_item_str(x, a, i, &s) || !gguf_item_str(y, b, i, &t) || !str_eq(s, t))
            goto differ;
    return true;
differ:
    return err_set(e, ERR_USAGE,
                   "%s: cannot draft for %s: it needs the same vocabulary, and %s (%d tokens, %d)",
                   gguf_path(a), gguf_path(b), why, na, nb);
}

static bool kv_make(drafter *d, kern_kv_type type, int32_t chunk, err *e) {
    kv_options o = {.n_groups = model_n_kv_groups(d->m), .no_reuse = true};
    for (int i = 0; i < o.n_groups; i++) {
        const model_kv_group *g = model_kv_group_at(d->m, i);
        o.page_bytes[i] = model_kv_page_bytes(g, type);
        o.window[i] = 0; /* what is guessed is taken back: nothing is given up in between */
    }
    uint64_t one = kv_need_bytes(&o, d->n_ctx, chunk), free_now = memory_available() / 4;
    o.budget_bytes = one > free_now / (uint64_t)d->max_jobs ? free_now
                                                            : one * (uint64_t)d->max_jobs;
    d->kv = kv_new(&o, e);
    return d->kv != NULL;
}

drafter *drafter_new(model *small, const model *target, team *t, kern_kv_type type, int32_t n_ctx,
                     int32_t batch_tokens, int32_t max_requests, err *e) {
    if (model_is_encoder(small)) {
        err_set(e, ERR_USAGE, "%s: cannot draft: it writes no text", gguf_path(model_gguf(small)));
        return NULL;
    }
    if (!same_vocabulary(small, target, e)) return NULL;
    drafter *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    const model_params *p = model_params_of(small);
    d->m = small;
    d->n_vocab = p->n_vocab;
    d->target_vocab = model_params_of(target)->n_vocab;
    d->n_ctx = n_ctx < p->n_ctx ? n_ctx : p->n_ctx;
    d->max_jobs = max_requests;
    d->max_rows = batch_tokens > max_requests ? batch_tokens : max_requests;
    size_t n = (size_t)max_requests;
    d->seqs = calloc(n, sizeof *d->seqs);
    d->live = calloc(n, sizeof *d->live);
    d->rows = calloc((size_t)d->max_rows, sizeof *d->rows);
    d->logits = malloc(n * (size_t)d->n_vocab * sizeof *d->logits);
    bool ok = (d->seqs && d->live && d->rows && d->logits) ||
              err_set(e, ERR_NO_FIT, "out of memory for a draft model");
    ok = ok && (d->exec = model_exec_new(small, t, type, d->max_rows, e)) &&
         kv_make(d, type, d->max_rows, e);
    if (ok) return d;
    drafter_free(d);
    return NULL;
}

void drafter_free(drafter *d) {
    if (!d) return;
    kv_free(d->kv);
    model_exec_free(d->exec);
    free(d->seqs);
    free(d->live);
    free(d->rows);
    free(d->logits);
    free(d);
}

/* ---- how far ---- */

int32_t drafter_most(const drafter *d, drafter_seq *s, int32_t n, int32_t most,
                     const cost *target) {
    if (d->broken || n + 1 >= d->n_ctx) return 0;
    if (most > d->n_ctx - 1 - n) most = d->n_ctx - 1 - n;
    return pace_most(&s->pace, d->step_s, n, most, target);
}

/* ---- guessing ---- */

void drafter_leave(drafter *d, drafter_seq *s) {
    if (d && s->seq) kv_seq_free(d->kv, s->seq, s->tokens);
    free(s->tokens);
    sampler_free(s->sampler);
    *s = (drafter_seq){0};
}

/* Room in s for n tokens, and pages. */
static bool seq_room(drafter *d, drafter_seq *s, int32_t n) {
    if (n > s->cap) {
        int32_t cap = n + n / 2 + 64;
        int32_t *more = realloc(s->tokens, (size_t)cap * sizeof *more);
        if (!more) return false;
        s->tokens = more;
        s->cap = cap;
    }
    if (!s->seq && !(s->seq = kv_seq_new(d->kv, ""))) return false;
    return kv_seq_extend(d->kv, s->seq, n);
}

/* What it has read that is still so; the last token is always read again, for its logits. */
static void seq_agree(drafter_seq *s, const int32_t *tokens, int32_t n) {
    int32_t most = s->n < n - 1 ? s->n : n - 1, same = 0;
    while (same < most && s->tokens[same] == tokens[same]) same++;
    s->n = same;
}

static bool ids_known(const drafter *d, const int32_t *ids, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= d->n_vocab) return false;
    return true;
}

static bool batch_run(drafter *d, int32_t n_seqs, int32_t n_rows) {
    err e = {0};
    model_batch b = {d->seqs, n_seqs, d->rows, n_rows, NULL};
    if (model_exec_run(d->exec, &b, d->logits, NULL, &e)) return true;
    log_msg(LOG_WARN, "the draft model failed and is left out from now on: %s", e.msg);
    d->broken = true;
    return false;
}

/* Reads `ids` behind what s has read; the last one with logits if wanted. */
static void rows_add(drafter *d, drafter_seq *s, const int32_t *ids, int32_t n, bool wants,
                     int32_t *n_seqs, int32_t *n_rows) {
    for (int g = 0; g < model_n_kv_groups(d->m); g++)
        d->seqs[*n_seqs].page[g] = kv_seq_pages(s->seq, g);
    for (int32_t i = 0; i < n; i++) {
        d->rows[(*n_rows)++] = (model_row){ids[i], s->n, *n_seqs, wants && i == n - 1, 0};
        s->tokens[s->n++] = ids[i];
    }
    ++*n_seqs;
}

/* Reads what is new of all jobs. Those that have read everything come to `live`, in the order of
 * their logits; returns how many. */
static int32_t catch_up(drafter *d, drafter_job *jobs, int32_t n_jobs) {
    int32_t n_seqs = 0, n_rows = 0, n_live = 0;
    for (int32_t i = 0; i < n_jobs; i++) {
        drafter_job *j = &jobs[i];
        j->got = 0;
        seq_agree(j->s, j->tokens, j->n);
        int32_t from = j->s->n, todo = j->n - from, left = d->max_rows - n_rows - (n_jobs - 1 - i);
        bool whole = todo <= left;
        if (!whole) todo = left;
        if (todo <= 0 || !ids_known(d, j->tokens + from, todo) ||
            !seq_room(d, j->s, j->n + j->most))
            continue;
        rows_add(d, j->s, j->tokens + from, todo, whole, &n_seqs, &n_rows);
        if (whole) d->live[n_live++] = j;
    }
    if (n_rows > 0 && !batch_run(d, n_seqs, n_rows)) return 0;
    return n_live;
}

/* One guess of each live job from its logits; those that want and may have another stay. */
static int32_t draw_all(drafter *d, int32_t n_live) {
    int32_t stay = 0;
    for (int32_t i = 0; i < n_live; i++) {
        drafter_job *j = d->live[i];
        err e = {0};
        sampler_restart(j->s->sampler);
        int32_t id = sampler_draw(j->s->sampler, d->logits + (size_t)i * (size_t)d->n_vocab,
                                  j->s->tokens, j->s->n, &e);
        if (id < 0 || id >= d->target_vocab) continue;
        j->guess[j->got++] = id;
        if (j->got < j->most) d->live[stay++] = j;
    }
    return stay;
}

void drafter_run(drafter *d, drafter_job *jobs, int32_t n_jobs) {
    int32_t n_live = catch_up(d, jobs, n_jobs);
    n_live = draw_all(d, n_live);
    while (n_live > 0 && !d->broken) {
        double began = clock_now_s();
        int32_t n_seqs = 0, n_rows = 0;
        for (int32_t i = 0; i < n_live; i++) {
            drafter_job *j = d->live[i];
            rows_add(d, j->s, &j->guess[j->got - 1], 1, true, &n_seqs, &n_rows);
        }
        if (!batch_run(d, n_seqs, n_rows)) return;
        n_live = draw_all(d, n_live);
        double took = clock_now_s() - began;
        d->step_s = d->step_s > 0 ? d->step_s + 0.1 * (took - d->step_s) : took;
    }
}
