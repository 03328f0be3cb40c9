/* A small server for the tests of net: every way to answer, and what happened as figures.
 *
 *   net_server [--max N] [--header-ms N] [--body-ms N] [--idle-ms N] [--stall-ms N] [--body-max N]
 *              [--drain-ms N] [--tls CERT KEY] [--tls-self FOLDER] ADDRESS...
 *
 * Prints "listening ADDRESS" for each listener, "tls FINGERPRINT", then "ready"; SIGTERM ends it.
 * Paths: /hello /echo /stats /park /stream /flood /big /forget /half /tick /take; see the handlers.
 */
#include "base/clock.h"
#include "base/jsonw.h"
#include "net/http.h"
#include "net/tls.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static http_server *server;
static atomic_int gone, parked, drained, ticks, refused_writes, cut;

static int number(const http_exchange *x, const char *name, int otherwise) {
    const char *v = http_query(x, name);
    return v ? (int)strtol(v, NULL, 10) : otherwise;
}

static void reply_json(http_exchange *x, buf *b) {
    http_reply(x, 200, "application/json", b->data, b->len);
    buf_deinit(b);
}

/* The request as it was understood. */
static void echo(http_exchange *x) {
    static const char *const fields[] = {"X-Test", "Host", "Content-Type"};
    buf b;
    jsonw w;
    buf_init(&b, SIZE_MAX);
    jsonw_init(&w, &b);
    jsonw_object(&w);
    jsonw_key(&w, "method");
    jsonw_str(&w, str_of(http_method(x)));
    jsonw_key(&w, "path");
    jsonw_str(&w, str_of(http_path(x)));
    jsonw_key(&w, "q");
    jsonw_str(&w, str_of(http_query(x, "q") ? http_query(x, "q") : "-"));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        jsonw_key(&w, fields[i]);
        jsonw_str(&w, str_of(http_header(x, fields[i]) ? http_header(x, fields[i]) : "-"));
    }
    jsonw_key(&w, "peer");
    jsonw_str(&w, str_of(http_peer(x)));
    jsonw_key(&w, "local");
    jsonw_bool(&w, http_peer_is_local(x));
    jsonw_key(&w, "tls");
    jsonw_bool(&w, http_is_tls(x));
    jsonw_key(&w, "body");
    jsonw_str(&w, http_body(x));
    jsonw_end(&w);
    http_set_header(x, "X-Seen", "yes");
    reply_json(x, &b);
}

static void stats(http_exchange *x) {
    http_counts n;
    http_server_counts(server, &n);
    buf b;
    buf_init(&b, 4096);
    buf_printf(&b,
               "{\"accepted\":%llu,\"refused\":%llu,\"requests\":%llu,\"connections\":%d,"
               "\"exchanges\":%d,\"gone\":%d,\"parked\":%d,\"drained\":%d,\"ticks\":%d,"
               "\"refused_writes\":%d,\"cut\":%d}\n",
               (unsigned long long)n.accepted, (unsigned long long)n.refused,
               (unsigned long long)n.requests, n.connections, n.exchanges, atomic_load(&gone),
               atomic_load(&parked), atomic_load(&drained), atomic_load(&ticks),
               atomic_load(&refused_writes), atomic_load(&cut));
    reply_json(x, &b);
}

static void on_gone(void *ud, http_exchange *x) {
    (void)ud, (void)x;
    atomic_fetch_add(&gone, 1);
}

/* Waits for ever, as a request in a queue; the last reference goes when the client does. */
static void on_parked_gone(void *ud, http_exchange *x) {
    on_gone(ud, x);
    atomic_fetch_sub(&parked, 1);
    http_release(x);
}

static void park(http_exchange *x) {
    atomic_fetch_add(&parked, 1);
    http_retain(x);
    http_on_gone(x, on_parked_gone, NULL);
}

/* ---- answers from other threads ---- */

typedef struct job {
    http_exchange *x;
    int n, size, pause_ms;
    bool minds_backlog;
    atomic_int users; /* the worker, and the exchange's events */
    pthread_mutex_t lock;
    pthread_cond_t room;
} job;

