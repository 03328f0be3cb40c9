#include "engine/nextn.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/memory.h"

#define NEXTN_PENDING 16 /* states that wait: they are read together */

struct nextn {
    model *m;
    model_exec *exec;
    kv *kv;
    int32_t n_vocab, n_ctx, max_rows, max_jobs;
    size_t n_embd;
    double step_s; /* of one guess a request, lately; 0: not known yet */
    bool broken;   /* it has failed once, and is not asked any more */
    model_seq *seqs;
    model_row *rows;
    float *before; /* [max_jobs * NEXTN_PENDING][n_embd] */
    float *logits; /* [max_jobs][n_vocab] */
    float *state;  /* [max_jobs][n_embd] of the rows with logits */
    nextn_job **live;
};

/* ---- making ---- */

static bool kv_make(nextn *x, kern_kv_type type, int32_t chunk, err *e) {
    const model_kv_group *g = model_nextn_group(x->m);
    /* What is guessed is taken back, so no page is given up for a window. */
    kv_options o = {.n_groups = 1, .page_bytes = {model_kv_page_bytes(g, type)}, .no_reuse = true};
    uint64_t one = kv_need_bytes(&o, x->n_ctx, chunk), free_now = memory_available() / 4;
    o.budget_bytes = one > free_now / (uint64_t)x->max_jobs ? free_now
                                                            : one * (uint64_t)x->max_jobs;
    x->kv = kv_new(&o, e);
    return x->kv != NULL;
}

nextn *nextn_new(model *m, team *t, kern_kv_type type, int32_t n_ctx, int32_t batch_tokens,
                 int32_t max_requests, err *e) {
    nextn *x = calloc(1, sizeof *x);
    if (!x) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    const model_params *p = model_params_of(m);
    size_t n = (size_t)max_requests;
    x->m = m;
    x->n_vocab = p->n_vocab;
    x->n_embd = (size_t)p->n_embd;
    x->n_ctx = n_ctx;
    x->max_jobs = max_requests;
    x->max_rows = max_requests * NEXTN_PENDING;
    if (x->max_rows < batch_tokens) x->max_rows = batch_tokens;
    x->seqs = calloc(n, sizeof *x->seqs);
    x->live = calloc(n, sizeof *x->live);
    x->rows = calloc((size_t)x->max_rows, sizeof *x->rows);
    x->before = malloc(n * NEXTN_PENDING * x->n_embd * sizeof *x->before);
    x->logits = malloc(n * (size_t)x->n_vocab * sizeof *x->logits);
    x->state = malloc(n * x->n_embd * sizeof *x->state);
    bool ok = (x->seqs && x->live && x->rows && x->before && x->logits && x->state) ||
              err_set(e, ERR_NO_FIT, "out of memory for the layer that guesses ahead");
    ok = ok && (x->exec = model_exec_new_nextn(m, t, type, x->max_rows, e)) &&
         kv_make(x, type, x->max_rows, e);
    if (ok) return x;
    nextn_free(x);
    return NULL;
}

void nextn_free(nextn *x) {
    if (!x) return;
    kv_free(x->kv);
    model_exec_free(x->exec);
    free(x->seqs);
    free(x->live);
    free(x->rows);
    free(x->before);
    free(x->logits);
    free(x->state);
    free(x);
}

void nextn_leave(nextn *x, nextn_seq *s) {
    if (x && s->seq) kv_seq_free(x->kv, s->seq, s->tokens);
    free(s->pending);
    free(s->tokens);
    sampler_free(s->sampler);
    *s = (nextn_seq){0};
}

/* ---- reading ---- */

static bool batch_run(nextn *x, int32_t n_seqs, int32_t n_rows, const float *before, bool wants) {
    err e = {0};
    model_batch b = {x->seqs, n_seqs, x->rows, n_rows, NULL};
    if (model_exec_run_nextn(x->exec, &b, before, wants ? x->logits : NULL, wants ? x->state : NULL,
                             &e))
        return true;
    log_msg(LOG_WARN, "the layer that guesses ahead failed and is left out from now on: %s", e.msg);
    x->broken = true;
    return false;
}

/* Nothing is known of tokens before `base`. */
static void seq_begin(nextn *x, nextn_seq *s, int32_t base) {
    if (s->seq) kv_seq_drop(x->kv, s->seq);
    s->base = base;
    s->n = s->n_pending = 0;
}

/* Pages for n states. */
static bool seq_room(nextn *x, nextn_seq *s, int32_t n) {
    if (!s->seq && !(s->seq = kv_seq_new(x->kv, ""))) return false;
    return kv_seq_extend(x->kv, s->seq, n);
}

/* Rows of the n states that come next, with the tokens behind them. */
static void rows_add(nextn *x, const nextn_seq *s, const int32_t *tokens, int32_t n, bool wants,
                     int32_t *n_seqs, int32_t *n_rows) {
    x->seqs[*n_seqs].page[0] = kv_seq_pages(s->seq, 0);
    for (int32_t i = 0; i < n; i++)
        x->rows[(*n_rows)++] = (model_row){tokens[s->base + s->n + i + 1], s->n + i, *n_seqs,
                                           wants && i == n - 1, 0};
    ++*n_seqs;
}

