/* See load.h. */
#include "cli/load.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/limits.h"
#include "net/client.h"

typedef struct load {
    const load_plan *p;
    char url[1024], authorization[512];
    const char *model;
    str *word;
    size_t n_words;
    pthread_mutex_t lock; /* guards the rest */
    int next, n_done;
    load_result *out;
} load;

/* One answer as it comes. */
typedef struct hearing {
    const load_plan *plan;
    double began, last;
    load_times gaps; /* the first one: since it was asked */
    int64_t tokens, prompt_tokens, cached_tokens;
    bool done;
    http_lines lines;
} hearing;

static bool times_add(load_times *t, double s) {
    if (t->n == t->cap) {
        size_t cap = t->cap * 2 + 64;
        double *v = realloc(t->s, cap * sizeof *v);
        if (!v) return false;
        t->s = v, t->cap = cap;
    }
    t->s[t->n++] = s;
    return true;
}

static int ascending(const void *pa, const void *pb) {
    double a = *(const double *)pa, b = *(const double *)pb;
    return (a > b) - (a < b);
}

double load_quantile(load_times *t, double q) {
    if (t->n == 0) return NAN;
    qsort(t->s, t->n, sizeof *t->s, ascending);
    size_t i = (size_t)(q * (double)t->n);
    return t->s[i < t->n ? i : t->n - 1];
}

void load_result_deinit(load_result *r) {
    free(r->ttft.s);
    free(r->itl.s);
    free(r->latency.s);
    *r = (load_result){0};
}

/* ---- what is asked ---- */

static bool words_split(load *l, str text) {
    size_t cap = 0;
    for (size_t at = 0; at < text.n;) {
        while (at < text.n && (unsigned char)text.p[at] <= ' ') at++;
        size_t from = at;
        while (at < text.n && (unsigned char)text.p[at] > ' ') at++;
        if (at == from) break;
        if (l->n_words == cap) {
            cap = cap * 2 + 1024;
            str *v = realloc(l->word, cap * sizeof *v);
            if (!v) return false;
            l->word = v;
        }
        l->word[l->n_words++] = (str){text.p + from, at - from};
    }
    return true;
}

static void put_message(const load *l, jsonw *w, const char *role, size_t from, size_t n) {
    buf words;
    if (n == 0) return;
    buf_init(&words, LIMIT_TEXT_BYTES);
    for (size_t i = 0; i < n; i++) {
        if (i) buf_putc(&words, ' ');
        buf_put_str(&words, l->word[(from + i) % l->n_words]);
    }
    jsonw_object(w);
    jsonw_key(w, "role"), jsonw_str(w, str_of(role));
    jsonw_key(w, "content"), jsonw_str(w, buf_str(&words));
    jsonw_end(w);
    buf_deinit(&words);
}

static void put_request(const load *l, int number, buf *out) {
    jsonw w;
    size_t shared = (size_t)l->p->shared_words, all = (size_t)l->p->prompt_words;
    size_t rest = all - shared;
    size_t room = l->n_words > rest ? l->n_words - rest : 1; /* the same places on any machine */
    jsonw_init(&w, out);
    jsonw_object(&w);
    jsonw_key(&w, "model"), jsonw_str(&w, str_of(l->model));
    jsonw_key(&w, "messages"), jsonw_array(&w);
    put_message(l, &w, "system", 0, shared);
    put_message(l, &w, "user", (shared + (size_t)number * 997) % room, rest);
    jsonw_end(&w);
    jsonw_key(&w, "stream"), jsonw_bool(&w, true);
    jsonw_key(&w, "temperature"), jsonw_int(&w, 0);
    jsonw_key(&w, "max_tokens"), jsonw_int(&w, l->p->max_tokens);
    jsonw_key(&w, "ignore_eos"), jsonw_bool(&w, true);
    jsonw_key(&w, "stream_options"), jsonw_raw(&w, STR("{\"include_usage\":true}"));
    jsonw_end(&w);
}

/* ---- what is heard ---- */

