/* Opening and closing, the lock between processes, and the thread that writes. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "store/store_private.h"

#define MS 1000000ull /* nanoseconds */

/* ---- time and text ---- */

int64_t store_now_ms(const store *s) {
    if (s->clock.unix_ms) return s->clock.unix_ms(s->clock.ud);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t store_mono_ns(const store *s) {
    return s->clock.mono_ns ? s->clock.mono_ns(s->clock.ud) : clock_now_ns();
}

int32_t store_day_of(int64_t unix_s) {
    time_t t = (time_t)unix_s;
    struct tm tm = {0};
    localtime_r(&t, &tm);
    return (tm.tm_year + 1900) * 10000 + (tm.tm_mon + 1) * 100 + tm.tm_mday;
}

void store_strcpy(char *dst, size_t cap, const char *src) {
    size_t n = src ? strlen(src) : 0;
    if (n >= cap) {
        n = cap - 1;
        while (n > 0 && ((unsigned char)src[n] & 0xc0) == 0x80) n--;
    }
    if (n > 0) memcpy(dst, src, n);
    dst[n] = 0;
}

/* ---- one writer among processes ---- */

static bool lock_byte(int fd, short type, int64_t byte) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &l) == 0;
}

/* A process that was stopped in the middle of a write must not take this one with it: so patience
 * has an end. */
bool store_lock_file(store *s, err *e) {
    uint64_t until = clock_now_ns() + STORE_BUSY_MS * MS;
    while (!lock_byte(s->lock_fd, F_WRLCK, 0)) {
        char reason[128];
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return err_set(e, ERR_FAILED, "%s-lock: %s", s->path,
                           strerror_r(errno, reason, sizeof reason));
        if (clock_now_ns() > until)
            return err_set(e, ERR_FAILED, "%s: another process has been writing to it for %d s",
                           s->path, STORE_BUSY_MS / 1000);
        nanosleep(&(struct timespec){.tv_nsec = 2 * (long)MS}, NULL);
    }
    return true;
}

void store_unlock_file(store *s) {
    lock_byte(s->lock_fd, F_UNLCK, 0);
}

bool store_write_begin(store *s, err *e) {
    if (!store_lock_file(s, e)) return false;
    if (sql_exec(s->db, "BEGIN IMMEDIATE", e)) return true;
    store_unlock_file(s);
    return false;
}

bool store_write_end(store *s, bool commit, err *e) {
    bool ok = commit && sql_exec(s->db, "COMMIT", e);
    if (!ok) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done so */
    store_unlock_file(s);
    return ok;
}

/* ---- opening ---- */

static bool fail_file(err *e, const char *path, const char *what) {
    char shown[200], reason[128];
    int error = errno;
    return err_set(e, error == EACCES || error == EROFS ? ERR_DENIED : ERR_FAILED, "%s: %s: %s",
                   str_printable(str_of(path), shown, sizeof shown), what,
                   strerror_r(error, reason, sizeof reason));
}

/* The file is made before SQLite sees it, for its mode. An existing one is never opened here: to
 * close it again would take away the locks that SQLite has in this process. */
static bool make_file(const char *path, err *e) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    struct stat st;
    if (errno != EEXIST) return fail_file(e, path, "cannot create");
    if (stat(path, &st) != 0) return fail_file(e, path, "cannot stat");
    if (!(st.st_mode & 077)) return true;
    char shown[200];
    if (chmod(path, 0600) != 0) return fail_file(e, path, "others can read it, and chmod fails");
    log_msg(LOG_WARN, "%s could be read by others; its mode is now 0600",
            str_printable(str_of(path), shown, sizeof shown));
    return true;
}

static bool open_files(store *s, err *e) {
    char *folder = strdup(s->path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = 0;
    bool ok = folder && (!slash || slash == folder || file_make_dirs(folder, 0700, e));
    free(folder);
    char name[4200];
    if (!ok || !make_file(s->path, e)) return false;
    snprintf(name, sizeof name, "%s-lock", s->path);
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return s->lock_fd >= 0 || fail_file(e, name, "cannot open");
}

static sqlite3 *connect_file(const char *path, int flags, err *e) {
    sqlite3 *db = NULL;
    /* mmap: a full disk or a damaged file would be a signal instead of an error. */
    if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(db, STORE_BUSY_MS) == SQLITE_OK &&
        sql_exec(db, "PRAGMA mmap_size = 0", e))
        return db;
    if (!e || !e->code) sql_fail_at(db, path, e);
    sqlite3_close(db);
    return NULL;
}

