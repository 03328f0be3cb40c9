/* Calls: their table, their turns, and what happens to each before its route's `run`. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "api/api_private.h"
#include "base/clock.h"
#include "base/limits.h"

/* ---- the table ---- */

void call_hold(api_call *c) {
    atomic_fetch_add(&c->core->holders, 1);
}

bool call_hold_live(api_call *c) {
    int n = atomic_load(&c->core->holders);
    while (n > 0)
        if (atomic_compare_exchange_weak(&c->core->holders, &n, n + 1)) return true;
    return false;
}

static void call_free(api_call *c) {
    api *a = c->api;
    struct api_call_core *core = c->core;
    for (int i = 0; i < c->n_choices; i++) {
        pieces_deinit(&c->choice[i]);
    }
    buf_deinit(&c->out);
    buf_deinit(&c->warnings);
    api_obey_end(c);
    json_decref(c->tools);
    json_decref(c->body);
    json_decref(c->settings);
    http_release(c->x);
    pthread_mutex_lock(&a->lock);
    a->slot[core->slot].call = NULL;
    a->slot[core->slot].next_free = a->first_free;
    a->first_free = core->slot;
    a->n_calls--;
    pthread_cond_broadcast(&a->fewer);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_destroy(&core->lock);
    free(core);
    arena_free(c->arena);
    free(c);
}

void call_release(api_call *c) {
    if (atomic_fetch_sub(&c->core->holders, 1) == 1) call_free(c);
}

/* The call of this exchange, held; NULL when it is gone. */
static api_call *slot_call(call_slot *s, const http_exchange *x) {
    pthread_mutex_lock(&s->api->lock);
    api_call *c = s->call;
    if (c && (c->x != x || !call_hold_live(c))) c = NULL;
    pthread_mutex_unlock(&s->api->lock);
    return c;
}

static bool slot_take(api *a, api_call *c) {
    pthread_mutex_lock(&a->lock);
    int32_t i = a->first_free;
    if (i >= 0) {
        a->first_free = a->slot[i].next_free;
        a->slot[i].call = c;
        a->n_calls++;
        c->core->slot = i;
    }
    pthread_mutex_unlock(&a->lock);
    return i >= 0;
}

/* ---- turns ---- */

static void call_list(api_call *c) {
    c->core->job.heavy = atomic_load(&c->core->phase) < CALL_RUNS;
    pool_push(c->api->pool, &c->core->job);
}

void call_tell(api_call *c, unsigned news) {
    struct api_call_core *core = c->core;
    atomic_fetch_or(&core->news, news);
    int turn = atomic_load(&core->turn);
    for (;;) {
        if (turn == TURN_LISTED || turn == TURN_AGAIN) return;
        int next = turn == TURN_NONE ? TURN_LISTED : TURN_AGAIN;
        if (turn == TURN_NONE) call_hold(c); /* the list's */
        if (atomic_compare_exchange_weak(&core->turn, &turn, next)) {
            if (next == TURN_LISTED) call_list(c);
            return;
        }
        if (next == TURN_LISTED) call_release(c);
    }
}

void api_call_poke(api_call *c) {
    call_tell(c, 0);
}

static void on_gone(void *ud, http_exchange *x) {
    api_call *c = slot_call(ud, x);
    if (!c) return;
    pump_cancel(c); /* at once: a worker may be busy */
    call_tell(c, API_NEWS_GONE);
    call_release(c);
}

static void on_tick(void *ud, http_exchange *x) {
    api_call *c = slot_call(ud, x);
    if (!c) return;
    call_tell(c, API_NEWS_TICK);
    call_release(c);
}

static void on_drained(void *ud, http_exchange *x) {
    api_call *c = slot_call(ud, x);
    if (!c) return;
    call_tell(c, 0);
    call_release(c);
}

/* ---- answering ---- */

void call_finish(api_call *c) {
    struct api_call_core *core = c->core;
    if (atomic_exchange(&core->phase, CALL_DONE) == CALL_DONE) return;
    for (int i = 0; i < c->n_choices; i++) {
        pthread_mutex_lock(&core->lock);
        hearth_request *r = c->choice[i].req;
        c->choice[i].req = NULL;
        pthread_mutex_unlock(&core->lock);
        hearth_request_free(r);
    }
    if (c->model) residents_release(c->api->models, c->model, c->keep_alive_s);
    c->model = NULL;
    if (c->cleanup) c->cleanup(c);
    json_decref(c->body);
    c->body = NULL;
    call_release(c); /* the table's: whoever ends a call holds it too */
}

