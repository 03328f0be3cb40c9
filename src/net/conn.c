/* One connection: finds requests in what it reads, runs their exchanges one after the other, and
 * writes the answers. Network thread only.
 *
 * How a client that left is noticed. Reading is never switched off while a request waits or
 * streams, so the end of the stream (FIN, half-close, close_notify) and a reset arrive as events at
 * once. The exception is a client that has sent HTTP_READ_HIGH bytes ahead of its answer: then
 * libevent stops reading, and the socket is looked at with poll(POLLRDHUP) ten times a second. An
 * EV_CLOSED event would do for a FIN, but not for a reset: epoll reports that as an error, which
 * libevent 2.1 passes on as EV_READ|EV_WRITE only, so that nobody would take it and the loop would
 * spin.
 */
#include "net/http_private.h"

#include "base/clock.h"
#include "base/limits.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS ((uint64_t)1000000)

/* ---- time ---- */

static bool is_paused(http_conn *c) {
    return c->state == CONN_BUSY &&
           evbuffer_get_length(bufferevent_get_input(c->bev)) >= HTTP_READ_HIGH;
}

/* The timer goes off at the deadline or before it, and then looks again: a deadline that moves away
 * with every byte costs nothing. */
static void set_timer(http_conn *c) {
    uint64_t now = clock_now_ns(), at = c->deadline_ns;
    if (is_paused(c) && (!at || at > now + HTTP_GLANCE_MS * MS)) at = now + HTTP_GLANCE_MS * MS;
    if (!at || (c->timer_ns && c->timer_ns <= at)) return;
    uint64_t wait = at > now ? at - now : 0;
    struct timeval tv = {(time_t)(wait / 1000000000), (suseconds_t)(wait % 1000000000 / 1000) + 1};
    c->timer_ns = at;
    evtimer_add(&c->timer, &tv);
}

static void set_deadline(http_conn *c, int ms) {
    c->deadline_ns = ms > 0 ? clock_now_ns() + (uint64_t)ms * MS : 0;
    set_timer(c);
}

/* ---- ends ---- */

void http_conn_close(http_conn *c) {
    http_server *s = c->s;
    if (c->x) http_exchange_detach(c->x, c->state == CONN_BUSY || c->state == CONN_BODY);
    evtimer_del(&c->timer);
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    if (ssl && SSL_is_init_finished(ssl)) {
        SSL_shutdown(ssl); /* says that nothing follows; an answer is not waited for */
        ERR_clear_error();
    }
    bufferevent_free(c->bev);
    atomic_fetch_sub(&s->body_bytes, c->counted);
    http1_deinit(&c->in);
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    if (c->is_refusal) {
        s->n_refusals--;
    } else {
        s->n_conns--;
        atomic_fetch_sub(&s->connections, 1);
    }
    free(c);
    http_server_check_drained(s);
}

/* Nothing more is said, and what the client still sends is thrown away for a moment: closing a
 * socket with unread bytes resets it, and the reset can overtake the answer. */
static void shut_write(http_conn *c) {
    SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
    if (ssl && SSL_is_init_finished(ssl)) {
        SSL_shutdown(ssl);
        ERR_clear_error();
    }
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
}

static void linger(http_conn *c) {
    http1_reset(&c->in);
    atomic_fetch_sub(&c->s->body_bytes, c->counted);
    c->counted = 0;
    c->state = CONN_LINGER;
    struct evbuffer *in = bufferevent_get_input(c->bev);
    evbuffer_drain(in, evbuffer_get_length(in));
    set_deadline(c, HTTP_LINGER_MS);
}

static void refuse(http_conn *c, int status, const char *reason) {
    buf b;
    buf_init(&b, 4096);
    http_error_answer(&b, status, reason);
    linger(c);
    evbuffer_add(bufferevent_get_output(c->bev), b.data, b.len);
    buf_deinit(&b);
}

/* ---- reading ---- */

static void begin_exchange(http_conn *c) {
    http_server *s = c->s;
    bool streams = c->in.state == HTTP1_HEAD;
    http_exchange *x = http_exchange_new(c);
    if (!x) {
        refuse(c, 503, "out of memory");
        return;
    }
    c->has_had_request = true;
    c->state = streams ? CONN_BODY : CONN_BUSY;
    c->x = x;
    set_deadline(c, 0);
    s->o.handle(s->o.ud, x);
    pthread_mutex_lock(&s->lock);
    bool is_lost = !x->has_ended && http_exchange_is_abandoned(x, x->is_ready);
    pthread_mutex_unlock(&s->lock);
    if (is_lost) http_reply(x, 500, "text/plain", "nobody answers this request\n", 28);
}