static bool open_to_write(store *s, err *e) {
    if (!open_files(s, e) || !(s->db = connect_file(s->path, SQLITE_OPEN_READWRITE, e)) ||
        !store_lock_file(s, e))
        return false;
    bool ok = sql_exec(s->db,
                       "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                       "PRAGMA secure_delete = ON;"
                       "PRAGMA cache_size = -512", /* KB: rows are added at the ends of tables */
                       e) &&
              schema_migrate(s, schema_steps, STORE_VERSION, e);
    store_unlock_file(s);
    return ok;
}

/* For questions: no file is an empty one, and an old one is brought up to date by who may write. */
static bool open_to_read(store *s, err *e) {
    if (access(s->path, F_OK) != 0 && errno == ENOENT) return true;
    int64_t version;
    s->db = connect_file(s->path, SQLITE_OPEN_READONLY, e);
    if (!s->db || !sql_number(s->db, e, "PRAGMA user_version", 0, &version)) return false;
    if (version == STORE_VERSION) return true;
    sqlite3_close(s->db);
    s->db = NULL;
    return open_to_write(s, e);
}

sqlite3 *store_reader_open(store *s, err *e) {
    if (s->mode == STORE_READ) return s->db;
    return connect_file(s->path, SQLITE_OPEN_READONLY, e);
}

void store_reader_close(store *s, sqlite3 *db) {
    if (db != s->db) sqlite3_close(db);
}

/* ---- the thread that writes ---- */

/* What other processes have changed: keys at once, since a revocation must be noticed; their
 * tokens too, since budgets are one for all, but not at every write of a busy neighbour. */
static void notice_changes(store *s) {
    int64_t version;
    err e = {0};
    if (sql_number(s->db, &e, "PRAGMA data_version", 0, &version) && version != s->data_version &&
        keys_load(s, &e)) {
        s->data_version = version;
        s->sums_stale = true;
    }
    uint64_t now = clock_now_ns();
    if (!e.code && s->sums_stale && now >= s->sums_read_ns + STORE_SUMS_MS * MS &&
        budget_load(s, &e)) {
        s->sums_stale = false;
        s->sums_read_ns = now;
    }
    if (e.code) log_once("store changes", "cannot read what another process changed: %s", e.msg);
}

static void report_health(store *s, bool ok, const err *e) {
    bool was = s->status.failing;
    s->status.failing = !ok;
    s->write_error = ok ? (err){0} : *e;
    store_strcpy(s->status.why, sizeof s->status.why, ok ? "" : e->msg);
    if (!ok && !was)
        log_msg(LOG_WARN,
                "the ledger cannot be written (%s); it goes on in memory and is tried again every "
                "second",
                e->msg);
    if (ok && was) log_msg(LOG_WARN, "the ledger is written again, nothing is missing");
}

/* lock is held. When the next write is due; the far future when there is nothing to write. */
static uint64_t write_due(const store *s, uint64_t last_ns) {
    if (!s->dirty) return UINT64_MAX;
    if (s->status.failing || !s->prompt) return last_ns + STORE_CHECKPOINT_MS * MS;
    return last_ns + STORE_PROMPT_MS * MS;
}

static void wait_until(store *s, uint64_t due_ns) {
    struct timespec t = {.tv_sec = (time_t)(due_ns / 1000000000u),
                         .tv_nsec = (long)(due_ns % 1000000000u)};
    pthread_cond_timedwait(&s->wake, &s->lock, &t);
}

/* lock is held. How old responses may be if it is time to look; else -1. */
static int64_t trim_due(store *s) {
    int64_t now = store_now_ms(s);
    if (!s->trim || (s->trimmed_ms <= now && now < s->trimmed_ms + STORE_TRIM_MS)) return -1;
    s->trimmed_ms = now;
    return s->responses_age_s;
}