void call_id_send(api_call *c) {
    http_set_header(c->x, "x-request-id", c->id);
    if (c->route->dialect->id_header) http_set_header(c->x, c->route->dialect->id_header, c->id);
}

void api_reply(api_call *c, int status, const char *content_type, const buf *body) {
    if (!body) body = &c->out;
    atomic_fetch_add(status < 400 ? &c->api->counts.answered : &c->api->counts.failed, 1);
    if (c->core->begun) { /* while the model was loaded: the body is the stream's last line */
        http_stream_write(c->x, body->data ? body->data : "", body->len);
        http_stream_write(c->x, "\n", 1);
        http_stream_end(c->x);
    } else {
        call_id_send(c);
        http_reply(c->x, status, content_type, body->data ? body->data : "", body->len);
    }
    call_finish(c);
}

void api_reply_json(api_call *c, int status, const buf *body) {
    api_error e = {0};
    if (!(body ? body : &c->out)->failed) {
        api_reply(c, status, "application/json", body);
        return;
    }
    buf_clear(&c->out);
    api_fail(&e, 500, "answer_too_large", NULL, "the answer does not fit in memory");
    api_reply_error(c, &e);
}

void api_reply_error(api_call *c, const api_error *why) {
    api_error named = *why, *e = &named;
    memcpy(named.request_id, c->id, sizeof named.request_id);
    if (c->core->begun) {
        if (c->route->dialect->stream_error) c->route->dialect->stream_error(c, e);
        http_stream_write(c->x, c->out.data, c->out.len);
        http_stream_end(c->x);
    } else {
        call_id_send(c);
        server_reply_error(c->x, c->route->dialect, e);
    }
    atomic_fetch_add(
        e->status == 429 || e->status == 503 ? &c->api->counts.refused : &c->api->counts.failed, 1);
    call_finish(c);
}

/* ---- before run ---- */

static bool body_parse(api_call *c, api_error *e) {
    c->body = api_json_read(http_body(c->x), e);
    if (c->route->list && json_is_array(c->body))
        c->body = json_pack("{so}", c->route->list, c->body);
    if (!c->body && !e->status) api_no_memory(e);
    return c->body && api_fields_check(c->route->fields, c->body, e);
}

static bool refused(const store_refusal *no, api_error *e) {
    bool rate = strcmp(no->what, "rate") == 0;
    api_fail(e, 429, rate ? "rate_limit_exceeded" : "insufficient_quota", NULL, "%s", no->msg);
    e->retry_after_s = (int)(no->retry_after_s > INT32_MAX ? INT32_MAX : no->retry_after_s);
    return false;
}

static bool admitted(api_call *c, api_error *e) {
    store_refusal no;
    store *s = c->api->store;
    if (!c->route->model) return true;
    if (!store_rate_take(s, c->key.id, &no)) return refused(&no, e);
    return store_budget_check(s, c->key.id, 0, &no) || refused(&no, e);
}

bool call_budget_ok(api_call *c, int64_t n_tokens, api_error *e) {
    store_refusal no;
    return store_budget_check(c->api->store, c->key.id, n_tokens, &no) || refused(&no, e);
}

const char *api_model_find(api_call *c, const char *name) {
    const char *found = residents_find(c->api->models, name);
    return found && store_key_allows(&c->key, found) ? found : NULL;
}

bool api_models_list(api_call *c, resident_row **rows, size_t *n, err *e) {
    size_t all, kept = 0;
    if (!residents_list(c->api->models, rows, &all, e)) return false;
    for (size_t i = 0; i < all; i++)
        if (store_key_allows(&c->key, (*rows)[i].name)) (*rows)[kept++] = (*rows)[i];
    *n = kept;
    return true;
}

bool api_models_get(api_call *c, resident_row **rows, size_t *n) {
    err why = {0};
    api_error e = {0};
    if (api_models_list(c, rows, n, &why)) return true;
    api_fail_err(&e, &why);
    api_reply_error(c, &e);
    return false;
}

