/* The engine's thread: who is queued, who runs, who is settled. What a step does is in step.c.
 *
 * Admission: the owner with the least account of work, done and promised, is next; of its requests
 * those that were preempted, oldest first, then the queue, shortest first, with age (turns.h). One
 * is let in when what it needs for its tokens so far, and what those that run still need for
 * theirs, can be had without taking from anybody. Whoever is alone is always let in: a request that
 * could not run alone was refused at submit, since the context in force fits the budget.
 *
 * An owner with nothing in the batch does not wait until others have finished theirs: where one has
 * two or more in it, its youngest gives way. Its pages stay in the tree while there is room, so
 * that little is computed again.
 */
#include "engine/engine_private.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "model/memory.h"

void engine_poke(hearth_engine *g) {
    pthread_mutex_lock(&g->lock);
    g->poked = true;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

/* ---- opening and settling ---- */

static void active_set(hearth_engine *g, hearth_request *r, bool active) {
    g->n_active += active - r->active;
    r->active = active;
}

static void request_settle(hearth_engine *g, hearth_request *r) {
    double now = clock_now_s();
    hearth_usage *u = &r->account;
    u->finish = r->finish;
    u->queued_s = (r->rank ? r->admitted_s : now) - r->submitted_s;
    if (r->rank) u->prefill_s = (u->n_generated ? r->first_token_s : now) - r->admitted_s;
    if (u->n_generated) u->decode_s = now - r->first_token_s;
    fill_part(g, r);
    turns_leave(&g->turns, r->owner_turns);
    r->owner_turns = NULL;
    if (!r->rank) atomic_fetch_sub(&g->n_queued, 1);
    active_set(g, r, false);
    g->stats.n_settled++;
    g->full = false;
    if (r->finish == HEARTH_FINISH_CANCELLED && !r->sum) {
        buf_clear(&r->text.out);
        if (text_flush(&r->text, false) && r->text.out.len > 0) request_emit(r, -1, NAN, NULL, 0);
    }
    if (g->hooks.settled && !r->sum && !r->pin) g->hooks.settled(g->hooks.ud, r->tag, u);
    pthread_mutex_lock(&g->lock); /* who has read the end finds it in the figures */
    stats_publish(g);
    pthread_mutex_unlock(&g->lock);
    request_end(r);
    if (r->sum) embed_settled(g, r);
    request_release(r);
}

static void request_open(hearth_engine *g, hearth_request *r) {
    if (r->sum) embed_opened(g, r);
    else if (g->hooks.opened && !r->pin) g->hooks.opened(g->hooks.ud, r->tag, r->n_prompt);
    r->owner_turns = turns_join(&g->turns, r->owner, r->weight);
    if (r->owner_turns) {
        request_list_add(&g->queue, r);
        return;
    }
    err e;
    err_set(&e, ERR_FAILED, "out of memory");
    request_fail(r, &e);
    request_settle(g, r);
}

/* Those that were cancelled leave a list of requests, and are settled. */
static void list_sweep(hearth_engine *g, request_list *l, bool all) {
    request_list keep = {0};
    for (hearth_request *r = l->first, *next; r; r = next) {
        next = r->next;
        if (!all && !atomic_load(&r->cancel)) {
            request_list_add(&keep, r);
            continue;
        }
        r->finish = HEARTH_FINISH_CANCELLED;
        request_settle(g, r);
    }
    *l = keep;
}

static void array_sweep(hearth_engine *g, hearth_request **a, int32_t *n, bool all) {
    int32_t kept = 0;
    for (int32_t i = 0; i < *n; i++) {
        hearth_request *r = a[i];
        if (r->finish == HEARTH_FINISH_NONE && (all || atomic_load(&r->cancel)))
            r->finish = HEARTH_FINISH_CANCELLED;
        if (r->finish == HEARTH_FINISH_NONE) a[kept++] = r;
        else request_settle(g, r);
    }
    *n = kept;
}

static void sweep(hearth_engine *g, bool all) {
    list_sweep(g, &g->queue, all);
    array_sweep(g, g->waiting, &g->n_waiting, all);
    array_sweep(g, g->running, &g->n_running, all);
}

/* ---- admission ---- */

/* Keeps an array in order of rank. */
static void ranked_insert(hearth_request **a, int32_t *n, hearth_request *r) {
    int32_t i = (*n)++;
    for (; i > 0 && a[i - 1]->rank > r->rank; i--) a[i] = a[i - 1];
    a[i] = r;
}

/* The i-th of those that run goes to those that wait. */
static void preempt_at(hearth_engine *g, int32_t i) {
    hearth_request *r = g->running[i];
    g->n_running--;
    memmove(g->running + i, g->running + i + 1, (size_t)(g->n_running - i) * sizeof *g->running);
    if (r->seq) kv_seq_drop(g->kv, r->seq);
    r->computed = 0;
    r->filled = false;
    if (r->sum) r->sum->n_done = 0;
    r->step_rows = 0;
    r->preempted = true;
    active_set(g, r, false);
    g->stats.n_preempted++;
    g->full = false;
    ranked_insert(g->waiting, &g->n_waiting, r);
}

void engine_preempt(hearth_engine *g) {
    preempt_at(g, g->n_running - 1);
}

/* ---- who is next ---- */

/* Tokens that a request without a limit is expected to bring, and the most that any is. */
#define USUAL_ANSWER 256
#define LONG_ANSWER 1024

/* Work that r still is, as far as can be known. */
static double work_left(const hearth_engine *g, const hearth_request *r) {
    int32_t rest = r->n_tokens - r->computed;
    int32_t answer = r->max_tokens < 0 ? USUAL_ANSWER : r->max_tokens - r->account.n_generated;
    if (answer > LONG_ANSWER) answer = LONG_ANSWER;
    double work = turns_work(&g->turns, r->computed, rest, false);
    return answer > 0 ? work + turns_work(&g->turns, r->n_tokens, answer, true) : work;
}

/* Of an owner: what was done for it, and what those of its requests that run still are. */
static double account_of(const hearth_engine *g, const turns_owner *o) {
    double work = o->work;
    for (int32_t i = 0; i < g->n_running; i++)
        if (g->running[i]->owner_turns == o) work += work_left(g, g->running[i]) / o->weight;
    return work;
}

/* The next to be let in; NULL: nobody waits. */
static hearth_request *candidate(const hearth_engine *g) {
    const turns_owner *owner = NULL;
    double least = 0;
    for (hearth_request *r = g->queue.first; r; r = r->next) r->owner_turns->waits = true;
    for (int32_t i = 0; i < g->n_waiting; i++) g->waiting[i]->owner_turns->waits = true;
    for (turns_owner *o = g->turns.first; o; o = o->next) {
        bool waits = o->waits;
        o->waits = false;
        if (!waits) continue;
        double account = account_of(g, o);
        if (owner && account > least) continue; /* equal: the last in the list came first */
        owner = o;
        least = account;
    }
    for (int32_t i = 0; i < g->n_waiting; i++)
        if (g->waiting[i]->owner_turns == owner) return g->waiting[i];
    hearth_request *best = NULL;
    for (hearth_request *r = g->queue.first; r; r = r->next)
        if (r->owner_turns == owner &&
            (!best || turns_before(r->n_tokens, r->passed, best->n_tokens, best->passed)))
            best = r;
    return best;
}

static int32_t n_running_of(const hearth_engine *g, const turns_owner *o) {
    int32_t n = 0;
    for (int32_t i = 0; i < g->n_running; i++) n += g->running[i]->owner_turns == o;
    return n;
}

/* Room for a request whose owner has nothing in the batch: the youngest of the owner that has most
 * gives way. False: nobody has two. */
static bool make_room(hearth_engine *g, const hearth_request *r) {
    if (n_running_of(g, r->owner_turns) > 0) return false;
    if (g->n_running + g->n_waiting >= 2 * g->max_requests) return false;
    int32_t victim = -1, most = 1;
    for (int32_t i = 0; i < g->n_running; i++) {
        int32_t n = n_running_of(g, g->running[i]->owner_turns);
        if (n > most || (n == most && victim >= 0)) victim = i; /* the last: the youngest */
        if (n > most) most = n;
    }
    if (victim < 0) return false;
    preempt_at(g, victim);
    return true;
}

static void queue_remove(hearth_engine *g, hearth_request *gone) {
    request_list keep = {0};
    for (hearth_request *r = g->queue.first, *next; r; r = next) {
        next = r->next;
        if (r != gone && r->owner_turns == gone->owner_turns) r->passed += (uint64_t)gone->n_tokens;
        if (r != gone) request_list_add(&keep, r);
    }
    g->queue = keep;
}

/* Bytes that r still needs for its tokens so far and a little more. */
static uint64_t request_needs(const hearth_engine *g, const hearth_request *r) {
    int32_t n = r->n_tokens + KV_PAGE;
    return kv_seq_missing_bytes(g->kv, r->seq, n < g->n_ctx ? n : g->n_ctx, g->batch_tokens);
}

static bool request_fits(hearth_engine *g, hearth_request *r) {
    if (g->n_running == 0) return true;
    uint64_t need = request_needs(g, r);
    for (int32_t i = 0; i < g->n_running; i++) need += request_needs(g, g->running[i]);
    return need <= kv_free_bytes(g->kv);
}

static bool request_admit(hearth_engine *g, hearth_request *r) {
    if (g->encoder) {
        r->computed = 0; /* it has no state that others could have */
    } else if (!r->seq && !(r->seq = kv_seq_new(g->kv, r->space))) {
        err e;
        err_set(&e, ERR_FAILED, "out of memory");
        request_fail(r, &e);
    } else {
        int32_t most = r->n_tokens - 1;
        if (r->fresh) r->computed = 0;
        else if (!fill_wanted(g, r)) r->computed = kv_seq_reuse(g->kv, r->seq, r->tokens, most);
        else r->computed = kv_seq_reuse_full(g->kv, r->seq, r->tokens, most);
        if (!request_fits(g, r)) {
            kv_seq_drop(g->kv, r->seq);
            r->computed = 0;
            return false;
        }
        if (!r->preempted) r->account.n_cached = r->computed;
        g->stats.n_cached += (uint64_t)r->computed;
    }
    if (r->rank == 0) {
        r->rank = ++g->n_admitted;
        r->admitted_s = clock_now_s();
        atomic_fetch_sub(&g->n_queued, 1);
    }
    return true;
}

static void waiting_remove(hearth_engine *g, const hearth_request *gone) {
    int32_t i = 0;
    while (g->waiting[i] != gone) i++;
    memmove(g->waiting + i, g->waiting + i + 1, (size_t)(--g->n_waiting - i) * sizeof *g->waiting);
}

/* r, or nobody: were another one tried once room was made for r, it could be the one that made it,
 * for ever. */
static bool admit_one(hearth_engine *g, hearth_request *r) {
    while (g->n_running == g->max_requests)
        if (!make_room(g, r)) return false;
    while (!request_admit(g, r))
        if (!fill_take_back(g, true) && !make_room(g, r)) {
            g->full = true;
            return false;
        }
    return true;
}

static void admit(hearth_engine *g) {
    while (!g->full || g->n_running == 0) {
        hearth_request *r = candidate(g);
        if (!r) return;
        bool preempted = r->preempted;
        if (!admit_one(g, r)) return;
        if (preempted) waiting_remove(g, r);
        else queue_remove(g, r);
        if (r->finish != HEARTH_FINISH_NONE) { /* no memory for its sequence */
            request_settle(g, r);
            continue;
        }
        ranked_insert(g->running, &g->n_running, r);
        active_set(g, r, true);
    }
}

/* ---- the thread ---- */

/* Waits for something to do. False: the engine is to stop. */
static bool work_wait(hearth_engine *g) {
    bool busy = g->n_running > 0 || g->n_waiting > 0 || g->queue.first;
    pthread_mutex_lock(&g->lock);
    stats_publish(g);
    while (!busy && !g->stop && !g->poked && !g->inbox.first) pthread_cond_wait(&g->wake, &g->lock);
    request_list arrived = g->inbox;
    bool stop = g->stop, poked = g->poked;
    g->inbox = (request_list){0};
    g->poked = false;
    pthread_mutex_unlock(&g->lock);
    for (hearth_request *r = arrived.first, *next; r; r = next) {
        next = r->next;
        request_open(g, r);
    }
    if (stop || poked) sweep(g, stop);
    return !stop;
}

static void *engine_main(void *ud) {
    hearth_engine *g = ud;
    while (work_wait(g)) {
        while (fill_take_back(g, false)) g->full = false;
        admit(g);
        if (g->encoder) encode_step(g);
        else engine_step(g);
        array_sweep(g, g->running, &g->n_running, false);
    }
    return NULL;
}

/* ---- new and free ---- */

static bool options_check(const hearth_engine_options *o, err *e) {
    if (o->n_threads < 0 || o->n_threads > 256)
        return err_set(e, ERR_USAGE, "n_threads is %d; it must lie between 0 (automatic) and 256",
                       o->n_threads);
    if (o->n_ctx < 0 || o->n_ctx > LIMIT_CONTEXT)
        return err_set(e, ERR_USAGE, "n_ctx is %d; it must lie between 0 (the model's own) and %d",
                       o->n_ctx, LIMIT_CONTEXT);
    if (o->batch_tokens < 0 || o->batch_tokens > LIMIT_BATCH_TOKENS)
        return err_set(e, ERR_USAGE, "batch_tokens is %d; it must lie between 0 (automatic) and %d",
                       o->batch_tokens, LIMIT_BATCH_TOKENS);
    if (o->max_requests < 0 || o->max_requests > LIMIT_RUNNING)
        return err_set(e, ERR_USAGE, "max_requests is %d; it must lie between 0 (automatic) and %d",
                       o->max_requests, LIMIT_RUNNING);
    if (o->step_ms < 0 || o->step_ms > LIMIT_STEP_MS)
        return err_set(e, ERR_USAGE, "step_ms is %d; it must lie between 0 (automatic) and %d",
                       o->step_ms, LIMIT_STEP_MS);
    if (o->max_queued < 0 || o->max_queued > LIMIT_QUEUED)
        return err_set(e, ERR_USAGE, "max_queued is %d; it must lie between 0 (automatic) and %d",
                       o->max_queued, LIMIT_QUEUED);
    if (o->kv != HEARTH_KV_F16 && o->kv != HEARTH_KV_Q8 && o->kv != HEARTH_KV_F32)
        return err_set(e, ERR_USAGE, "kv is %d; there is no such type of KV cache", (int)o->kv);
    return true;
}

kern_kv_type engine_kv_type(hearth_kv kv_type) {
    return kv_type == HEARTH_KV_F16  ? KERN_KV_F16
           : kv_type == HEARTH_KV_Q8 ? KERN_KV_Q8
                                     : KERN_KV_F32;
}

/* The largest context that fits the budget; 0 when not even two tokens do. */
static int32_t ctx_fitting(const kv_options *ko, int32_t most, int32_t chunk) {
    int32_t low = 0, high = most; /* low fits */
    while (low < high) {
        int32_t mid = low + (high - low + 1) / 2;
        if (kv_need_bytes(ko, mid, chunk) <= ko->budget_bytes) low = mid;
        else high = mid - 1;
    }
    return low < 2 ? 0 : low;
}

/* Settles the budget and the context: asked for, it must fit; the model's own is cut to what
 * fits, and whoever made the engine reads from it what came out. */
static bool ctx_settle(hearth_engine *g, const hearth_engine_options *o, kv_options *ko, err *e) {
    int32_t trained = model_params_of(g->model->inner)->n_ctx;
    int32_t want = o->n_ctx > 0 ? o->n_ctx : trained;
    if (want > trained)
        return err_set(e, ERR_NO_FIT, "a context of %d tokens; this model was made for at most %d",
                       want, trained);
    uint64_t one = kv_need_bytes(ko, want, g->batch_tokens), all, available = memory_available();
    ko->budget_bytes = o->kv_bytes;
    if (o->kv_bytes == 0) {
        if (!mul_u64(one, (uint64_t)g->max_requests, &all)) all = UINT64_MAX / 2;
        uint64_t most = available / 4 * 3;
        ko->budget_bytes = all < most ? all : most;
    }
    g->n_ctx = ctx_fitting(ko, want, g->batch_tokens);
    if (g->n_ctx == want) return true;
    if (o->n_ctx > 0 || g->n_ctx == 0)
        return err_set(e, ERR_NO_FIT,
                       "a context of %d tokens needs %.1f MiB for keys and values; %.1f MiB %s, "
                       "which hold %d tokens",
                       want, (double)one / 1048576.0, (double)ko->budget_bytes / 1048576.0,
                       o->kv_bytes ? "were given" : "can be had", g->n_ctx);
    log_msg(LOG_INFO, "the context is %d tokens, not %d: %.1f MiB hold no more", g->n_ctx, want,
            (double)ko->budget_bytes / 1048576.0);
    return true;
}

static bool kv_make(hearth_engine *g, const hearth_engine_options *o, err *e) {
    const model *m = g->model->inner;
    kv_options ko = {.n_groups = g->encoder ? 0 : model_n_kv_groups(m),
                     .no_reuse = o->no_prefix_reuse};
    for (int i = 0; i < ko.n_groups; i++) {
        const model_kv_group *group = model_kv_group_at(m, i);
        ko.page_bytes[i] = model_kv_page_bytes(group, engine_kv_type(o->kv));
        ko.window[i] = group->window;
    }
    return ctx_settle(g, o, &ko, e) && (g->kv = kv_new(&ko, e)) != NULL;
}

static bool buffers_make(hearth_engine *g, err *e) {
    size_t n = (size_t)g->max_requests;
    g->running = calloc(n, sizeof *g->running);
    g->waiting = calloc(2 * n, sizeof *g->waiting);
    g->items = calloc(n, sizeof *g->items);
    g->jobs = calloc(n, sizeof *g->jobs);
    g->batch = calloc(n, sizeof *g->batch);
    g->seqs = calloc(n, sizeof *g->seqs);
    g->rows = calloc((size_t)g->batch_tokens, sizeof *g->rows);
    g->logits = malloc((g->encoder ? 1 : n + DRAFT_MOST) * (size_t)g->n_vocab * sizeof *g->logits);
    if (g->hooks.step) g->parts = calloc(n, sizeof *g->parts);
    if (g->running && g->waiting && g->items && g->jobs && g->batch && g->seqs && g->rows &&
        g->logits && (g->parts || !g->hooks.step))
        return true;
    return err_set(e, ERR_NO_FIT, "out of memory for %zu requests at a time", n);
}

static void engine_delete(hearth_engine *g) {
    fill_close(g);
    kv_free(g->kv);
    drafter_free(g->drafter);
    nextn_free(g->nextn);
    model_exec_free(g->exec);
    team_free(g->team);
    free(g->running);
    free(g->waiting);
    free(g->items);
    free(g->jobs);
    free(g->nextn_jobs);
    turns_deinit(&g->turns);
    free(g->batch);
    free(g->parts);
    free(g->seqs);
    free(g->rows);
    free(g->logits);
    free(g->scratch_at);
    memory_unmap(g->hidden, g->hidden_bytes);
    memory_unmap(g->scratch, g->scratch_bytes);
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* A first guess at what steps cost: weights read at 8 GB/s, 50 G multiply-adds a second a
 * thread. */
static void cost_guess(hearth_engine *g) {
    const model *m = g->model->inner;
    const model_params *p = model_params_of(m);
    double attn = 0, head = (double)p->n_vocab * p->n_embd, all = (double)p->n_params;
    for (int i = 0; i < model_n_kv_groups(m); i++) {
        const model_kv_group *k = model_kv_group_at(m, i);
        attn += (double)k->n_layers * p->n_head * (k->head_dim_k + k->head_dim_v);
    }
    double row = all > 1.2 * head ? all - head : all / 2, speed = 50e9 * team_size(g->team);
    if (p->n_expert > 0) row *= 0.2; /* few of its experts take part */
    double guess[COST_TERMS] = {1e-4 + (double)p->weight_bytes / 8e9, row / speed, attn / speed,
                                head / speed};
    cost_init(&g->cost, guess);
    turns_init(&g->turns, row / attn);
}

/* Everything but the thread. */
static bool engine_build(hearth_engine *g, const hearth_engine_options *o, err *e) {
    if (!options_check(o, e)) return false;
    const model_params *p = model_params_of(g->model->inner);
    g->tok = model_tok(g->model->inner);
    g->n_vocab = p->n_vocab;
    g->hooks = o->hooks;
    g->reuse = !o->no_prefix_reuse;
    g->speculate = !o->no_speculation;
    g->batch_tokens = o->batch_tokens ? o->batch_tokens : 512;
    g->max_requests = o->max_requests ? o->max_requests : 16;
    g->encoder = model_is_encoder(g->model->inner);
    g->n_embd = p->n_embd;
    int32_t whole = o->n_ctx > 0 && o->n_ctx < p->n_ctx ? o->n_ctx : p->n_ctx;
    if (g->encoder && g->batch_tokens < whole) g->batch_tokens = whole;
    g->max_queued = o->max_queued ? o->max_queued : 1024;
    g->step_s = (o->step_ms ? o->step_ms : 100) / 1000.0;
    g->team = team_new(o->n_threads ? o->n_threads : team_default_size(), e);
    if (!g->team || !buffers_make(g, e)) return false;
    cost_guess(g);
    if (!encode_buffers(g, e)) return false;
    kern_kv_type kv_type = g->encoder ? KERN_KV_F32 : engine_kv_type(o->kv);
    g->exec = model_exec_new(g->model->inner, g->team, kv_type, g->batch_tokens, e);
    if (!g->exec || !kv_make(g, o, e) || !fill_open(g, o, e)) return false;
    g->draft_most = o->draft_most > 0 ? o->draft_most : INT32_MAX;
    if (!g->speculate || g->encoder) return true;
    if (o->draft) {
        g->drafter = drafter_new(o->draft->inner, g->model->inner, g->team, kv_type, g->n_ctx,
                                 g->batch_tokens, g->max_requests, e);
        return g->drafter != NULL;
    }
    if (!model_nextn_group(g->model->inner)) return true;
    g->nextn_jobs = calloc((size_t)g->max_requests, sizeof *g->nextn_jobs);
    if (!g->nextn_jobs) return err_set(e, ERR_NO_FIT, "out of memory");
    g->nextn = nextn_new(g->model->inner, g->team, kv_type, g->n_ctx, g->batch_tokens,
                         g->max_requests, e);
    return g->nextn != NULL;
}

hearth_engine *hearth_engine_new(hearth_model *m, const hearth_engine_options *o, hearth_err *e) {
    err inner = {0};
    hearth_engine_options none = {0};
    hearth_engine *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(&inner, ERR_NO_FIT, "out of memory");
        engine_err_out(e, &inner);
        return NULL;
    }
    g->model = m;
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, NULL);
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool ok = engine_build(g, o ? o : &none, &inner);
    if (ok && pthread_create(&g->thread, NULL, engine_main, g) != 0)
        ok = err_set(&inner, ERR_FAILED, "cannot start a thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok) return g;
    engine_delete(g);
    engine_err_out(e, &inner);
    return NULL;
}

void hearth_engine_free(hearth_engine *g) {
    if (!g) return;
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_signal(&g->wake);
    pthread_mutex_unlock(&g->lock);
    pthread_join(g->thread, NULL);
    engine_delete(g);
}

int32_t hearth_engine_ctx(const hearth_engine *g) {
    return g->n_ctx;
}

int hearth_engine_threads(const hearth_engine *g) {
    return team_size(g->team);
}
