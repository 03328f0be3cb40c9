/* Taking connections: never more than descriptors allow, never fewer than were asked for. A client
 * over the limit is told so (503, Retry-After); when descriptors run out all the same, one that is
 * kept spare is given up for the moment it takes to accept and refuse, so that no client is left
 * waiting in the kernel's queue. Network thread only, but for the first and last function.
 */
#include "net/http_private.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ACCEPT_BURST 64 /* then other events get their turn */
#define ACCEPT_RETRY_MS 100

int http_accept_room(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 1000;
    rlim_t want = r.rlim_max < 65536 ? r.rlim_max : 65536;
    if (r.rlim_cur < want) {
        rlim_t was = r.rlim_cur;
        r.rlim_cur = want;
        if (setrlimit(RLIMIT_NOFILE, &r) != 0) r.rlim_cur = was;
    }
    int limit = r.rlim_cur < 1000000 ? (int)r.rlim_cur : 1000000, open_now = 0;
    DIR *d = opendir("/proc/self/fd");
    for (; d && readdir(d); open_now++) {
    }
    if (d) closedir(d);
    int room = limit - open_now - HTTP_FDS_RESERVED - HTTP_REFUSALS;
    return room > 8 ? room : 8;
}

static int open_spare(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A refusal without a connection of ours: what fits the socket's buffer leaves, or not. */
static void refuse_at_once(http_server *s, int fd, bool is_tls) {
    atomic_fetch_add(&s->refused, 1);
    if (!is_tls) {
        char waste[4096];
        buf b;
        buf_init(&b, 4096);
        http_error_answer(&b, 503, "too many connections; try again in a moment");
        if (send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) shutdown(fd, SHUT_WR);
        while (recv(fd, waste, sizeof waste, MSG_DONTWAIT) == (ssize_t)sizeof waste) {
        }
        buf_deinit(&b);
    }
    close(fd);
}

static void pause_accepting(http_server *s) {
    struct timeval tv = {0, ACCEPT_RETRY_MS * 1000};
    for (http_listener *l = s->listeners; l; l = l->next)
        if (l->ev) event_del(l->ev);
    evtimer_add(s->accept_retry, &tv);
}

static void on_retry(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    http_server *s = arg;
    if (s->spare_fd < 0) s->spare_fd = open_spare();
    for (http_listener *l = s->listeners; l; l = l->next)
        if (l->ev) event_add(l->ev, NULL);
}

/* Descriptors have run out, which the kernel also says when nobody waits. False: no more now. */
static bool refuse_with_spare(http_listener *l) {
    http_server *s = l->server;
    int fd = -1;
    bool is_empty = false;
    if (s->spare_fd >= 0) {
        close(s->spare_fd);
        fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        is_empty = fd < 0 && errno == EAGAIN;
        if (fd >= 0) {
            log_once("net.descriptors", "out of file descriptors: connections are refused; raise "
                                        "the limit (ulimit -n)");
            atomic_fetch_add(&s->accepted, 1);
            refuse_at_once(s, fd, s->tls && !l->is_unix);
        }
        s->spare_fd = open_spare();
    }
    if (fd >= 0 && s->spare_fd >= 0) return true;
    if (!is_empty) pause_accepting(s);
    return false;
}

static void take(http_listener *l, int fd, const struct sockaddr *sa) {
    http_server *s = l->server;
    atomic_fetch_add(&s->accepted, 1);
    if (s->n_conns < s->o.max_connections) {
        http_conn_open(s, fd, sa, false);
    } else if (s->n_refusals < HTTP_REFUSALS) {
        atomic_fetch_add(&s->refused, 1);
        http_conn_open(s, fd, sa, true);
    } else {
        refuse_at_once(s, fd, s->tls && !l->is_unix);
    }
}

static void on_accept(evutil_socket_t listening, short what, void *arg) {
    (void)what;
    http_listener *l = arg;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        struct sockaddr_storage sa = {0};
        socklen_t n = sizeof sa;
        int fd = accept4(listening, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (l->is_unix) sa.ss_family = AF_UNIX;
            take(l, fd, (struct sockaddr *)&sa);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!refuse_with_spare(l)) return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

bool http_accept_begin(http_server *s, err *e) {
    s->spare_fd = open_spare();
    s->accept_retry = evtimer_new(s->base, on_retry, s);
    bool ok = s->accept_retry != NULL;
    for (http_listener *l = s->listeners; l && ok; l = l->next) {
        l->server = s;
        l->ev = event_new(s->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
        ok = l->ev && event_add(l->ev, NULL) == 0;
    }
    return ok || err_set(e, ERR_NO_FIT, "out of memory");
}

void http_accept_end(http_server *s) {
    for (http_listener *l = s->listeners; l; l = l->next) http_listen_close(l);
    if (s->accept_retry) event_free(s->accept_retry);
    s->accept_retry = NULL;
    if (s->spare_fd >= 0) close(s->spare_fd);
    s->spare_fd = -1;
}
