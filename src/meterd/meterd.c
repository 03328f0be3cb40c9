/* hearth-meterd: the few lines that need root. It reads the processor's energy counters, which only
 * root may read since they leak what is computed, and tells programs of its group the sum, once a
 * second: too seldom to learn anything from but the energy. It takes no input, opens no network
 * and writes no file; whoever connects to its socket gets a line of JSON each second
 * (meter/meterd_line.h).
 *
 *     hearth-meterd [--socket PATH] [--group NAME] [--root DIR]
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "meter/meterd_line.h"
#include "meter/source.h"

#define CLIENTS 16
#define PERIOD_NS 1000000000ull /* never less: docs/energy.md says why */

typedef struct daemon_state {
    source_list l;
    int listener, client[CLIENTS];
    int n_clients;
    meterd_line line;
    bool begun;
} daemon_state;

static volatile sig_atomic_t stopped;

static void on_signal(int sig) {
    (void)sig;
    stopped = 1;
}

static int fail(const char *what, const char *which) {
    fprintf(stderr, "hearth-meterd: %s %s: %s\n", what, which, strerror(errno));
    return 1;
}

/* ---- the counters ---- */

static bool counters_find(daemon_state *d, const char *root) {
    snprintf(d->l.from.root, sizeof d->l.from.root, "%s", root);
    d->l.from.perf = !root[0];
    source_find_perf(&d->l);
    source_find_powercap(&d->l);
    sources_settle(&d->l);
    size_t n = 0;
    double squares = 0;
    for (size_t i = 0; i < d->l.n; i++) {
        source *s = &d->l.item[i];
        s->counted = source_usable(s) && !s->apart;
        energy_track_init(&s->track, &s->rules);
        if (!s->counted) continue;
        squares += s->step_j * s->step_j;
        size_t cap = sizeof d->line.instrument - n;
        int k = snprintf(d->line.instrument + n, cap, "%s%s %s", n ? ", " : "", s->kind, s->name);
        n = (size_t)k < cap ? n + (size_t)k : sizeof d->line.instrument - 1;
    }
    d->line.step_j = sqrt(squares);
    return n > 0;
}

static void counters_read(daemon_state *d) {
    double joules = 0;
    bool lost = false;
    d->line.t_ns = clock_now_ns();
    for (size_t i = 0; i < d->l.n; i++) {
        source *s = &d->l.item[i];
        if (!s->counted) continue;
        energy_reading r = {.t_ns = d->line.t_ns};
        const char *why = "";
        energy_gain g = s->read(s, &r, &why) ? energy_track_add(&s->track, &r)
                                             : energy_track_lose(&s->track, r.t_ns, why);
        if (isnan(g.joules)) lost = true;
        else joules += g.joules;
    }
    d->line.joules += joules;
    d->line.lost += lost;
}

/* ---- those who listen ---- */

static int listen_at(const char *path, const char *group) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const struct group *g = group ? getgrnam(group) : NULL;
    if (strlen(path) >= sizeof a.sun_path) errno = ENAMETOOLONG;
    if (strlen(path) >= sizeof a.sun_path || (group && !g)) {
        fail(g || !group ? "cannot listen at" : "there is no group", g || !group ? path : group);
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path));
    unlink(path); /* of one that was killed */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    umask(0117); /* the owner and its group, nobody else */
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        (!g || chown(path, (uid_t)-1, g->gr_gid) == 0) && listen(fd, CLIENTS) == 0)
        return fd;
    fail("cannot listen at", path);
    if (fd >= 0) close(fd);
    return -1;
}

static void client_drop(daemon_state *d, int i) {
    close(d->client[i]);
    d->client[i] = d->client[--d->n_clients];
}

/* A line to everybody. Who does not read them in time, or says something, is dropped. */
static void tell_all(daemon_state *d) {
    buf text;
    buf_init(&text, METERD_LINE_BYTES);
    meterd_line_write(&d->line, &text);
    for (int i = d->n_clients - 1; i >= 0 && !text.failed; i--)
        if (send(d->client[i], text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
            (ssize_t)text.len)
            client_drop(d, i);
    buf_deinit(&text);
}

/* Until the next second. */
static void wait_until(daemon_state *d, uint64_t until_ns) {
    for (uint64_t now; !stopped && (now = clock_now_ns()) < until_ns;) {
        struct pollfd p[CLIENTS + 1] = {{.fd = d->listener, .events = POLLIN}};
        for (int i = 0; i < d->n_clients; i++)
            p[1 + i] = (struct pollfd){.fd = d->client[i], .events = POLLIN};
        int ms = (int)((until_ns - now) / 1000000 + 1), n = d->n_clients;
        if (poll(p, (nfds_t)(1 + n), ms) <= 0) continue;
        for (int i = n - 1; i >= 0; i--) /* it left, or talks: neither is of use */
            if (p[1 + i].revents) client_drop(d, i);
        if (!p[0].revents) continue;
        int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && d->n_clients < CLIENTS) d->client[d->n_clients++] = fd;
        else if (fd >= 0) close(fd);
    }
}

/* ---- the program ---- */

static int serve(daemon_state *d) {
    counters_read(d);
    while (!stopped) {
        wait_until(d,
                   d->line.t_ns + PERIOD_NS); /* a late line is not made up for by an early one */
        if (stopped) break;
        counters_read(d);
        tell_all(d);
    }
    while (d->n_clients > 0) client_drop(d, 0);
    close(d->listener);
    for (size_t i = 0; i < d->l.n; i++)
        if (d->l.item[i].close) d->l.item[i].close(&d->l.item[i]);
    return 0;
}

int main(int argc, char **argv) {
    static daemon_state d;
    const char *path = "/run/hearth/meterd.sock", *group = NULL, *root = "";
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        const char **to = strcmp(argv[i], "--socket") == 0  ? &path
                          : strcmp(argv[i], "--group") == 0 ? &group
                          : strcmp(argv[i], "--root") == 0  ? &root
                                                            : NULL;
        if (!to || !value) {
            fprintf(stderr, "usage: hearth-meterd [--socket PATH] [--group NAME] [--root DIR]\n");
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
        *to = argv[++i];
    }
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGINT, &a, NULL);
    if (!counters_find(&d, root)) {
        fprintf(stderr, "hearth-meterd: there is no counter here that moves\n");
        for (size_t i = 0; i < d.l.n; i++)
            fprintf(stderr, "hearth-meterd: %s %s: %s\n", d.l.item[i].kind, d.l.item[i].name,
                    d.l.item[i].why_not);
        return 3;
    }
    d.listener = listen_at(path, group);
    if (d.listener < 0) return 1;
    fprintf(stderr, "hearth-meterd: %s, each second to %s\n", d.line.instrument, path);
    int code = serve(&d);
    unlink(path);
    return code;
}