static void on_model(void *ud, resident *r, const err *e) {
    api_call *c = ud;
    pthread_mutex_lock(&c->core->lock);
    c->core->came = r;
    if (e) c->core->came_err = *e;
    pthread_mutex_unlock(&c->core->lock);
    call_tell(c, API_NEWS_MODEL);
    call_release(c);
}

/* False: answered, or coming. */
static bool model_get(api_call *c, api_error *e) {
    const char *asked = c->body ? api_get_text(c->body, "model", NULL) : NULL;
    if (!asked) asked = http_query(c->x, "model");
    char shown[120];
    c->keep_alive_s = RESIDENT_KEEP;
    if (c->body && api_get(c->body, "keep_alive") &&
        !api_keep_alive_read(api_get(c->body, "keep_alive"), &c->keep_alive_s))
        return api_fail(e, 400, "invalid_value", "keep_alive",
                        "keep_alive must be seconds or a duration like \"5m\"");
    if (!atomic_load(&c->api->ready)) {
        api_fail(e, 503, "loading_model", NULL, "the model is being loaded");
        e->retry_after_s = 2;
        return false;
    }
    c->model_name = api_model_find(c, asked);
    if (!c->model_name && (!asked || !*asked))
        return api_fail(e, 404, "model_not_found", "model",
                        "no model is named, and the one meant then is not for this key; /v1/models "
                        "lists those that are");
    if (!c->model_name)
        return api_fail(e, 404, "model_not_found", "model",
                        "there is no model \"%s\" here; /v1/models lists what is",
                        str_printable(str_of(asked), shown, sizeof shown));
    err why = {0};
    atomic_store(&c->core->phase, CALL_LOADING);
    call_hold(c); /* the loading thread's */
    resident_state s = residents_want(c->api->models, c->model_name, on_model, c, &c->model, &why);
    if (s == RESIDENT_COMING) return false;
    call_release(c);
    return s == RESIDENT_READY || api_fail_err(e, &why);
}

static void call_run(api_call *c) {
    api_error e = {0};
    c->route->run(c);
    int phase = atomic_load(&c->core->phase);
    if (phase == CALL_RUNS || phase == CALL_WAITS || phase == CALL_DONE) return;
    api_fail(&e, 500, "server_error", NULL, "%s gave no answer", c->route->path);
    api_reply_error(c, &e);
}

static void call_begin(api_call *c) {
    api_error e = {0};
    bool closing = atomic_load(&c->api->closing);
    if (closing) {
        api_fail(&e, 503, "shutting_down", NULL, "the server is shutting down");
        e.retry_after_s = 5;
    }
    if (closing || !access_key(c->api, c->x, c->route->needs, &c->key, &e) || !admitted(c, &e) ||
        (c->route->fields && !body_parse(c, &e))) {
        api_reply_error(c, &e);
        return;
    }
    if (c->route->early && c->route->early(c)) return;
    if (c->route->model && !model_get(c, &e)) {
        if (e.status) api_reply_error(c, &e);
        return;
    }
    call_run(c);
}

static void call_model_came(api_call *c) {
    api_error e = {0};
    pthread_mutex_lock(&c->core->lock);
    c->model = c->core->came;
    err why = c->core->came_err;
    pthread_mutex_unlock(&c->core->lock);
    if (c->model) {
        call_run(c);
    } else {
        api_fail_err(&e, &why);
        api_reply_error(c, &e);
    }
}

/* Whether the answer will be a stream; for calls whose `run` has not yet said so. */
static bool wants_stream(const api_call *c) {
    return c->route->streams != API_WHOLE && c->body &&
           api_get_bool(c->body, "stream", c->route->streams == API_STREAM_USUAL);
}

/* Nobody reads the answer, or nobody may: before there are requests in the engine. */
static void call_drop(api_call *c, unsigned news) {
    api_error e = {0};
    if (news & API_NEWS_GONE) {
        atomic_fetch_add(&c->api->counts.cancelled, 1);
        call_finish(c);
        return;
    }
    api_fail(&e, 503, "shutting_down", NULL, "the server is shutting down");
    e.retry_after_s = 5;
    api_reply_error(c, &e);
}