static void give_leave(http_conn *c) {
    if (c->wants_continue && evbuffer_get_length(bufferevent_get_input(c->bev)) == 0)
        evbuffer_add(bufferevent_get_output(c->bev), "HTTP/1.1 100 Continue\r\n\r\n", 25);
    c->wants_continue = false;
}

/* The head is whole and a body follows. One that streams is asked for by whoever takes it. */
static void on_head(http_conn *c) {
    c->wants_continue = c->in.req.expects_continue;
    c->has_more = false;
    if (c->in.req.streams) {
        begin_exchange(c);
        return;
    }
    give_leave(c);
    c->body_ns = clock_now_ns();
    set_deadline(c, c->s->o.body_timeout_ms);
}

/* Nothing more comes of a body that streams; fault NULL: it is whole. */
static void end_body(http_conn *c, const char *fault) {
    if (fault) http_exchange_break(c->x, fault);
    http1_reset(&c->in);
    c->has_more = fault != NULL;
    c->state = CONN_BUSY;
    set_deadline(c, 0);
}

/* The rest of a body that streams, as far as there is room for it. */
static void read_body(http_conn *c) {
    struct evbuffer *in = bufferevent_get_input(c->bev);
    bool room = false;
    while (c->state == CONN_BODY && (room = http_exchange_has_room(c->x))) {
        struct evbuffer_iovec v;
        give_leave(c);
        if (evbuffer_peek(in, -1, NULL, &v, 1) < 1 || v.iov_len == 0) break;
        evbuffer_drain(in, http1_feed(&c->in, v.iov_base, v.iov_len));
        http_exchange_feed(c->x, &c->in);
        if (c->in.state != HTTP1_BODY)
            end_body(c, c->in.state == HTTP1_BAD ? c->in.bad_reason : NULL);
    }
    if (c->state == CONN_BODY) set_deadline(c, room ? c->s->o.body_timeout_ms : 0);
}

/* The one whose body has been coming for longest, and longer than any may pause; NULL: none. */
static http_conn *slowest_body(const http_server *s) {
    uint64_t now = clock_now_ns(), patience = (uint64_t)s->o.body_timeout_ms * MS;
    http_conn *slowest = NULL;
    for (http_conn *c = s->conns; c; c = c->next)
        if (c->state == CONN_READ && c->counted > 0 && now - c->body_ns > patience &&
            (!slowest || c->body_ns < slowest->body_ns))
            slowest = c;
    return slowest;
}

/* Where bodies are too many, those who send theirs a byte now and then make room first: a few of
 * them could keep everybody else out for hours. */
static void count_body(http_conn *c) {
    http_server *s = c->s;
    uint64_t more = c->in.req.body.len - c->counted;
    c->counted += more;
    atomic_fetch_add(&s->body_bytes, more);
    while (more && c->state == CONN_READ && atomic_load(&s->body_bytes) > s->o.max_bodies_bytes) {
        http_conn *slowest = slowest_body(s);
        refuse(slowest ? slowest : c, 503, "too many large requests at the same time");
    }
}

static void on_read(struct bufferevent *bev, void *arg) {
    http_conn *c = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    while (c->state == CONN_READ) {
        struct evbuffer_iovec v;
        if (evbuffer_peek(in, -1, NULL, &v, 1) < 1 || v.iov_len == 0) break;
        bool was_idle = c->in.state == HTTP1_IDLE;
        size_t used = http1_feed(&c->in, v.iov_base, v.iov_len);
        evbuffer_drain(in, used);
        /* the first request's deadline runs since accept */
        if (was_idle && c->has_had_request) set_deadline(c, c->s->o.header_timeout_ms);
        count_body(c);
        if (c->state != CONN_READ) break;
        if (c->in.state == HTTP1_HEAD) on_head(c);
        if (c->state != CONN_READ) break;
        if (c->in.state == HTTP1_BODY) set_deadline(c, c->s->o.body_timeout_ms);
        if (c->in.state == HTTP1_DONE) begin_exchange(c);
        if (c->in.state == HTTP1_BAD) refuse(c, c->in.bad_status, c->in.bad_reason);
    }
    if (c->state == CONN_BODY) read_body(c);
    if (c->state == CONN_LINGER) {
        c->lingered += evbuffer_get_length(in);
        evbuffer_drain(in, evbuffer_get_length(in));
        if (c->lingered > HTTP_LINGER_BYTES) http_conn_close(c);
    } else if (is_paused(c)) {
        set_timer(c);
    }
}