/* Keys and values of n states, and nothing else. Where there is no room it begins anew. */
static void states_read(nextn *x, nextn_seq *s, const int32_t *tokens, const float *states,
                        int32_t n) {
    for (int32_t done = 0, k; done < n && !x->broken; done += k) {
        int32_t n_seqs = 0, n_rows = 0;
        k = n - done < x->max_rows ? n - done : x->max_rows;
        if (!seq_room(x, s, s->n + k)) {
            seq_begin(x, s, s->base + s->n + n - done);
            return;
        }
        rows_add(x, s, tokens, k, false, &n_seqs, &n_rows);
        if (batch_run(x, n_seqs, n_rows, states + (size_t)done * x->n_embd, false)) s->n += k;
    }
}

void nextn_follow(nextn *x, nextn_seq *s, const int32_t *tokens, int32_t pos, const float *states,
                  int32_t n) {
    if (x->broken || !s->sampler || n <= 0) return;
    if (!s->pending && !(s->pending = malloc(NEXTN_PENDING * x->n_embd * sizeof *s->pending)))
        return;
    if (pos != s->base + s->n + s->n_pending) seq_begin(x, s, pos);
    if (s->n_pending + n > NEXTN_PENDING) {
        int32_t waiting = s->n_pending;
        s->n_pending = 0;
        states_read(x, s, tokens, s->pending, waiting);
        states_read(x, s, tokens, states, n - 1); /* the last one waits for a guess */
        states += (size_t)(n - 1) * x->n_embd;
        n = 1;
    }
    memcpy(s->pending + (size_t)s->n_pending * x->n_embd, states,
           (size_t)n * x->n_embd * sizeof *states);
    s->n_pending += n;
}

/* ---- guessing ---- */

int32_t nextn_most(const nextn *x, nextn_seq *s, int32_t n, int32_t most, const cost *target) {
    if (x->broken || s->n_pending == 0 || s->base + s->n + s->n_pending != n - 1) return 0;
    if (most > x->n_ctx - 1 - n) most = x->n_ctx - 1 - n;
    return pace_most(&s->pace, x->step_s, n, most, target);
}

/* The text as the sampler's history, with room for guesses. */
static bool history_make(nextn_seq *s, const nextn_job *j) {
    if (j->n + j->most > s->cap) {
        int32_t cap = j->n + j->n / 2 + j->most + 64;
        int32_t *more = realloc(s->tokens, (size_t)cap * sizeof *more);
        if (!more) return false;
        s->tokens = more;
        s->cap = cap;
    }
    memcpy(s->tokens, j->tokens, (size_t)j->n * sizeof *s->tokens);
    return true;
}

/* Reads what waits, of all jobs; those that can go on come to `live`, in the order of their logits.
 * Returns how many. */
static int32_t catch_up(nextn *x, nextn_job *jobs, int32_t n_jobs) {
    int32_t n_seqs = 0, n_rows = 0, n_live = 0;
    for (int32_t i = 0; i < n_jobs; i++) {
        nextn_job *j = &jobs[i];
        nextn_seq *s = j->s;
        j->got = 0;
        if (!history_make(s, j) || !seq_room(x, s, s->n + s->n_pending + j->most)) continue;
        memcpy(x->before + (size_t)n_rows * x->n_embd, s->pending,
               (size_t)s->n_pending * x->n_embd * sizeof *x->before);
        rows_add(x, s, j->tokens, s->n_pending, true, &n_seqs, &n_rows);
        s->n += s->n_pending;
        s->n_pending = 0;
        x->live[n_live++] = j;
    }
    return n_rows > 0 && batch_run(x, n_seqs, n_rows, x->before, true) ? n_live : 0;
}

/* One guess of each live job from its logits; those that want and may have another stay, and their
 * states come to `before`. */
static int32_t draw_all(nextn *x, int32_t n_live) {
    int32_t stay = 0;
    for (int32_t i = 0; i < n_live; i++) {
        nextn_job *j = x->live[i];
        err e = {0};
        sampler_restart(j->s->sampler);
        int32_t id = sampler_draw(j->s->sampler, x->logits + (size_t)i * (size_t)x->n_vocab,
                                  j->s->tokens, j->n + j->got, &e);
        if (id < 0) continue;
        j->s->tokens[j->n + j->got] = id;
        j->guess[j->got++] = id;
        if (j->got == j->most) continue;
        memcpy(x->before + (size_t)stay * x->n_embd, x->state + (size_t)i * x->n_embd,
               x->n_embd * sizeof *x->state);
        x->live[stay++] = j;
    }
    return stay;
}

void nextn_run(nextn *x, nextn_job *jobs, int32_t n_jobs) {
    int32_t n_live = draw_all(x, catch_up(x, jobs, n_jobs));
    while (n_live > 0) {
        double began = clock_now_s();
        int32_t n_seqs = 0, n_rows = 0;
        for (int32_t i = 0; i < n_live; i++) {
            nextn_seq *s = x->live[i]->s;
            int32_t had = s->n, got = x->live[i]->got;
            s->n += got - 1;
            rows_add(x, s, s->tokens, 1, true, &n_seqs, &n_rows);
            s->n = had; /* a guess's keys and values do not count */
        }
        if (!batch_run(x, n_seqs, n_rows, x->before, true)) return;
        n_live = draw_all(x, n_live);
        double took = clock_now_s() - began;
        x->step_s = x->step_s > 0 ? x->step_s + 0.1 * (took - x->step_s) : took;
    }
}