static void *writer_main(void *ud) {
    store *s = ud;
    uint64_t written_ns = 0;
    bool stop = false;
    pthread_mutex_lock(&s->lock);
    while (!stop) {
        uint64_t poll_ns = clock_now_ns() + STORE_POLL_MS * MS, now, due;
        while (now = clock_now_ns(), due = write_due(s, written_ns),
               !s->stop && s->flushes_done == s->flushes_wanted && now < due && now < poll_ns)
            wait_until(s, due < poll_ns ? due : poll_ns);
        stop = s->stop;
        uint64_t flushes = s->flushes_wanted;
        bool write = s->dirty && (stop || flushes != s->flushes_done || now >= due), ok = true;
        if (write) s->prompt = false;
        int64_t age_s = trim_due(s);
        pthread_mutex_unlock(&s->lock);

        err e = {0}, why = {0};
        pthread_mutex_lock(&s->db_lock);
        notice_changes(s);
        if (write) ok = ledger_write(s, &e);
        if (age_s >= 0 && !responses_trim(s, age_s, &why))
            log_once("old responses", "old responses cannot be deleted: %s", why.msg);
        pthread_mutex_unlock(&s->db_lock);

        pthread_mutex_lock(&s->lock);
        if (write) {
            written_ns = clock_now_ns();
            report_health(s, ok, &e);
        }
        s->flushes_done = flushes;
        pthread_cond_broadcast(&s->idle);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

bool store_flush(store *s, err *e) {
    if (!s->has_writer) return true;
    pthread_mutex_lock(&s->lock);
    uint64_t mine = ++s->flushes_wanted;
    pthread_cond_signal(&s->wake);
    while (s->flushes_done < mine) pthread_cond_wait(&s->idle, &s->lock);
    bool ok = !s->status.failing;
    if (!ok && e) *e = s->write_error;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void store_status_get(store *s, store_status *out) {
    pthread_mutex_lock(&s->lock);
    *out = s->status;
    pthread_mutex_unlock(&s->lock);
}

/* ---- open and close ---- */

/* A full disk is no reason not to serve: the run then begins with the first write that works. */
static bool begin_serving(store *s, err *e) {
    err first = {0};
    bool ok = store_write_begin(s, &first);
    if (ok) {
        ok = ledger_begin_run(s, &first);
        ok = store_write_end(s, ok, &first) && ok;
        if (!ok) ledger_forget_run(s);
    }
    if (!ok && first.code != ERR_NO_FIT) {
        if (e) *e = first;
        return false;
    }
    if (!ok) report_health(s, false, &first);
    return true;
}

static bool start_writer(store *s, err *e) {
    if (!sql_number(s->db, e, "PRAGMA data_version", 0, &s->data_version) || !budget_load(s, e))
        return false;
    if (pthread_create(&s->writer, NULL, writer_main, s) != 0)
        return err_set(e, ERR_FAILED, "cannot start the thread that writes the ledger");
    s->has_writer = true;
    return true;
}

static store *store_new(const store_options *o, err *e) {
    const char *home = o->path ? "" : file_home();
    store *s = home ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        err_set(e, ERR_FAILED, home ? "out of memory" : "no home folder: set HEARTH_HOME");
        return NULL;
    }
    size_t n = strlen(o->path ? o->path : home) + sizeof "/hearth.db";
    s->path = malloc(n);
    if (!s->path || n > 4000 || sodium_init() < 0) {
        err_set(e, ERR_FAILED, n > 4000 ? "the path of the database is too long" : "out of memory");
        free(s->path);
        free(s);
        return NULL;
    }
    snprintf(s->path, n, "%s%s", o->path ? o->path : home, o->path ? "" : "/hearth.db");
    s->mode = o->mode;
    s->clock = o->clock;
    s->lock_fd = -1;
    tzset();
    pthread_mutex_init(&s->db_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    clock_cond_init(&s->wake);
    clock_cond_init(&s->idle);
    return s;
}

store *store_open(const store_options *o, err *e) {
    store *s = store_new(o, e);
    if (!s) return NULL;
    pthread_mutex_lock(&s->db_lock);
    bool ok = s->mode == STORE_READ ? open_to_read(s, e) : open_to_write(s, e);
    ok = ok && (s->mode != STORE_SERVE || begin_serving(s, e)) && keys_load(s, e) &&
         (s->mode != STORE_SERVE || start_writer(s, e));
    pthread_mutex_unlock(&s->db_lock);
    if (ok) return s;
    store_close(s, NULL);
    return NULL;
}

/* Closing the last connection moves the log into the file: that too is writing. */
static bool close_file(store *s, err *e) {
    bool ok = true, locked = s->lock_fd >= 0 && store_lock_file(s, NULL);
    sqlite3_finalize(s->upsert);
    if (s->db && sqlite3_close(s->db) != SQLITE_OK) ok = sql_fail(s->db, e);
    if (locked) store_unlock_file(s);
    if (s->lock_fd >= 0) close(s->lock_fd);
    return ok;
}

bool store_close(store *s, err *e) {
    if (!s) return true;
    bool ok = true;
    if (s->has_writer) {
        pthread_mutex_lock(&s->lock);
        s->stop = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->writer, NULL);
        ok = !s->status.failing;
        if (!ok && e) *e = s->write_error;
        if (ok && s->run && s->status.n_live == 0) ok = ledger_end_run(s, e);
    }
    ok = close_file(s, ok ? e : NULL) && ok;
    ledger_free_all(s);
    keys_free(s->by_id, s->by_owner, s->n_keys);
    pthread_mutex_destroy(&s->db_lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->idle);
    free(s->path);
    free(s);
    return ok;
}
