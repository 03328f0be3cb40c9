/* The side of an exchange that handlers and workers see: the request's parts, and the answer. */
#include "net/http_private.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

http_exchange *http_exchange_new(http_conn *c) {
    http_exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    http_server *s = c->s;
    x->s = s;
    atomic_init(&x->refs, 1);
    atomic_fetch_add(&s->refs, 1);
    if (c->in.state == HTTP1_HEAD) http1_take_head(&c->in, &x->req);
    else http1_take(&c->in, &x->req);
    x->body = x->req.streams ? HTTP_PIECE_LATER : HTTP_PIECE_END;
    x->body_bytes = c->counted;
    c->counted = 0;
    memcpy(x->peer, c->peer, sizeof x->peer);
    x->is_local = c->is_local;
    x->is_tls = s->tls && strcmp(c->peer, "unix") != 0;
    x->is_head = strcmp(http_method(x), "HEAD") == 0;
    buf_init(&x->fields, LIMIT_HTTP_HEAD);
    buf_init(&x->pending, SIZE_MAX);
    buf_init(&x->incoming, SIZE_MAX);
    clock_cond_init(&x->more);
    x->conn = c;
    atomic_fetch_add(&s->requests, 1);
    atomic_fetch_add(&s->exchanges, 1);
    return x;
}

void http_exchange_detach(http_exchange *x, bool is_lost) {
    pthread_mutex_lock(&x->s->lock);
    bool tell = is_lost && (!x->has_ended || x->is_overrun);
    atomic_store(&x->gone, true);
    buf_deinit(&x->pending);
    pthread_cond_broadcast(&x->more);
    pthread_mutex_unlock(&x->s->lock);
    x->conn = NULL;
    if (x->tick) event_free(x->tick);
    x->tick = NULL;
    if (tell && x->on_gone) x->on_gone(x->gone_ud, x);
    if (x->on_end) x->on_end(x->end_ud, x);
    atomic_fetch_sub(&x->s->exchanges, 1);
    http_release(x);
}

bool http_exchange_is_abandoned(http_exchange *x, int others) {
    /* events that are still to come may go on with it */
    if (x->on_tick || (x->on_drained && http_backlog(x) >= HTTP_BACKLOG_HIGH)) return false;
    return atomic_load(&x->refs) == 1 + others;
}

void http_retain(http_exchange *x) {
    atomic_fetch_add(&x->refs, 1);
}

void http_release(http_exchange *x) {
    http_server *s = x->s;
    /* When nobody is left but the connection, the network thread must look whether that leaves an
     * answer that never ends. Every last reference goes under the lock: x is there until then. */
    pthread_mutex_lock(&s->lock);
    int left = atomic_fetch_sub(&x->refs, 1) - 1;
    if (left == 1 && !x->has_ended) http_server_make_ready(s, x);
    pthread_mutex_unlock(&s->lock);
    if (left > 0) return;
    atomic_fetch_sub(&s->body_bytes, x->body_bytes);
    http1_request_deinit(&x->req);
    buf_deinit(&x->fields);
    buf_deinit(&x->pending);
    buf_deinit(&x->incoming);
    pthread_cond_destroy(&x->more);
    free(x);
    http_server_unref(s);
}

/* ---- the request ---- */

const char *http_method(const http_exchange *x) {
    return x->req.head.data + x->req.method;
}
const char *http_path(const http_exchange *x) {
    return x->req.path;
}
const char *http_query(const http_exchange *x, const char *name) {
    return http1_query(&x->req, name);
}
const char *http_header(const http_exchange *x, const char *name) {
    return http1_header(&x->req, name);
}
str http_body(const http_exchange *x) {
    return buf_str(&x->req.body);
}
uint64_t http_body_announced(const http_exchange *x) {
    return x->req.content_length;
}
const char *http_peer(const http_exchange *x) {
    return x->peer;
}
bool http_peer_is_local(const http_exchange *x) {
    return x->is_local;
}
bool http_is_tls(const http_exchange *x) {
    return x->is_tls;
}

/* ---- a body that streams ---- */

void http_exchange_feed(http_exchange *x, http1 *in) {
    pthread_mutex_lock(&x->s->lock);
    buf_append(&x->incoming, in->req.body.data, in->req.body.len);
    if (x->incoming.failed) {
        x->body = HTTP_PIECE_BROKEN;
        x->fault = "out of memory";
    } else if (in->state == HTTP1_DONE) {
        x->body = HTTP_PIECE_END;
    }
    pthread_cond_broadcast(&x->more);
    pthread_mutex_unlock(&x->s->lock);
    buf_clear(&in->req.body);
}

