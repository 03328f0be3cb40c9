/* One step: every decode that is ready, and as much prefill as its time allows beside them.
 *
 * Who takes part is planned by rows first (turns.h), then pages are had for them, oldest request
 * first; if there is no room, the youngest of all leaves until there is. So the oldest always moves
 * on, and nothing can wait in a circle. Where the step is small, decodes add drafts: few rows take
 * hardly longer than one, since the weights are read once.
 */
#include "engine/engine_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"

static int32_t rest_of(const hearth_request *r) {
    return r->n_tokens - r->computed;
}

/* ---- who takes part ---- */

/* True when an older request is about to compute the very page that r needs next. */
static bool waits_for_older(const hearth_engine *g, const hearth_request *r) {
    int32_t pos = r->computed, end = pos + KV_PAGE;
    if (!g->reuse || r->fresh || pos % KV_PAGE != 0 || r->n_tokens - 1 < end) return false;
    for (int32_t i = 0; i < g->n_running && g->running[i] != r; i++) {
        const hearth_request *a = g->running[i];
        if (a->computed < pos || a->computed >= end || a->n_tokens < end) continue;
        if (!kv_seq_same_until(a->seq, r->seq, pos)) continue;
        if (memcmp(a->tokens + pos, r->tokens + pos, KV_PAGE * sizeof *r->tokens) == 0) return true;
    }
    return false;
}

/* Takes what others have put into the tree since. */
static void reuse_more(hearth_engine *g, hearth_request *r) {
    if (rest_of(r) < 2 + r->n_put || r->fresh) return;
    int32_t have = kv_seq_reuse(g->kv, r->seq, r->tokens, r->n_tokens - 1);
    if (!r->preempted) r->account.n_cached += have - r->computed;
    g->stats.n_cached += (uint64_t)(have - r->computed);
    r->computed = have;
}

/* Steps without decodes may take so many times as long as others: who arrives waits for half of
 * one, and more rows at once would hardly be faster. */
#define IDLE_STEPS 3.0

static turns_limits limits_of(const hearth_engine *g) {
    turns_limits l = {.rows = g->batch_tokens,
                      .page = KV_PAGE,
                      .decode_s = g->step_s,
                      .idle_s = IDLE_STEPS * g->step_s,
                      .odd = g->stats.n_steps & 1};
    if (g->max_requests == 1) l.decode_s = l.idle_s = INFINITY; /* nobody could come between */
    return l;
}

/* Sets step_rows of all that run. */
static void plan_rows(hearth_engine *g) {
    int32_t n = 0;
    double until_s = clock_now_s() + g->step_s / 2; /* others wait meanwhile */
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->running[i];
        r->step_rows = 0;
        if (fill_more(g, r, until_s)) continue;
        reuse_more(g, r);
        if (waits_for_older(g, r)) continue;
        g->items[n++] = (turns_item){.owner = r->owner_turns,
                                     .who = r,
                                     .pos = r->computed,
                                     .rest = rest_of(r),
                                     .served = r->served,
                                     .passed = r->passed,
                                     .silent = r->max_tokens == 0};
    }
    turns_limits l = limits_of(g);
    turns_plan(&g->turns, g->items, n, &g->cost, &l);
    for (int32_t i = 0; i < n; i++) {
        hearth_request *r = g->items[i].who;
        r->step_rows = g->items[i].rows;
        r->passed = g->items[i].passed;
    }
}

static void plan_pages(hearth_engine *g) {
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->running[i];
        while (r->step_rows > 0 && !kv_seq_extend(g->kv, r->seq, r->computed + r->step_rows)) {
            if (fill_take_back(g, true)) continue;
            if (g->n_running > 1) {
                engine_preempt(g); /* it may be r itself */
                continue;
            }
            err e;
            err_set(&e, ERR_NO_FIT, "no memory for the keys and values of position %d",
                    r->computed + r->step_rows - 1);
            request_fail(r, &e);
            r->step_rows = 0;
        }
    }
}

/* ---- the model ---- */

static int32_t batch_build(hearth_engine *g) {
    int32_t n_rows = 0, n_logits = 0;
    g->n_batch = 0;
    g->shape = (cost_shape){0};
    g->states = false;
    for (int32_t i = 0; i < g->n_running; i++) {
        hearth_request *r = g->running[i];
        if (r->step_rows == 0) continue;
        int32_t end = r->computed + r->step_rows, s = g->n_batch++;
        bool draws = end == r->n_tokens && (r->max_tokens != 0 || (r->sum && r->sum->yes >= 0));
        g->states |= r->sum != NULL || guess_follows(g, r);
        g->batch[s] = r;
        r->computed_before = r->computed;
        r->served = g->stats.n_steps;
        for (int k = 0; k < MODEL_MAX_KV_GROUPS; k++) g->seqs[s].page[k] = kv_seq_pages(r->seq, k);
        g->seqs[s].lora = r->lora_inner;
        g->seqs[s].n_lora = r->n_lora;
        r->logits = draws ? g->logits + (size_t)n_logits * (size_t)g->n_vocab : NULL;
        if (draws) n_logits += 1 + r->n_draft;
        for (int32_t pos = r->computed; pos < end; pos++)
            g->rows[n_rows++] = (model_row){r->tokens[pos], pos, s, draws && pos == end - 1, 0};
        for (int32_t k = 0; k < r->n_draft; k++)
            g->rows[n_rows++] = (model_row){r->guess[k], end + k, s, true, 0};
        cost_add_rows(&g->shape, r->computed, r->step_rows + r->n_draft);
    }
    g->shape.draws = n_logits;
    return n_rows;
}

