/* The server: its life, its thread, and the way from other threads into it. */
#include "net/http_private.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "net/tls.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The server whose thread this is. */
static _Thread_local http_server *server_here;

/* ---- making ---- */

static void libevent_log(int severity, const char *msg) {
    log_msg(severity >= EVENT_LOG_WARN ? LOG_WARN : LOG_DEBUG, "network: %s", msg);
}

static void set_defaults(http_options *o) {
    if (o->max_body_bytes == 0) o->max_body_bytes = LIMIT_HTTP_BODY;
    if (o->max_bodies_bytes == 0) o->max_bodies_bytes = LIMIT_HTTP_BODIES;
    if (o->header_timeout_ms <= 0) o->header_timeout_ms = 10000;
    if (o->body_timeout_ms <= 0) o->body_timeout_ms = 30000;
    if (o->idle_timeout_ms <= 0) o->idle_timeout_ms = 75000;
    if (o->stall_timeout_ms <= 0) o->stall_timeout_ms = 60000;
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
        log_msg(LOG_WARN, "network: cannot be woken");
    http_server_run_ready(arg);
}

static bool make_loop(http_server *s, err *e) {
    struct event_config *config = event_config_new();
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* one thread */
        s->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!s->base || s->wake_fd < 0)
        return err_set(e, ERR_FAILED, "cannot make an event loop: %s", strerror(errno));
    s->wake_ev = event_new(s->base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
    if (!s->wake_ev || event_add(s->wake_ev, NULL) != 0)
        return err_set(e, ERR_FAILED, "cannot make an event loop: out of memory");
    return true;
}

http_server *http_server_new(const http_options *o, err *e) {
    event_set_log_callback(libevent_log);
    http_server *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->o = *o;
    s->o.tls_cert = s->o.tls_key = NULL; /* read here and now, not kept */
    set_defaults(&s->o);
    s->wake_fd = s->spare_fd = -1;
    s->ready_last = &s->ready;
    pthread_mutex_init(&s->lock, NULL);
    clock_cond_init(&s->moved);
    bool ok = true;
    if (o->tls_cert || o->tls_key) ok = (s->tls = tls_server_context(o->tls_cert, o->tls_key, e));
    if (ok && make_loop(s, e)) return s;
    http_server_free(s);
    return NULL;
}

bool http_server_listen(http_server *s, const char *address, err *e) {
    return http_listen_open(&s->listeners, address, e);
}

const char *http_server_address(const http_server *s, int n) {
    const http_listener *l = s->listeners;
    while (l && n-- > 0) l = l->next;
    return l ? l->address : NULL;
}

void http_server_counts(const http_server *s, http_counts *out) {
    *out = (http_counts){.accepted = atomic_load(&s->accepted),
                         .refused = atomic_load(&s->refused),
                         .requests = atomic_load(&s->requests),
                         .connections = atomic_load(&s->connections),
                         .exchanges = atomic_load(&s->exchanges)};
}

/* ---- the way in ---- */

/* Under the lock. */
static void wake(http_server *s) {
    if (s->is_waking || s->has_ended) return;
    s->is_waking = true;
    if (server_here == s) {
        event_active(s->wake_ev, EV_READ, 0);
    } else {
        uint64_t one = 1;
        if (write(s->wake_fd, &one, sizeof one) < 0)
            log_msg(LOG_WARN, "network: cannot wake the thread: %s", strerror(errno));
    }
}

void http_server_make_ready(http_server *s, http_exchange *x) {
    if (x->is_ready || s->has_ended || atomic_load(&x->gone)) return;
    x->is_ready = true;
    x->next_ready = NULL;
    atomic_fetch_add(&x->refs, 1);
    *s->ready_last = x;
    s->ready_last = &x->next_ready;
    wake(s);
}

/* The list's reference goes first: what an exchange is asked then is who else holds it. */
static void run_one(http_exchange *x) {
    if (!x->conn) {
        http_release(x);
        return;
    }
    atomic_fetch_sub(&x->refs, 1); /* the connection has another */
    http_conn_answer(x->conn);
}

static void close_idle(http_server *s) {
    for (http_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_READ && c->in.state == HTTP1_IDLE) http_conn_close(c);
    }
}

void http_server_run_ready(http_server *s) {
    pthread_mutex_lock(&s->lock);
    http_exchange *x = s->ready;
    s->ready = NULL;
    s->ready_last = &s->ready;
    s->is_waking = false;
    bool drain = s->wants_drain, end = s->wants_end;
    pthread_mutex_unlock(&s->lock);
    while (x) {
        pthread_mutex_lock(&s->lock);
        http_exchange *next = x->next_ready;
        x->is_ready = false; /* from here on it can be put on the list again */
        pthread_mutex_unlock(&s->lock);
        run_one(x);
        x = next;
    }
    if (drain && !s->is_draining) {
        s->is_draining = true;
        http_accept_end(s);
        close_idle(s);
        http_server_check_drained(s);
    }
    if (end) event_base_loopbreak(s->base);
}

void http_server_check_drained(http_server *s) {
    if (!s->is_draining || s->conns) return;
    pthread_mutex_lock(&s->lock);
    s->has_drained = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

/* ---- the thread ---- */

static void *run(void *arg) {
    http_server *s = arg;
    server_here = s;
    event_base_dispatch(s->base);
    http_accept_end(s);
    while (s->conns) http_conn_close(s->conns);
    http_server_run_ready(s); /* gives back the list's references */
    event_del(s->wake_ev);
    event_base_loop(s->base, EVLOOP_NONBLOCK); /* libevent closes sockets in a later round */
    pthread_mutex_lock(&s->lock);
    s->has_ended = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

bool http_server_start(http_server *s, err *e) {
    if (s->o.max_connections <= 0) s->o.max_connections = http_accept_room();
    if (!http_accept_begin(s, e)) return false;
    /* Signals are for other threads; blocking them here also makes a write to a closed socket an
     * error instead of a SIGPIPE. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed)
        return err_set(e, ERR_FAILED, "cannot start the network thread: %s", strerror(failed));
    s->is_started = true;
    return true;
}

void http_server_drain(http_server *s) {
    pthread_mutex_lock(&s->lock);
    s->wants_drain = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
}

void http_server_stop(http_server *s, int drain_ms) {
    if (!s->is_started) return;
    struct timespec until = clock_after_ms(drain_ms);
    pthread_mutex_lock(&s->lock);
    s->wants_drain = true;
    wake(s);
    int waited = 0;
    while (!s->has_drained && !s->has_ended && waited == 0)
        waited = pthread_cond_timedwait(&s->moved, &s->lock, &until);
    s->wants_end = true;
    wake(s);
    while (!s->has_ended) pthread_cond_wait(&s->moved, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void http_server_unref(http_server *s) {
    if (atomic_fetch_sub(&s->refs, 1) != 1) return;
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void http_server_free(http_server *s) {
    if (!s) return;
    if (s->is_started) {
        http_server_stop(s, 0);
        pthread_join(s->thread, NULL);
    }
    http_accept_end(s);
    http_listen_free(s->listeners);
    s->listeners = NULL;
    if (s->wake_ev) event_free(s->wake_ev);
    if (s->base) event_base_free(s->base);
    if (s->wake_fd >= 0) close(s->wake_fd);
    if (s->tls) SSL_CTX_free(s->tls);
    http_server_unref(s);
}