void http_exchange_break(http_exchange *x, const char *fault) {
    pthread_mutex_lock(&x->s->lock);
    x->body = HTTP_PIECE_BROKEN;
    x->fault = fault;
    pthread_cond_broadcast(&x->more);
    pthread_mutex_unlock(&x->s->lock);
}

bool http_exchange_has_room(http_exchange *x) {
    pthread_mutex_lock(&x->s->lock);
    bool room = x->wants_body && x->incoming.len < HTTP_BODY_WINDOW;
    x->is_held = !room;
    pthread_mutex_unlock(&x->s->lock);
    return room;
}

/* Under the lock. */
static void ask_for_more(http_exchange *x) {
    if (x->body != HTTP_PIECE_LATER || (x->wants_body && !x->is_held)) return;
    x->wants_body = true;
    http_server_make_ready(x->s, x);
}

http_piece http_body_next(http_exchange *x, buf *b, int wait_ms) {
    struct timespec until = clock_after_ms(wait_ms);
    buf_clear(b);
    pthread_mutex_lock(&x->s->lock);
    ask_for_more(x);
    int waited = 0;
    while (x->incoming.len == 0 && x->body == HTTP_PIECE_LATER && !atomic_load(&x->gone) &&
           waited == 0)
        waited = pthread_cond_timedwait(&x->more, &x->s->lock, &until);
    http_piece piece = x->body;
    if (atomic_load(&x->gone)) {
        piece = HTTP_PIECE_CUT;
    } else if (x->incoming.len > 0 && x->body != HTTP_PIECE_BROKEN) {
        buf full = x->incoming;
        x->incoming = *b;
        x->incoming.max = full.max;
        *b = full;
        piece = HTTP_PIECE;
        ask_for_more(x);
    }
    pthread_mutex_unlock(&x->s->lock);
    return piece;
}

const char *http_body_fault(const http_exchange *x) {
    return x->fault ? x->fault : "the body is broken";
}

/* ---- the answer's head ---- */

