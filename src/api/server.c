/* The server's side on the network thread, and its beginning and end. */
#include <stdio.h>
#include <stdlib.h>

#include "api/api_private.h"
#include "api/facts.h"
#include "api/kept.h"
#include "api/pin.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/team.h"

/* ---- requests ---- */

static void reply(http_exchange *x, int status, const char *type, const buf *body) {
    http_reply(x, status, type, body->data ? body->data : "", body->len);
}

void server_reply_error(http_exchange *x, const api_dialect *d, const api_error *e) {
    buf out;
    buf_init(&out, 1 << 16);
    if (e->retry_after_s > 0) {
        char s[24];
        snprintf(s, sizeof s, "%d", e->retry_after_s);
        http_set_header(x, "Retry-After", s);
    }
    if (e->status == 401)
        http_set_header(x, "WWW-Authenticate", d->challenge ? d->challenge : "Bearer");
    d->error(e, &out);
    reply(x, e->status, "application/json", &out);
    buf_deinit(&out);
}

/* A browser asks first. */
static void reply_options(http_exchange *x, const route_match *m) {
    http_set_header(x, "Allow", m->allow);
    if (http_header(x, "origin")) {
        const char *asked = http_header(x, "access-control-request-headers");
        http_set_header(x, "Access-Control-Allow-Methods", m->allow);
        http_set_header(x, "Access-Control-Allow-Headers",
                        asked && strlen(asked) < 2048 ? asked : "authorization, content-type");
        http_set_header(x, "Access-Control-Max-Age", "600");
        if (http_header(x, "access-control-request-private-network"))
            http_set_header(x, "Access-Control-Allow-Private-Network", "true");
    }
    http_reply(x, 204, NULL, NULL, 0);
}

static void reply_no_route(http_exchange *x, const route_match *m) {
    api_error e = {0};
    char shown[160];
    str_printable(str_of(http_path(x)), shown, sizeof shown);
    if (m->status == 405) {
        http_set_header(x, "Allow", m->allow);
        api_fail(&e, 405, "method_not_allowed", NULL, "%s answers %s, not %s", shown, m->allow,
                 http_method(x));
    } else {
        api_fail(&e, 404, "unknown_url", NULL, "there is no %s here; /openapi.json lists what is",
                 shown);
    }
    server_reply_error(x, m->dialect, &e);
}

void api_handle(void *ud, http_exchange *x) {
    api *a = ud;
    api_error e = {0};
    route_match m;
    atomic_fetch_add(&a->counts.requests, 1);
    route_find(x, &m);
    http_set_header(x, "X-Content-Type-Options", "nosniff");
    if (!access_place_ok(a, x, &e)) {
        server_reply_error(x, m.dialect, &e);
    } else if (strcmp(http_method(x), "OPTIONS") == 0 && m.allow[0]) {
        reply_options(x, &m);
    } else if (!m.route) {
        reply_no_route(x, &m);
    } else if (m.route->needs != API_OPEN && m.route->now) {
        store_key key;
        if (access_key(a, x, m.route->needs, &key, &e)) m.route->now(a, x);
        else server_reply_error(x, m.dialect, &e);
    } else if (m.route->now) {
        m.route->now(a, x);
    } else {
        call_start(a, x, &m);
    }
}

/* ---- beginning and end ---- */

static bool table_init(api *a, err *e) {
    a->slot = calloc((size_t)a->max_calls, sizeof *a->slot);
    if (!a->slot) return err_set(e, ERR_NO_FIT, "out of memory");
    for (int32_t i = 0; i < a->max_calls; i++)
        a->slot[i] = (call_slot){.api = a, .next_free = i + 1 < a->max_calls ? i + 1 : -1};
    return true;
}