/* ---- writing ---- */

/* The answer has left: the next request, or the end. */
static void next_request(http_conn *c) {
    http_exchange *x = c->x;
    pthread_mutex_lock(&c->s->lock);
    bool keep = x->keep_alive && !c->s->wants_drain && !c->has_eof;
    pthread_mutex_unlock(&c->s->lock);
    bool has_unread = c->has_more || evbuffer_get_length(bufferevent_get_input(c->bev)) > 0;
    if (!keep && (!has_unread || c->has_eof)) {
        http_conn_close(c);
        return;
    }
    c->x = NULL;
    http_exchange_detach(x, false);
    if (!keep) {
        linger(c);
        shut_write(c);
        return;
    }
    c->state = CONN_READ;
    set_deadline(c, c->s->o.idle_timeout_ms);
    on_read(c->bev, c);
}

/* libevent calls it when the output is at most HTTP_BACKLOG_HIGH after a write. */
static void on_write(struct bufferevent *bev, void *arg) {
    http_conn *c = arg;
    http_exchange *x = c->x;
    bool is_empty = evbuffer_get_length(bufferevent_get_output(bev)) == 0;
    if (c->state == CONN_FLUSH && is_empty) {
        next_request(c);
    } else if (c->state == CONN_LINGER && is_empty) {
        if (c->has_eof) http_conn_close(c);
        else shut_write(c);
    } else if (c->state == CONN_BUSY && x->was_high && http_backlog(x) < HTTP_BACKLOG_HIGH) {
        x->was_high = false;
        if (x->on_drained) x->on_drained(x->drained_ud, x);
    }
}

/* Called by libevent on each change of the output. */
static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg) {
    http_conn *c = arg;
    size_t left = evbuffer_get_length(out);
    if (c->x) atomic_store(&c->x->output_bytes, left);
    if (c->state != CONN_BUSY && c->state != CONN_FLUSH) return;
    if (left == 0) c->deadline_ns = 0;
    else if (info->n_deleted > 0 || c->deadline_ns == 0) set_deadline(c, c->s->o.stall_timeout_ms);
}

static void free_sent(const void *data, size_t n, void *arg) {
    (void)data, (void)n;
    free(arg);
}

/* Small pieces are packed together; a large one is handed over. */
static void send_bytes(http_conn *c, buf *b) {
    struct evbuffer *out = bufferevent_get_output(c->bev);
    if (b->len > 16384 && evbuffer_add_reference(out, b->data, b->len, free_sent, b->data) == 0)
        return;
    evbuffer_add(out, b->data, b->len);
    buf_deinit(b);
}

bool http_conn_answer(http_conn *c) {
    http_exchange *x = c->x;
    http_server *s = c->s;
    if (c->state != CONN_BUSY && c->state != CONN_BODY) return true;
    pthread_mutex_lock(&s->lock);
    bool has_ended = x->has_ended, has_begun = x->has_begun;
    bool is_lost = !has_ended && http_exchange_is_abandoned(x, x->is_ready);
    bool is_overrun = x->is_overrun;
    buf moved = {0};
    if (x->is_released) {
        moved = x->pending;
        buf_init(&x->pending, SIZE_MAX);
        atomic_store(&x->pending_bytes, 0);
    }
    pthread_mutex_unlock(&s->lock);
    if (is_overrun || (is_lost && has_begun)) {
        buf_deinit(&moved);
        http_conn_close(c);
        return false;
    }
    if (is_lost) http_reply(x, 500, "text/plain", "nobody answers this request\n", 28);
    if (moved.len > 0) send_bytes(c, &moved);
    if (atomic_load(&x->output_bytes) >= HTTP_BACKLOG_HIGH) x->was_high = true;
    if (!has_ended) {
        if (c->state == CONN_BODY) read_body(c);
        return true;
    }
    if (c->state == CONN_BODY) c->has_more = true;
    c->state = CONN_FLUSH;
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0) return true;
    next_request(c);
    return false;
}

