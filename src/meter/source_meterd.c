/* What hearth-meterd tells: the counters that only root may read, added up over a second or
 * more. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "meter/meterd_line.h"
#include "meter/source.h"

#define FIRST_MS 5000            /* patience with the first line: one comes each second */
#define AGAIN_NS (5000 * MS_NS)  /* between two attempts to reach a helper that went away */
#define SILENT_NS (5000 * MS_NS) /* a helper that says nothing for so long is stuck */

typedef struct helper {
    char path[108];
    int fd; /* -1: not connected */
    uint64_t tried_ns, heard_ns;
    char text[METERD_LINE_BYTES];
    size_t n;
    meterd_line last;
    bool any, lost; /* last is good; since the line before, something was not known */
} helper;

static bool reach(helper *h) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    h->tried_ns = clock_now_ns();
    h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->fd < 0) return false;
    memcpy(a.sun_path, h->path, sizeof a.sun_path);
    if (connect(h->fd, (struct sockaddr *)&a, sizeof a) == 0) {
        h->n = 0;
        h->heard_ns = h->tried_ns;
        return true;
    }
    int error = errno;
    close(h->fd);
    h->fd = -1;
    errno = error;
    return false;
}

static void leave(helper *h) {
    if (h->fd >= 0) close(h->fd);
    h->fd = -1;
    h->lost = true; /* it begins at zero when it comes back */
}

static void line_take(helper *h, str text) {
    meterd_line l;
    if (!meterd_line_read(text, &l)) {
        leave(h);
        return;
    }
    h->lost |= h->any && (l.lost != h->last.lost || l.t_ns < h->last.t_ns);
    h->last = l;
    h->any = true;
    h->heard_ns = clock_now_ns();
}

/* Everything that has been said. */
static void listen_to(helper *h) {
    while (h->fd >= 0) {
        ssize_t got = read(h->fd, h->text + h->n, sizeof h->text - h->n);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (got <= 0) {
            leave(h);
            break;
        }
        h->n += (size_t)got;
        for (char *end; h->fd >= 0 && (end = memchr(h->text, '\n', h->n));) {
            size_t n = (size_t)(end - h->text);
            line_take(h, (str){h->text, n});
            memmove(h->text, end + 1, h->n - n - 1);
            h->n -= n + 1;
        }
        if (h->n == sizeof h->text) leave(h); /* no line is so long */
    }
    if (h->fd >= 0 && clock_now_ns() - h->heard_ns > SILENT_NS) leave(h);
}

static bool helper_read(source *s, energy_reading *r, const char **why) {
    helper *h = s->ud;
    if (h->fd < 0 && clock_now_ns() - h->tried_ns >= AGAIN_NS) reach(h);
    listen_to(h);
    *why = "hearth-meterd does not answer";
    if (h->fd < 0 || !h->any) return false;
    *why = "hearth-meterd could not read its counters";
    if (h->lost) {
        h->lost = false;
        return false;
    }
    r->t_ns = h->last.t_ns;
    r->has_count = true;
    r->count = (uint64_t)(h->last.joules * 1e6 + 0.5);
    return true;
}

static void helper_close(source *s) {
    helper *h = s->ud;
    if (h && h->fd >= 0) close(h->fd);
    source_close_free(s);
}

void source_find_meterd(source_list *l) {
    if (!l->from.meterd[0] || access(l->from.meterd, F_OK) != 0) return;
    source *s = source_add(l, "hearth-meterd", METER_PARTS, "%s", l->from.meterd);
    helper *h = s ? calloc(1, sizeof *h) : NULL;
    if (!h) return;
    h->fd = -1;
    snprintf(h->path, sizeof h->path, "%s", l->from.meterd);
    s->ud = h;
    s->read = helper_read;
    s->close = helper_close;
    s->own_time = true;
    s->instead_of = "rapl-";
    s->instead_why = "its counters are read directly";
    s->rules = (energy_rules){.unit_j = 1e-6, .max_watts = 1e5};
    if (!reach(h)) {
        char reason[100];
        source_refuse(s, "it cannot be reached: %s", strerror_r(errno, reason, sizeof reason));
        return;
    }
    for (uint64_t now, until = clock_now_ns() + FIRST_MS * MS_NS;
         !h->any && h->fd >= 0 && (now = clock_now_ns()) < until;) {
        struct pollfd p = {.fd = h->fd, .events = POLLIN};
        if (poll(&p, 1, (int)((until - now) / MS_NS) + 1) == 1) listen_to(h);
    }
    if (!h->any) source_refuse(s, "it says nothing that can be read");
    s->step_j = h->last.step_j;
    if (h->any) snprintf(s->name, sizeof s->name, "%.60s", h->last.instrument);
}