/* The rows of one request alone: who is to blame when a batch fails? Not a guess: without it the
 * step may well go on. True when it ran at once. */
static bool run_alone(hearth_engine *g, hearth_request *r, const model_row *rows) {
    err e = {0};
    float *logits = r->logits ? r->logits : g->logits;
    float *hidden = r->sum || guess_follows(g, r) ? g->hidden + (rows - g->rows) * g->n_embd : NULL;
    model_batch b = {g->seqs, g->n_batch, rows, r->step_rows + r->n_draft, &r->cancel};
    if (model_exec_run(g->exec, &b, logits, hidden, &e)) return true;
    bool ok = false;
    if (e.code != ERR_INTERRUPTED && r->n_draft > 0) {
        r->n_draft = 0;
        b.n_rows = r->step_rows;
        ok = model_exec_run(g->exec, &b, logits, hidden, &e);
    }
    if (!ok && e.code == ERR_INTERRUPTED) r->finish = HEARTH_FINISH_CANCELLED;
    else if (!ok) request_fail(r, &e);
    return false;
}

/* False when it did not run through at once: what it took says nothing about the next one. */
static bool batch_run(hearth_engine *g, int32_t n_rows) {
    if (g->n_batch == 1) return run_alone(g, g->batch[0], g->rows);
    err e = {0};
    model_batch b = {g->seqs, g->n_batch, g->rows, n_rows, NULL};
    if (model_exec_run(g->exec, &b, g->logits, g->states ? g->hidden : NULL, &e)) return true;
    const model_row *rows = g->rows;
    for (int32_t i = 0; i < g->n_batch; i++) {
        run_alone(g, g->batch[i], rows);
        rows += g->batch[i]->step_rows + g->batch[i]->n_planned;
    }
    return false;
}

static void batch_commit(hearth_engine *g) {
    int32_t row = 0;
    for (int32_t i = 0; i < g->n_batch; i++) {
        hearth_request *r = g->batch[i];
        if (r->sum && r->finish == HEARTH_FINISH_NONE) sum_take(g, r, row);
        row += r->step_rows + r->n_planned;
        if (r->finish != HEARTH_FINISH_NONE) continue;
        if (rest_of(r) > 1 + r->n_put || r->account.n_generated == 0)
            g->stats.n_prefilled += (uint64_t)r->step_rows;
        r->computed += r->step_rows;
        kv_seq_commit(g->kv, r->seq, r->tokens, r->computed);
        if (r->max_tokens == 0 && r->computed == r->n_tokens) r->finish = HEARTH_FINISH_LENGTH;
    }
}

/* ---- the next token ---- */

static bool token_append(hearth_request *r, int32_t id) {
    if (r->n_tokens == r->cap_tokens) {
        int32_t cap = r->cap_tokens + r->cap_tokens / 2 + 64;
        int32_t *tokens = realloc(r->tokens, (size_t)cap * sizeof *tokens);
        if (!tokens) return false;
        r->tokens = tokens;
        r->cap_tokens = cap;
    }
    r->tokens[r->n_tokens++] = id;
    if (r->account.n_generated++ == 0) r->first_token_s = clock_now_s();
    return true;
}

/* Text of the token, and whether it is the last. */
static bool token_say(const hearth_engine *g, hearth_request *r, int32_t id) {
    bool end = g->tok && (!r->ignore_eos || r->grammar) && tok_is_end(g->tok, id);
    bool ok = true;
    if (g->tok && !end) ok = text_push(&r->text, id);
    else buf_clear(&r->text.out);
    if (r->text.stopped) r->finish = HEARTH_FINISH_STOP;
    else if (end) r->finish = HEARTH_FINISH_END;
    else if (r->account.n_generated == r->max_tokens ||
             (r->n_tokens == g->n_ctx && !shift_may(g, r)))
        r->finish = HEARTH_FINISH_LENGTH;
    if (!g->tok || r->finish == HEARTH_FINISH_NONE) return ok;
    ok = ok && text_flush(&r->text, true);
    if (r->text.stopped) r->finish = HEARTH_FINISH_STOP;
    return ok;
}