static void call_turn_do(api_call *c, unsigned news) {
    switch (atomic_load(&c->core->phase)) {
    case CALL_NEW:
        if (news & API_NEWS_GONE) call_drop(c, news);
        else call_begin(c);
        break;
    case CALL_LOADING:
        /* what comes must be taken before the call may end: it has been counted as used */
        if (!(news & API_NEWS_MODEL)) {
            c->core->ending |= news & (API_NEWS_GONE | API_NEWS_END);
            if (news & API_NEWS_TICK && !c->core->ending && wants_stream(c)) pump_keep_alive(c);
        } else if ((news |= c->core->ending) & (API_NEWS_GONE | API_NEWS_END)) {
            pthread_mutex_lock(&c->core->lock);
            c->model = c->core->came;
            pthread_mutex_unlock(&c->core->lock);
            call_drop(c, news);
        } else {
            call_model_came(c);
        }
        break;
    case CALL_RUNS: pump_turn(c, news); break;
    case CALL_WAITS: work_turn(c, news); break;
    default: break;
    }
}

static void call_turn(pool_job *j) {
    api_call *c = j->ud;
    struct api_call_core *core = c->core;
    atomic_store(&core->turn, TURN_RUNS);
    call_turn_do(c, atomic_exchange(&core->news, 0));
    int turn = TURN_RUNS;
    if (atomic_compare_exchange_strong(&core->turn, &turn, TURN_NONE)) {
        call_release(c);
        return;
    }
    atomic_store(&core->turn, TURN_LISTED);
    call_list(c);
}

/* ---- the beginning ---- */

void api_random_name(char *dst, size_t cap, const char *prefix) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned char b[24];
    char name[25] = {0};
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        for (size_t i = 0; i < sizeof b; i++) b[i] = (unsigned char)(clock_now_ns() >> (i % 4 * 8));
    for (size_t i = 0; i < sizeof b; i++) name[i] = letters[b[i] % 62];
    snprintf(dst, cap, "%s%s", prefix, name);
}

void api_call_name(api_call *c, const char *prefix) {
    api_random_name(c->id, sizeof c->id, prefix);
}

static void call_settle_args(api_call *c, const route_match *m) {
    for (int i = 0; i < API_MAX_ARGS; i++)
        if (m->arg[i].n) c->arg[i] = arena_strdup(c->arena, m->arg[i]);
}

static api_call *call_new(api *a, http_exchange *x, const route_match *m) {
    api_call *c = calloc(1, sizeof *c);
    struct api_call_core *core = calloc(1, sizeof *core);
    arena *memory = arena_new(LIMIT_CALL_BYTES);
    if (!c || !core || !memory) {
        free(c);
        free(core);
        arena_free(memory);
        return NULL;
    }
    c->api = a;
    c->x = x;
    c->route = m->route;
    c->arena = memory;
    c->core = core;
    c->began_ns = core->written_ns = clock_now_ns();
    c->created_s = clock_unix_s();
    buf_init(&c->out, LIMIT_CALL_BYTES);
    buf_init(&c->warnings, LIMIT_CALL_BYTES);
    call_settle_args(c, m);
    api_call_name(c, "req_");
    pthread_mutex_init(&core->lock, NULL);
    atomic_store(&core->holders, 1);
    core->job = (pool_job){.run = call_turn, .ud = c};
    return c;
}

void call_start(api *a, http_exchange *x, const route_match *m) {
    api_call *c = call_new(a, x, m);
    if (!c || !slot_take(a, c)) {
        api_error e = {0};
        if (c) {
            pthread_mutex_destroy(&c->core->lock);
            free(c->core);
            arena_free(c->arena);
            free(c);
        }
        api_fail(&e, 503, "server_busy", NULL, "the server has %d calls in hand: try again later",
                 a->max_calls);
        e.retry_after_s = 2;
        atomic_fetch_add(&a->counts.refused, 1);
        server_reply_error(x, m->dialect, &e);
        return;
    }
    http_retain(x);
    call_slot *s = &a->slot[c->core->slot];
    http_on_gone(x, on_gone, s);
    http_on_drained(x, on_drained, s);
    http_on_tick(x, API_TICK_MS, on_tick, s);
    call_tell(c, 0);
}
