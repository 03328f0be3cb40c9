/* Apple's computers by the system's own program, powermetrics, which only root may run: once a
 * second it writes a property list, each ended by a NUL. The watts in it are the vendor's model of
 * its chip, no sensor at the socket, and say so: "soc-model".
 *
 * Looked for where Hearth was built for Apple's system, or where a test names the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "meter/plist.h"
#include "meter/source.h"

extern char **environ;

typedef struct powermetrics {
    pid_t pid;
    int fd;
    buf text; /* what has come since the last NUL */
    double watts;
    uint64_t t_ns; /* of watts; 0: none yet */
} powermetrics;

/* Takes what has come; false: the program has ended. */
static bool take(powermetrics *p) {
    for (;;) {
        char piece[4096];
        ssize_t n = read(p->fd, piece, sizeof piece);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        if (n == 0) return false;
        for (ssize_t i = 0; i < n; i++) {
            if (piece[i]) {
                buf_putc(&p->text, piece[i]);
                continue;
            }
            double watts;
            if (!p->text.failed && plist_combined_watts(buf_str(&p->text), &watts)) {
                p->watts = watts;
                p->t_ns = clock_now_ns();
            }
            buf_clear(&p->text);
        }
    }
}

static bool apple_read(source *s, energy_reading *r, const char **why) {
    powermetrics *p = s->ud;
    *why = "powermetrics has ended";
    if (!take(p)) return false;
    *why = "powermetrics has told nothing yet";
    if (!p->t_ns) return false;
    r->t_ns = p->t_ns;
    r->has_watts = true;
    r->watts = p->watts;
    return true;
}

static void apple_close(source *s) {
    powermetrics *p = s->ud;
    if (!p) return;
    kill(p->pid, SIGTERM);
    waitpid(p->pid, NULL, 0);
    close(p->fd);
    buf_deinit(&p->text);
    source_close_free(s);
}

static bool start(powermetrics *p, const char *program) {
    static char *const arguments[] = {"powermetrics", "--samplers", "cpu_power,gpu_power,ane_power",
                                      "-i",           "1000",       "-f",
                                      "plist",        NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    posix_spawn_file_actions_t a;
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_adddup2(&a, ends[1], 1);
    posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&a, 2, "/dev/null", O_WRONLY, 0);
    bool ok = posix_spawn(&p->pid, program, &a, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&a);
    close(ends[1]);
    p->fd = ends[0];
    if (ok) fcntl(p->fd, F_SETFL, O_NONBLOCK);
    else close(p->fd);
    return ok;
}

void source_find_apple(source_list *l) {
    if (!l->from.powermetrics[0] || access(l->from.powermetrics, X_OK) != 0) return;
    source *s = source_add(l, "powermetrics", METER_SOC_MODEL, "combined power");
    if (!s) return;
    s->rules = (energy_rules){.max_watts = 2000, .by_power = true, .max_gap_ns = 10000 * MS_NS};
    s->read = apple_read;
    s->own_time = true;
#ifdef __APPLE__
    if (geteuid() != 0) {
        source_refuse(s, "only root may run powermetrics");
        return;
    }
#endif
    powermetrics *p = calloc(1, sizeof *p);
    if (!p || !start(p, l->from.powermetrics)) {
        free(p);
        source_refuse(s, "powermetrics cannot be started");
        return;
    }
    buf_init(&p->text, 1 << 20);
    s->ud = p;
    s->close = apple_close;
}