static void drop(job *j) {
    if (atomic_fetch_sub(&j->users, 1) != 1) return;
    pthread_cond_destroy(&j->room);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static void on_job_end(void *ud, http_exchange *x) {
    (void)x;
    drop(ud);
}

static void on_drained(void *ud, http_exchange *x) {
    (void)x;
    job *j = ud;
    atomic_fetch_add(&drained, 1);
    pthread_mutex_lock(&j->lock);
    pthread_cond_signal(&j->room);
    pthread_mutex_unlock(&j->lock);
}

static void on_job_gone(void *ud, http_exchange *x) {
    on_gone(ud, x);
    job *j = ud;
    pthread_mutex_lock(&j->lock);
    pthread_cond_signal(&j->room);
    pthread_mutex_unlock(&j->lock);
}

static void *work(void *arg) {
    job *j = arg;
    char *piece = malloc((size_t)j->size + 1);
    http_stream_begin(j->x, 200, "text/event-stream");
    http_stream_write(j->x, NULL, 0); /* the status line */
    bool ok = piece != NULL;
    for (int i = 0; i < j->n && ok; i++) {
        memset(piece, 'a' + i % 26, (size_t)j->size);
        if (j->pause_ms) usleep((useconds_t)j->pause_ms * 1000);
        pthread_mutex_lock(&j->lock);
        while (j->minds_backlog && http_backlog(j->x) > 65536 && !http_gone(j->x)) {
            struct timespec soon;
            clock_gettime(CLOCK_REALTIME, &soon);
            soon.tv_sec += 1; /* the drained event may have come before this wait */
            pthread_cond_timedwait(&j->room, &j->lock, &soon);
        }
        pthread_mutex_unlock(&j->lock);
        ok = http_stream_write(j->x, piece, (size_t)j->size);
    }
    if (!ok) atomic_fetch_add(&refused_writes, 1);
    free(piece);
    http_stream_end(j->x);
    http_release(j->x);
    drop(j);
    return NULL;
}

static void stream(http_exchange *x, bool minds_backlog) {
    job *j = calloc(1, sizeof *j);
    pthread_t t;
    if (!j) return;
    *j = (job){.x = x,
               .n = number(x, "n", 3),
               .size = number(x, "size", 10),
               .pause_ms = number(x, "ms", 0),
               .minds_backlog = minds_backlog};
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->room, NULL);
    http_on_gone(x, on_job_gone, j);
    http_on_drained(x, on_drained, j);
    http_on_end(x, on_job_end, j);
    atomic_init(&j->users, 2);
    http_retain(x);
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 256 << 10);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&t, &a, work, j) != 0) {
        http_release(x);
        drop(j);
    }
    pthread_attr_destroy(&a);
}

/* ---- bodies that stream ---- */

typedef struct taking {
    http_exchange *x;
    int pause_ms, most; /* bytes after which it answers without the rest; 0: takes all */
} taking;

/* What came, as a length and a sum, and how it ended. */
static void *take(void *arg) {
    static const char *const ends[] = {"", "", "end", "broken", "cut"};
    taking *t = arg;
    uint64_t n = 0, sum = 0;
    http_piece piece = HTTP_PIECE;
    buf b;
    buf_init(&b, SIZE_MAX);
    while (piece == HTTP_PIECE || piece == HTTP_PIECE_LATER) {
        if (t->pause_ms) usleep((useconds_t)t->pause_ms * 1000);
        piece = http_body_next(t->x, &b, 50);
        if (piece == HTTP_PIECE)
            for (size_t i = 0; i < b.len; i++) sum = sum * 31 + (unsigned char)b.data[i];
        n += piece == HTTP_PIECE ? b.len : 0;
        if (t->most && n >= (uint64_t)t->most) break;
    }
    if (piece == HTTP_PIECE_CUT) atomic_fetch_add(&cut, 1);
    buf_clear(&b);
    buf_printf(&b, "%llu %llu %s %s", (unsigned long long)n, (unsigned long long)sum, ends[piece],
               piece == HTTP_PIECE_BROKEN ? http_body_fault(t->x) : "");
    http_reply(t->x, piece == HTTP_PIECE_BROKEN ? 400 : 200, "text/plain", b.data, b.len);
    buf_deinit(&b);
    http_release(t->x);
    free(t);
    return NULL;
}

static void take_begin(http_exchange *x) {
    taking *t = calloc(1, sizeof *t);
    pthread_t id;
    if (!t) return;
    *t = (taking){.x = x, .pause_ms = number(x, "ms", 0), .most = number(x, "most", 0)};
    http_on_gone(x, on_gone, NULL);
    http_retain(x);
    if (pthread_create(&id, NULL, take, t) != 0) {
        http_release(x);
        free(t);
    } else {
        pthread_detach(id);
    }
}