static bool has_text(const json_t *delta) {
    static const char *const keys[] = {"content", "reasoning_content", "reasoning"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_string_length(json_object_get(delta, keys[i])) > 0) return true;
    return false;
}

static bool on_line(void *ud, str line) {
    hearing *h = ud;
    if (!str_starts(line, STR("data: "))) return true;
    line.p += 6, line.n -= 6;
    if (str_eq(line, STR("[DONE]"))) {
        h->done = true;
        return true;
    }
    json_t *ev = json_loadb(line.p, line.n, 0, NULL);
    const json_t *usage = json_object_get(ev, "usage");
    if (json_is_object(usage)) {
        const json_t *of = json_object_get(usage, "prompt_tokens_details");
        h->tokens = json_integer_value(json_object_get(usage, "completion_tokens"));
        h->prompt_tokens = json_integer_value(json_object_get(usage, "prompt_tokens"));
        h->cached_tokens = json_integer_value(json_object_get(of, "cached_tokens"));
    }
    const json_t *choice = json_array_get(json_object_get(ev, "choices"), 0);
    bool ok = true;
    if (has_text(json_object_get(choice, "delta"))) {
        double now = clock_now_s();
        ok = times_add(&h->gaps, now - h->last);
        h->last = now;
    }
    json_decref(ev);
    return ok;
}

static bool on_body(void *ud, const char *p, size_t n) {
    return http_lines_feed(&((hearing *)ud)->lines, p, n);
}

/* ---- a client ---- */

static void count(load *l, const hearing *h, const char *failure) {
    load_result *r = l->out;
    pthread_mutex_lock(&l->lock);
    bool ok = true;
    if (failure) {
        if (r->n_errors++ == 0) snprintf(r->error, sizeof r->error, "%s", failure);
    } else {
        ok = times_add(&r->ttft, h->gaps.s[0]) && times_add(&r->latency, clock_now_s() - h->began);
        for (size_t i = 1; ok && i < h->gaps.n; i++) ok = times_add(&r->itl, h->gaps.s[i]);
        r->tokens += h->tokens ? h->tokens : (int64_t)h->gaps.n;
        r->prompt_tokens += h->prompt_tokens;
        r->cached_tokens += h->cached_tokens;
    }
    if (!ok && r->n_errors++ == 0) snprintf(r->error, sizeof r->error, "out of memory");
    l->n_done++;
    if (l->p->progress) l->p->progress(l->p->progress_ud, l->n_done, r->tokens);
    pthread_mutex_unlock(&l->lock);
}

static bool stopped(void *ud) {
    const load_plan *p = ((hearing *)ud)->plan;
    return p->stop && p->stop();
}

static void ask_once(load *l, http_client *c, int number) {
    hearing h = {.plan = l->p};
    err e = {0};
    http_answer a;
    buf body;
    buf_init(&body, LIMIT_TEXT_BYTES);
    buf_init(&h.lines.rest, 1 << 20);
    h.lines.line = on_line, h.lines.ud = &h;
    put_request(l, number, &body);
    http_ask q = {.url = l->url,
                  .content_type = "application/json",
                  .authorization = *l->authorization ? l->authorization : NULL,
                  .body = buf_str(&body),
                  .timeout_ms = l->p->timeout_s * 1000,
                  .on_body = on_body,
                  .stopped = stopped,
                  .ud = &h};
    h.began = h.last = clock_now_s();
    bool ok = http_client_fetch(c, &q, &a, &e);
    char why[512] = "";
    if (!ok) snprintf(why, sizeof why, "%s", e.msg);
    else if (a.status != 200)
        snprintf(why, sizeof why, "HTTP %d: %.*s", a.status, STR_ARG(buf_str(&a.body)));
    else if (h.gaps.n == 0) snprintf(why, sizeof why, "no token came");
    else if (!h.done) snprintf(why, sizeof why, "the stream ended early");
    if (a.fault != HTTP_FAULT_STOPPED) count(l, &h, *why ? why : NULL);
    http_answer_deinit(&a);
    buf_deinit(&body);
    buf_deinit(&h.lines.rest);
    free(h.gaps.s);
}