/* ---- events ---- */

static void on_event(struct bufferevent *bev, short what, void *arg) {
    http_conn *c = arg;
    if (what & BEV_EVENT_CONNECTED) return;
    bool is_eof = (what & BEV_EVENT_EOF) != 0;
    /* An answer that was given in the handler is still delivered to a client that only half-closed:
     * it may be on the ready list. */
    c->has_eof = is_eof;
    bool is_busy = c->state == CONN_BUSY || c->state == CONN_BODY;
    if (is_eof && is_busy && !http_conn_answer(c)) return;
    bool has_output = evbuffer_get_length(bufferevent_get_output(bev)) > 0;
    bool is_leaving = c->state == CONN_FLUSH || c->state == CONN_LINGER;
    if (!is_eof || !has_output || !is_leaving) http_conn_close(c);
}

/* Whether a client that is not being read from has left. */
static bool has_left(http_conn *c) {
    struct pollfd p = {.fd = bufferevent_getfd(c->bev), .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    http_conn *c = arg;
    c->timer_ns = 0;
    if (c->deadline_ns && clock_now_ns() >= c->deadline_ns) {
        c->deadline_ns = 0;
        if (c->state == CONN_READ && c->in.state == HTTP1_LINES)
            refuse(c, 408, "the request's header did not come in time");
        else if (c->state == CONN_READ && c->in.state != HTTP1_IDLE)
            refuse(c, 408, "the request's body did not come in time");
        else if (c->state == CONN_BODY) end_body(c, "the request's body did not come in time");
        else http_conn_close(c);
        return;
    }
    if (is_paused(c) && has_left(c)) http_conn_close(c);
    else set_timer(c);
}

/* ---- the beginning ---- */

static bool does_stream(void *ud, const http1_request *r) {
    const http_server *s = ((http_conn *)ud)->s;
    return s->o.streams && s->o.streams(s->o.ud, r->head.data + r->method, r->path);
}

static void name_peer(http_conn *c, const struct sockaddr *sa) {
    if (sa->sa_family == AF_INET) {
        const struct in_addr *a = &((const struct sockaddr_in *)sa)->sin_addr;
        inet_ntop(AF_INET, a, c->peer, sizeof c->peer);
        c->is_local = ntohl(a->s_addr) >> 24 == 127;
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        inet_ntop(AF_INET6, a, c->peer, sizeof c->peer);
        c->is_local = IN6_IS_ADDR_LOOPBACK(a);
    } else {
        memcpy(c->peer, "unix", 5);
        c->is_local = true;
    }
}

static void set_socket(int fd) {
    int on = 1, idle = 30, every = 10, times = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* a client whose machine lost its power is noticed while its request waits */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

/* NULL: no memory; the socket is closed then. */
static struct bufferevent *wrap_socket(http_server *s, int fd, bool with_tls) {
    SSL *ssl = with_tls ? SSL_new(s->tls) : NULL;
    struct bufferevent *bev = NULL;
    if (ssl)
        bev = bufferevent_openssl_socket_new(s->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE);
    else if (!with_tls) bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) close(fd);
    return bev;
}

void http_conn_open(http_server *s, int fd, const struct sockaddr *sa, bool is_refusal) {
    http_conn *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    bool is_tcp = sa->sa_family != AF_UNIX;
    c->bev = wrap_socket(s, fd, is_tcp && s->tls);
    if (!c->bev) {
        free(c);
        return;
    }
    if (is_tcp) set_socket(fd);
    name_peer(c, sa);
    c->s = s;
    c->is_refusal = is_refusal;
    c->next = s->conns;
    c->link = &s->conns;
    if (c->next) c->next->link = &c->next;
    s->conns = c;
    http1_init(&c->in, s->o.max_body_bytes);
    c->in.streams = does_stream;
    c->in.ud = c;
    evtimer_assign(&c->timer, s->base, on_timer, c);
    evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c);
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_READ_HIGH);
    bufferevent_setwatermark(c->bev, EV_WRITE, HTTP_BACKLOG_HIGH, 0);
    if (is_refusal) {
        s->n_refusals++;
        refuse(c, 503, "too many connections; try again in a moment");
    } else {
        s->n_conns++;
        atomic_fetch_add(&s->connections, 1);
        set_deadline(c, s->o.header_timeout_ms);
    }
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}