api *api_new(const api_options *o, err *e) {
    api *a = calloc(1, sizeof *a);
    if (!a) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&a->lock, NULL);
    clock_cond_init(&a->fewer);
    a->store = o->store;
    a->require_key = o->require_key;
    a->context_shift = o->context_shift;
    a->pin = o->pin;
    a->max_calls = o->max_calls > 0 ? o->max_calls : LIMIT_CALLS;
    a->began_ns = clock_now_ns();
    a->began_s = clock_unix_s();
    residents_options models = o->models;
    pump_hooks(&models.engine.hooks);
    store *on_disk = o->keep_responses_s != 0 ? o->store : NULL;
    err why = {0};
    if (!store_responses_trim(o->store, o->keep_responses_s, &why))
        log_msg(LOG_WARN, "old responses cannot be deleted: %s", why.msg);
    if (o->keep_responses_s > 0) store_responses_keep(o->store, o->keep_responses_s);
    int n_workers = o->n_workers > 0 ? o->n_workers : team_default_size() > 4 ? 4 : 3;
    if (energy_open(a, o, &models.engine.hooks, e) && table_init(a, e) &&
        access_hosts_init(a, o->allow_host, e) &&
        (((a->kept = kept_new(LIMIT_KEPT_BYTES, on_disk, o->keep_responses_s)) &&
          (a->grammars = grammars_new()) && (a->facts = facts_cache_new())) ||
         err_set(e, ERR_NO_FIT, "out of memory")) &&
        (a->models = residents_new(&models, e)) && (a->pool = pool_new(n_workers, e)) &&
        (a->slow = pool_new(API_SLOW_THREADS, e)))
        return a;
    api_free(a);
    return NULL;
}

/* In the first model, which stays. */
static bool prefixes_publish(api *a, err *e) {
    resident *r = NULL;
    const char *name = residents_find(a->models, NULL);
    if (residents_want(a->models, name, NULL, NULL, &r, e) != RESIDENT_READY) return false;
    hearth_lora_use use[LIMIT_LORAS];
    size_t n_use = resident_loras(a->models, r, use);
    bool ok = true;
    for (const char *const *file = a->pin; ok && *file; file++) {
        size_t n = 0;
        ok = pin_file(resident_model(r), resident_engine(r), *file, use, n_use, &n, e);
        if (ok) log_msg(LOG_INFO, "%s: %zu tokens are published to all", *file, n);
    }
    residents_release(a->models, r, RESIDENT_KEEP);
    return ok;
}

bool api_load(api *a, err *e) {
    if (!residents_load(a->models, e) || (a->pin && !prefixes_publish(a, e))) return false;
    atomic_store(&a->ready, true);
    return true;
}

int api_n_calls(const api *a) {
    pthread_mutex_lock((pthread_mutex_t *)&a->lock);
    int n = a->n_calls;
    pthread_mutex_unlock((pthread_mutex_t *)&a->lock);
    return n;
}

/* Until no call is left, or the time is up. */
static void wait_for_calls(api *a, int ms) {
    struct timespec until = clock_after_ms(ms);
    pthread_mutex_lock(&a->lock);
    while (a->n_calls > 0 && pthread_cond_timedwait(&a->fewer, &a->lock, &until) == 0) continue;
    pthread_mutex_unlock(&a->lock);
}

void api_drain(api *a, int drain_ms) {
    enum { LAST_WORDS_MS = 2000 };
    atomic_store(&a->closing, true);
    wait_for_calls(a, drain_ms);
    for (int32_t i = 0; i < a->max_calls; i++) {
        pthread_mutex_lock(&a->lock);
        api_call *c = a->slot[i].call;
        if (c && !call_hold_live(c)) c = NULL;
        pthread_mutex_unlock(&a->lock);
        if (!c) continue;
        call_tell(c, API_NEWS_END);
        call_release(c);
    }
    wait_for_calls(a, LAST_WORDS_MS);
}

void api_free(api *a) {
    if (!a) return;
    if (a->slot && a->pool) {
        api_drain(a, 0);
        energy_drain(a);
        wait_for_calls(a, 60000); /* each is settled by the engine's next step */
    }
    pool_free(a->slow);
    pool_free(a->pool);
    residents_free(a->models);
    energy_close(a);
    kept_free(a->kept);
    shelf_free(a->grammars);
    facts_cache_free(a->facts);
    access_hosts_deinit(a);
    free(a->slot);
    pthread_cond_destroy(&a->fewer);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
