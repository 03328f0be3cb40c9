#include "base/log.h"
#include "base/str.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ONCE_MAX 1024 /* keys remembered; past that a message repeats rather than gets lost */

static const char *const level_name[] = {"error", "warning", "info", "debug"};
static atomic_int current_level = -1; /* -1: not yet read from the environment */

static int level_from_environment(void) {
    const char *s = getenv("HEARTH_LOG");
    str name = str_of(s);
    if (str_eq(name, STR("error"))) return LOG_ERROR;
    if (str_eq(name, STR("info"))) return LOG_INFO;
    if (str_eq(name, STR("debug"))) return LOG_DEBUG;
    return LOG_WARN;
}

void log_set_level(log_level level) {
    atomic_store(&current_level, (int)level);
}

static bool is_wanted(log_level level) {
    int now = atomic_load(&current_level);
    if (now < 0) {
        now = level_from_environment();
        atomic_store(&current_level, now);
    }
    return (int)level <= now;
}

/* One write call a message, so that lines of several threads and processes do not mix. */
static void write_line(log_level level, const char *fmt, va_list args) {
    char text[1024], safe[1200], line[1300];
    vsnprintf(text, sizeof text, fmt, args);
    str_printable(str_of(text), safe, sizeof safe);
    int n = snprintf(line, sizeof line, "hearth: %s: %s\n", level_name[level], safe);
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written; /* nowhere to complain to */
}

void log_msg(log_level level, const char *fmt, ...) {
    if (!is_wanted(level)) return;
    va_list args;
    va_start(args, fmt);
    write_line(level, fmt, args);
    va_end(args);
}

/* FNV-1a; two keys that collide cost one missing repetition of a warning. */
static uint64_t hash_key(const char *key) {
    uint64_t h = 14695981039346656037u;
    for (; *key; key++) h = (h ^ (unsigned char)*key) * 1099511628211u;
    return h;
}

static bool first_time(const char *key) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t seen[ONCE_MAX];
    static int n_seen;
    uint64_t h = hash_key(key);
    bool first = true;
    pthread_mutex_lock(&lock);
    for (int i = 0; first && i < n_seen; i++) first = seen[i] != h;
    if (first && n_seen < ONCE_MAX) seen[n_seen++] = h;
    pthread_mutex_unlock(&lock);
    return first;
}

void log_once(const char *key, const char *fmt, ...) {
    if (!is_wanted(LOG_WARN) || !first_time(key)) return;
    va_list args;
    va_start(args, fmt);
    write_line(LOG_WARN, fmt, args);
    va_end(args);
}