static const char *reason_of(int status) {
    static const struct {
        int status;
        const char *reason;
    } table[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {303, "See Other"},
                 {304, "Not Modified"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {402, "Payment Required"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {406, "Not Acceptable"},
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {410, "Gone"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {416, "Range Not Satisfiable"},
                 {417, "Expectation Failed"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {499, "Client Closed Request"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"},
                 {507, "Insufficient Storage"},
                 {529, "Overloaded"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].status == status) return table[i].reason;
    return "Status";
}

/* Not strftime: names must not depend on the locale. */
static void put_date(buf *b) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    struct tm t;
    gmtime_r(&now, &t);
    buf_printf(b, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + 3 * t.tm_wday,
               t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void put_status(buf *b, int status) {
    buf_printf(b, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
    put_date(b);
}

void http_error_answer(buf *out, int status, const char *reason) {
    put_status(out, status);
    buf_printf(out,
               "Content-Type: text/plain\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n%s\n",
               strlen(reason) + 1, status == 503 ? "Retry-After: 5\r\n" : "", reason);
}

bool http_set_header(http_exchange *x, const char *name, const char *value) {
    /* the framing is this module's own */
    static const char *const refused[] = {
        "Content-Length", "Transfer-Encoding", "Connection", "Content-Type", "Date", "Trailer"};
    if (!http1_is_token(str_of(name)) || !http1_is_field_value(str_of(value))) return false;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcasecmp(name, refused[i]) == 0) return false;
    pthread_mutex_lock(&x->s->lock);
    bool ok = !x->has_begun && buf_printf(&x->fields, "%s: %s\r\n", name, value);
    pthread_mutex_unlock(&x->s->lock);
    return ok;
}

/* Everything up to the blank line, under the lock. n_body < 0: an answer in pieces. */
static void begin(http_exchange *x, buf *b, int status, const char *type, int64_t n_body) {
    if (status < 200 || status > 599) status = 500;
    x->has_begun = true;
    x->has_no_body = x->is_head || status == 204 || status == 304;
    x->is_chunked = n_body < 0 && !x->req.is_http10;
    /* After a chunked request nothing more is read: the next request's start is the place where
     * this server and a proxy could disagree. */
    x->keep_alive = x->req.keep_alive && !x->req.chunked && !x->s->wants_drain &&
                    x->body == HTTP_PIECE_END && (n_body >= 0 || !x->req.is_http10);
    put_status(b, status);
    if (type && http1_is_field_value(str_of(type))) buf_printf(b, "Content-Type: %s\r\n", type);
    if (status == 204 || status == 304) x->is_chunked = false;
    else if (x->is_chunked) buf_puts(b, "Transfer-Encoding: chunked\r\n");
    else if (n_body >= 0) buf_printf(b, "Content-Length: %lld\r\n", (long long)n_body);
    if (!x->keep_alive) buf_puts(b, "Connection: close\r\n");
    else if (x->req.is_http10) buf_puts(b, "Connection: keep-alive\r\n");
    buf_put_str(b, buf_str(&x->fields));
    buf_puts(b, "\r\n");
    buf_deinit(&x->fields);
}

/* ---- the answer ---- */

/* Under the lock: what was appended to pending may go. Memory that ran out ends the connection,
 * since an answer with a hole in it must not look whole. */
static void publish(http_exchange *x) {
    if (x->pending.failed) x->is_overrun = true;
    atomic_store(&x->pending_bytes, x->pending.len);
    x->is_released = true;
    http_server_make_ready(x->s, x);
}

void http_reply(http_exchange *x, int status, const char *type, const void *body, size_t n) {
    buf b;
    buf_init(&b, SIZE_MAX);
    pthread_mutex_lock(&x->s->lock);
    bool ok = !x->has_begun;
    if (ok) begin(x, &b, status, type, (int64_t)n);
    pthread_mutex_unlock(&x->s->lock);
    if (!ok) return;
    if (!x->has_no_body) buf_append(&b, body, n); /* has_begun: nobody else changes these now */
    pthread_mutex_lock(&x->s->lock);
    x->has_ended = true;
    if (atomic_load(&x->gone)) {
        buf_deinit(&b);
    } else {
        x->pending = b;
        publish(x);
    }
    pthread_mutex_unlock(&x->s->lock);
}

void http_stream_begin(http_exchange *x, int status, const char *type) {
    pthread_mutex_lock(&x->s->lock);
    if (!x->has_begun) {
        begin(x, &x->pending, status, type, -1);
        x->is_stream = true;
    }
    pthread_mutex_unlock(&x->s->lock);
}

bool http_stream_write(http_exchange *x, const void *data, size_t n) {
    pthread_mutex_lock(&x->s->lock);
    bool ok = x->is_stream && !x->has_ended && !atomic_load(&x->gone) && !x->is_overrun;
    if (ok && n > 0 && !x->has_no_body) {
        if (http_backlog(x) + n > LIMIT_HTTP_BACKLOG) {
            x->is_overrun = true;
            ok = false;
        } else {
            if (x->is_chunked) buf_printf(&x->pending, "%zx\r\n", n);
            buf_append(&x->pending, data, n);
            if (x->is_chunked) buf_puts(&x->pending, "\r\n");
        }
    }
    if (x->is_overrun || (ok && (n > 0 || !x->is_released))) publish(x);
    pthread_mutex_unlock(&x->s->lock);
    return ok;
}

void http_stream_end(http_exchange *x) {
    pthread_mutex_lock(&x->s->lock);
    if (x->is_stream && !x->has_ended) {
        x->has_ended = true;
        if (!atomic_load(&x->gone)) {
            if (x->is_chunked && !x->has_no_body) buf_puts(&x->pending, "0\r\n\r\n");
            publish(x);
        }
    }
    pthread_mutex_unlock(&x->s->lock);
}

size_t http_backlog(const http_exchange *x) {
    return atomic_load(&x->pending_bytes) + atomic_load(&x->output_bytes);
}

/* ---- events ---- */

bool http_gone(const http_exchange *x) {
    return atomic_load(&x->gone);
}

void http_on_gone(http_exchange *x, http_event fn, void *ud) {
    x->on_gone = fn;
    x->gone_ud = ud;
}

void http_on_drained(http_exchange *x, http_event fn, void *ud) {
    x->on_drained = fn;
    x->drained_ud = ud;
}

void http_on_end(http_exchange *x, http_event fn, void *ud) {
    x->on_end = fn;
    x->end_ud = ud;
}

static void tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    http_exchange *x = arg;
    pthread_mutex_lock(&x->s->lock);
    bool has_ended = x->has_ended;
    pthread_mutex_unlock(&x->s->lock);
    if (!has_ended) x->on_tick(x->tick_ud, x);
}

void http_on_tick(http_exchange *x, int period_ms, http_event fn, void *ud) {
    if (x->tick) event_free(x->tick);
    x->tick = NULL;
    x->on_tick = fn;
    x->tick_ud = ud;
    if (!fn || !x->conn) return;
    if (period_ms < 1) period_ms = 1;
    struct timeval tv = {period_ms / 1000, period_ms % 1000 * 1000};
    x->tick = event_new(x->s->base, -1, EV_PERSIST, tick, x);
    if (x->tick) event_add(x->tick, &tv);
}