/* Drawn from the given row of logits, or put in; -1 when the request has failed. */
static int32_t token_next(const hearth_engine *g, hearth_request *r, float *logits) {
    err e = {0};
    hearth_logprob top[LIMIT_TOP_LOGPROBS];
    float logprob = NAN;
    int n_top = r->n_logprobs > 0 ? r->n_logprobs : 0;
    if (r->raw) memcpy(r->raw, logits, (size_t)g->n_vocab * sizeof *r->raw);
    int32_t id = force_take(r);
    if (id < 0 && (!r->grammar || constrain_logits(r, logits, g->n_vocab, &e)))
        id = sampler_draw(r->sampler, logits, r->tokens, r->n_tokens, &e);
    if (id < 0 || (r->grammar && !constrain_accept(r, id, &e)) || !force_more(g, r, id, &e)) {
        request_fail(r, &e);
        return -1;
    }
    bool ok = !r->raw || sample_logprobs(r->raw, g->n_vocab, id, &logprob, top, n_top);
    ok = ok && token_append(r, id) && token_say(g, r, id) &&
         request_emit(r, id, logprob, top, n_top);
    if (ok) return id;
    err_set(&e, ERR_FAILED, "out of memory");
    request_fail(r, &e);
    return -1;
}

/* Tokens that need no logits: all that are put in, unless their probabilities are wanted. */
static void tokens_put(const hearth_engine *g, hearth_request *r) {
    while (!r->raw && r->n_forced < r->forced.n && r->finish == HEARTH_FINISH_NONE &&
           r->n_tokens < g->n_ctx)
        if (token_next(g, r, NULL) < 0) return;
}

/* The next token, and those after it as long as they are what was guessed. */
static void tokens_draw(const hearth_engine *g, hearth_request *r) {
    if (r->finish != HEARTH_FINISH_NONE || !r->logits) return;
    int32_t first = r->n_tokens, n_right = 0;
    for (;;) { /* row i has the logits behind guess i - 1 */
        float *row = r->logits + (size_t)(r->n_tokens - first) * (size_t)g->n_vocab;
        if (token_next(g, r, row) >= 0) tokens_put(g, r);
        int32_t n = r->n_tokens - first;
        while (n_right < n && n_right < r->n_draft &&
               r->tokens[first + n_right] == r->guess[n_right])
            n_right++;
        if (n_right < n || r->finish != HEARTH_FINISH_NONE || r->n_tokens == g->n_ctx) break;
    }
    r->n_right = n_right;
    r->n_put = r->n_tokens - first - n_right - 1;
    if (r->n_put < 0) r->n_put = 0; /* the last one was guessed, and ended the answer */
    r->account.n_drafted += r->n_draft;
    r->account.n_accepted += n_right;
    guess_learn(r);
}

static void draw_some(team *t, int me, void *ud) {
    (void)me;
    hearth_engine *g = ud;
    for (int i; (i = team_next(t)) < g->n_batch;) tokens_draw(g, g->batch[i]);
}

/* Guesses that were right are computed already; the last token drawn never is. */
static void drafts_commit(hearth_engine *g) {
    for (int32_t i = 0; i < g->n_batch; i++) {
        hearth_request *r = g->batch[i];
        int32_t last = r->computed + r->n_right;
        if (last > r->n_tokens - 1) last = r->n_tokens - 1;
        if (r->n_draft == 0 || last <= r->computed) continue;
        r->computed = last;
        kv_seq_commit(g->kv, r->seq, r->tokens, r->computed);
    }
}

static void batch_report(hearth_engine *g) {
    for (int32_t i = 0; i < g->n_batch; i++) {
        hearth_request *r = g->batch[i];
        g->stats.n_decoded += (uint64_t)(r->account.n_generated - r->reported.n_generated);
        g->stats.n_drafted += (uint64_t)(r->account.n_drafted - r->reported.n_drafted);
        g->stats.n_accepted += (uint64_t)(r->account.n_accepted - r->reported.n_accepted);
        r->reported = r->account;
        int32_t prefilled = r->computed < r->n_prompt ? r->computed : r->n_prompt;
        request_usage_publish(r);
        if (g->hooks.progress && !r->sum && !r->pin)
            g->hooks.progress(g->hooks.ud, r->tag, prefilled, r->account.n_generated);
        request_ready(r);
    }
}

void engine_step(hearth_engine *g) {
    double began = clock_now_s();
    plan_rows(g);
    plan_pages(g);
    double planned = clock_now_s();
    guess_plan(g);
    double drafting = clock_now_s() - planned; /* no part of what rows cost */
    int32_t n_rows = batch_build(g);
    if (n_rows == 0) return;
    stats_step_began(g);
    bool whole = batch_run(g, n_rows);
    batch_commit(g);
    if (g->n_batch == 1) tokens_draw(g, g->batch[0]);
    else team_run(g->team, draw_some, g);
    drafts_commit(g);
    guess_follow(g);
    shift_full(g);
    double seconds = clock_now_s() - began;
    if (whole) cost_learn(&g->cost, &g->shape, seconds - drafting);
    stats_step(g, n_rows, seconds);
    stats_step_ended(g);
    batch_report(g);
}