static void *client_main(void *ud) {
    load *l = ud;
    err e = {0};
    http_client *c = http_client_new(&(http_client_options){.stall_timeout_ms = -1}, &e);
    while (c && !(l->p->stop && l->p->stop())) {
        pthread_mutex_lock(&l->lock);
        int number = l->next++;
        pthread_mutex_unlock(&l->lock);
        if (number >= l->p->requests) break;
        ask_once(l, c, number);
    }
    http_client_free(c);
    return NULL;
}

/* ---- the whole ---- */

static bool url_make(load *l, err *e) {
    const char *u = l->p->url, *path = strstr(u, "://");
    size_t n = strlen(u);
    if (!path) return err_set(e, ERR_USAGE, "%s: an address like http://127.0.0.1:11434", u);
    while (n > 0 && u[n - 1] == '/') n--;
    path = memchr(path + 3, '/', (size_t)(u + n - path - 3));
    int k = snprintf(l->url, sizeof l->url, "%.*s%s/chat/completions", (int)n, u,
                     path ? "" : "/v1");
    if (k >= (int)sizeof l->url) return err_set(e, ERR_USAGE, "the address is too long");
    if (l->p->key) k = snprintf(l->authorization, sizeof l->authorization, "Bearer %s", l->p->key);
    return k < (int)sizeof l->authorization || !l->p->key ||
           err_set(e, ERR_USAGE, "the key is too long");
}

/* The first model that the server lists; also shows that it answers. */
static bool model_find(load *l, load_result *out, err *e) {
    char url[1024];
    http_answer a;
    http_client *c = http_client_new(&(http_client_options){0}, e);
    if (!c) return false;
    snprintf(url, sizeof url, "%.*s/models", (int)(strlen(l->url) - strlen("/chat/completions")),
             l->url);
    http_ask q = {.url = url, .authorization = *l->authorization ? l->authorization : NULL};
    bool ok = http_client_fetch(c, &q, &a, e);
    json_t *j = ok ? json_loadb(buf_str(&a.body).p, a.body.len, 0, NULL) : NULL;
    const json_t *first = json_array_get(json_object_get(j, "data"), 0);
    const char *id = json_string_value(json_object_get(first, "id"));
    if (l->p->model) id = l->p->model;
    if (ok && a.status != 200)
        ok = err_set(e, ERR_FAILED, "%s: HTTP %d: %.200s", url, a.status,
                     a.body.data ? a.body.data : "");
    else if (ok && !id) ok = err_set(e, ERR_NOT_FOUND, "%s lists no model: give --model", url);
    if (ok) snprintf(out->model, sizeof out->model, "%s", id);
    json_decref(j);
    http_answer_deinit(&a);
    http_client_free(c);
    return ok;
}

static bool clients_run(load *l, err *e) {
    int n = l->p->clients < l->p->requests ? l->p->clients : l->p->requests, started = 0;
    pthread_t *t = calloc((size_t)n, sizeof *t);
    if (!t) return err_set(e, ERR_NO_FIT, "out of memory");
    while (started < n && pthread_create(&t[started], NULL, client_main, l) == 0) started++;
    for (int i = 0; i < started; i++) pthread_join(t[i], NULL);
    free(t);
    return started == n || err_set(e, ERR_FAILED, "only %d of %d clients could start", started, n);
}

bool load_run(const load_plan *p, load_result *out, err *e) {
    load l = {.p = p, .out = out};
    *out = (load_result){0};
    pthread_mutex_init(&l.lock, NULL);
    bool ok = url_make(&l, e) && model_find(&l, out, e);
    l.model = out->model;
    if (ok && (!words_split(&l, p->text) || l.n_words == 0))
        ok = err_set(e, ERR_USAGE, "the text has no words");
    double began = clock_now_s();
    ok = ok && clients_run(&l, e);
    out->seconds = clock_now_s() - began;
    pthread_mutex_destroy(&l.lock);
    free(l.word);
    return ok;
}
