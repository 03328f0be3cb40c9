/* One fetch by the client, told as JSON, for the tests.
 *
 *   net_fetch [--method M] [--auth TEXT] [--header "N: V"] [--body TEXT] [--range FIRST LAST]
 *             [--redirects N] [--max N] [--stall-ms N] [--stall-bytes N] [--timeout-ms N]
 *             [--rate N] [--unix PATH] [--stop-at N] [--end-at N] [--direct] [--no-verify]
 *             [--times N] [--stream] URL
 *
 * --stop-at: http_client_stop, once so many bytes have come; --end-at: on_body says no. Exit code:
 * 0 whenever there was an outcome to tell.
 */
#include "base/clock.h"
#include "base/jsonw.h"
#include "net/client.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct taken {
    http_client *c;
    uint64_t n, stop_at, end_at;
    buf all;
} taken;

static bool on_body(void *ud, const char *p, size_t n) {
    taken *t = ud;
    t->n += n;
    buf_append(&t->all, p, n);
    if (t->stop_at && t->n >= t->stop_at) http_client_stop(t->c);
    return !t->end_at || t->n < t->end_at;
}

static void text(jsonw *w, const char *name, str s) {
    jsonw_key(w, name);
    jsonw_str(w, s);
}

static void number(jsonw *w, const char *name, uint64_t n) {
    jsonw_key(w, name);
    jsonw_uint(w, n);
}

static void tell(const http_answer *a, bool ok, const taken *t, const err *e, double seconds) {
    static const char *const faults[] = {"none",    "connect", "tls",     "cut",    "stall", "bad",
                                         "refused", "too big", "stopped", "caller", "failed"};
    buf b;
    jsonw w;
    buf_init(&b, SIZE_MAX);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "ok"), jsonw_bool(&w, ok);
    number(&w, "status", (uint64_t)a->status);
    text(&w, "fault", str_of(faults[a->fault]));
    number(&w, "code", (uint64_t)e->code);
    text(&w, "message", str_of(e->msg));
    text(&w, "url", str_of(a->url ? a->url : ""));
    number(&w, "redirects", (uint64_t)a->redirects);
    text(&w, "body", buf_str(t && t->all.len ? &t->all : &a->body));
    number(&w, "bytes", a->body_bytes);
    jsonw_key(&w, "partial"), jsonw_bool(&w, a->partial);
    number(&w, "total", a->range_total);
    const char *seen = http_answer_header(a, "x-seen");
    text(&w, "x-seen", str_of(seen ? seen : "-"));
    jsonw_key(&w, "seconds"), jsonw_f64(&w, seconds);
    jsonw_end(&w);
    printf("%s\n", b.data);
    buf_deinit(&b);
}

typedef struct options {
    http_client_options o;
    http_ask q;
    const char *header[9];
    int n_header, times;
    taken t;
    bool stream;
} options;

static uint64_t whole(const char *s) {
    return strtoull(s, NULL, 10);
}

/* One option; how many words it has, 0: not known. */
static int option(options *x, char **v, int left) {
    const char *name = v[0];
    if (strcmp(name, "--direct") == 0) return x->o.direct = true, 1;
    if (strcmp(name, "--no-verify") == 0) return x->o.no_verify = true, 1;
    if (strcmp(name, "--stream") == 0) return x->stream = true, 1;
    if (left < 2) return 0;
    err e = {0};
    if (strcmp(name, "--method") == 0) x->q.method = v[1];
    else if (strcmp(name, "--auth") == 0) x->q.authorization = v[1];
    else if (strcmp(name, "--header") == 0 && x->n_header < 8) x->header[x->n_header++] = v[1];
    else if (strcmp(name, "--body") == 0) x->q.body = str_of(v[1]);
    else if (strcmp(name, "--redirects") == 0) x->q.max_redirects = (int)strtol(v[1], NULL, 10);
    else if (strcmp(name, "--max") == 0) x->q.max_bytes = whole(v[1]);
    else if (strcmp(name, "--stall-ms") == 0) x->o.stall_timeout_ms = (int)whole(v[1]);
    else if (strcmp(name, "--stall-bytes") == 0) x->o.stall_bytes = whole(v[1]);
    else if (strcmp(name, "--timeout-ms") == 0) x->q.timeout_ms = (int)whole(v[1]);
    else if (strcmp(name, "--rate") == 0) x->o.rate = http_rate_new(whole(v[1]), &e);
    else if (strcmp(name, "--unix") == 0) x->o.unix_path = v[1];
    else if (strcmp(name, "--stop-at") == 0) x->t.stop_at = whole(v[1]), x->stream = true;
    else if (strcmp(name, "--end-at") == 0) x->t.end_at = whole(v[1]), x->stream = true;
    else if (strcmp(name, "--times") == 0) x->times = (int)whole(v[1]);
    else if (strcmp(name, "--range") == 0 && left >= 3) {
        x->q.ranged = true;
        x->q.first = whole(v[1]);
        x->q.last = whole(v[2]);
        return 3;
    } else return 0;
    return 2;
}

int main(int argc, char **argv) {
    options x = {.times = 1};
    err e = {0};
    int i = 1;
    while (i < argc && argv[i][0] == '-') {
        int n = option(&x, argv + i, argc - i);
        if (n == 0) return fprintf(stderr, "net_fetch: %s?\n", argv[i]), 2;
        i += n;
    }
    if (i != argc - 1) return 2;
    x.q.url = argv[i];
    x.q.header = x.header;
    http_client *c = http_client_new(&x.o, &e);
    if (!c) return 1;
    x.t.c = c;
    if (x.stream) x.q.on_body = on_body, x.q.ud = &x.t;
    for (int k = 0; k < x.times; k++) {
        http_answer a;
        e = (err){0};
        buf_init(&x.t.all, SIZE_MAX);
        x.t.n = 0;
        double began = clock_now_s();
        bool ok = http_client_fetch(c, &x.q, &a, &e);
        tell(&a, ok, &x.t, &e, clock_now_s() - began);
        buf_deinit(&x.t.all);
        http_answer_deinit(&a);
    }
    http_client_free(c);
    http_rate_free(x.o.rate);
    return 0;
}