static bool streams(void *ud, const char *method, const char *path) {
    (void)ud;
    return strcmp(method, "POST") == 0 && (strcmp(path, "/take") == 0 || strcmp(path, "/no") == 0);
}

/* Streams that live on the network thread alone, for measuring what one costs. */
static void on_tick(void *ud, http_exchange *x) {
    (void)ud;
    atomic_fetch_add(&ticks, 1);
    http_stream_write(x, ": tick\n\n", 8);
}

static void tick(http_exchange *x) {
    http_on_gone(x, on_gone, NULL);
    http_on_tick(x, number(x, "ms", 20), on_tick, NULL);
    http_stream_begin(x, 200, "text/event-stream");
    http_stream_write(x, "data: first\n\n", 13);
}

static void big(http_exchange *x) {
    size_t n = (size_t)number(x, "n", 1000);
    char *p = malloc(n + 1);
    if (!p) return;
    for (size_t i = 0; i < n; i++) p[i] = (char)('a' + i % 26);
    http_reply(x, 200, "text/plain", p, n);
    free(p);
}

static void handle(void *ud, http_exchange *x) {
    (void)ud;
    const char *path = http_path(x);
    if (strcmp(path, "/hello") == 0) http_reply(x, 200, "text/plain", "hello\n", 6);
    else if (strcmp(path, "/stats") == 0) stats(x);
    else if (strcmp(path, "/park") == 0) park(x);
    else if (strcmp(path, "/stream") == 0) stream(x, true);
    else if (strcmp(path, "/flood") == 0) stream(x, false);
    else if (strcmp(path, "/tick") == 0) tick(x);
    else if (strcmp(path, "/big") == 0) big(x);
    else if (strcmp(path, "/take") == 0) take_begin(x);
    else if (strcmp(path, "/no") == 0) http_reply(x, 403, "text/plain", "no\n", 3);
    else if (strcmp(path, "/none") == 0) http_reply(x, 204, NULL, NULL, 0);
    else if (strcmp(path, "/half") == 0) { /* begins and is never ended by anyone */
        http_stream_begin(x, 200, "text/plain");
        http_stream_write(x, "half", 4);
    } else if (strcmp(path, "/forget") != 0) echo(x);
}

static int usage(void) {
    fprintf(stderr, "net_server: bad arguments\n");
    return 2;
}

int main(int argc, char **argv) {
    http_options o = {.handle = handle, .streams = streams};
    char cert[4096], key[4096], print[96];
    err e = {0};
    int drain_ms = 2000, i = 1;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        int n = (int)strtol(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--max") == 0) o.max_connections = n;
        else if (strcmp(argv[i], "--header-ms") == 0) o.header_timeout_ms = n;
        else if (strcmp(argv[i], "--body-ms") == 0) o.body_timeout_ms = n;
        else if (strcmp(argv[i], "--idle-ms") == 0) o.idle_timeout_ms = n;
        else if (strcmp(argv[i], "--stall-ms") == 0) o.stall_timeout_ms = n;
        else if (strcmp(argv[i], "--body-max") == 0) o.max_body_bytes = (size_t)n;
        else if (strcmp(argv[i], "--bodies-max") == 0) o.max_bodies_bytes = (uint64_t)n;
        else if (strcmp(argv[i], "--drain-ms") == 0) drain_ms = n;
        else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc)
            o.tls_cert = argv[i + 1], o.tls_key = argv[i + 2], i++;
        else if (strcmp(argv[i], "--tls-self") == 0) {
            if (!tls_self_keep(argv[i + 1], cert, sizeof cert, key, sizeof key, &e)) goto fail;
            o.tls_cert = cert, o.tls_key = key;
        } else return usage();
    }
    server = http_server_new(&o, &e);
    if (!server) goto fail;
    for (; i < argc; i++)
        if (!http_server_listen(server, argv[i], &e)) goto fail;
    if (!http_server_start(server, &e)) goto fail;
    const char *address;
    for (int k = 0; (address = http_server_address(server, k)); k++)
        printf("listening %s\n", address);
    if (o.tls_cert && tls_fingerprint(o.tls_cert, print, &e)) printf("tls %s\n", print);
    printf("ready\n");
    fflush(stdout);
    int sig;
    sigwait(&ends, &sig);
    http_server_stop(server, drain_ms);
    printf("stopped gone=%d\n", atomic_load(&gone));
    http_server_free(server);
    return 0;
fail:
    fprintf(stderr, "%s\n", e.msg);
    http_server_free(server);
    return e.code ? (int)e.code : 1;
}
