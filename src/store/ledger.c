/* The ledger in memory and on its way to the file.
 *
 * An entry that has changed stands once in the list `dirty`, however often it changes: so the list
 * is never longer than there are entries, nothing is allocated on the engine's thread, and reports
 * that come faster than the disk takes them fall together by themselves. The writing thread takes
 * the rows of up to STORE_BATCH entries, writes them in one transaction, and then frees those that
 * were settled and have not changed since. (run, seq) makes writing a row again harmless.
 */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store_private.h"

#define MAX_MODEL 256
#define MAX_WORD 64
#define MAX_USER 256
#define MAX_METADATA 4096

const char *store_finish_name(hearth_finish f) {
    switch (f) {
    case HEARTH_FINISH_END: return "end";
    case HEARTH_FINISH_STOP: return "stop";
    case HEARTH_FINISH_LENGTH: return "length";
    case HEARTH_FINISH_CANCELLED: return "cancelled";
    case HEARTH_FINISH_ERROR:
    case HEARTH_FINISH_NONE: break;
    }
    return "error";
}

/* ---- entries; the engine's side ---- */

static size_t field_bytes(const char *s, size_t cap) {
    size_t n = s ? strlen(s) + 1 : 1;
    return n < cap ? n : cap;
}

static const char *put_field(char **at, const char *s, size_t cap) {
    char *field = *at;
    size_t n = field_bytes(s, cap);
    store_strcpy(field, n, s);
    *at += n;
    return field;
}

store_entry *store_entry_new(store *s, const store_entry_info *i) {
    bool tagged = i->metadata && strlen(i->metadata) <= MAX_METADATA;
    size_t n = field_bytes(i->model, MAX_MODEL) + field_bytes(i->dialect, MAX_WORD) +
               field_bytes(i->endpoint, MAX_WORD) + field_bytes(i->user, MAX_USER) +
               (tagged ? strlen(i->metadata) + 1 : 0);
    store_entry *x = calloc(1, sizeof *x + n);
    if (!x) return NULL;
    char *at = x->text;
    x->s = s;
    x->key_id = i->key_id;
    x->model = put_field(&at, i->model, MAX_MODEL);
    x->dialect = put_field(&at, i->dialect, MAX_WORD);
    x->endpoint = put_field(&at, i->endpoint, MAX_WORD);
    x->user = i->user ? put_field(&at, i->user, MAX_USER) : NULL;
    x->metadata = tagged ? put_field(&at, i->metadata, MAX_METADATA + 1) : NULL;
    return x;
}

void store_entry_drop(store_entry *x) {
    free(x);
}

/* The list of what is to be written; lock is held. */

static void dirty_add(store *s, store_entry *x, bool first) {
    store_entry *after = first ? NULL : s->dirty_last, *before = first ? s->dirty : NULL;
    x->dirty = true;
    x->dirty_before = after;
    x->dirty_after = before;
    *(after ? &after->dirty_after : &s->dirty) = x;
    *(before ? &before->dirty_before : &s->dirty_last) = x;
}

static void dirty_remove(store *s, store_entry *x) {
    x->dirty = false;
    *(x->dirty_before ? &x->dirty_before->dirty_after : &s->dirty) = x->dirty_after;
    *(x->dirty_after ? &x->dirty_after->dirty_before : &s->dirty_last) = x->dirty_before;
}

static void mark_changed(store_entry *x) {
    store *s = x->s;
    x->version++;
    if (x->dirty) return;
    if (!s->dirty) pthread_cond_signal(&s->wake); /* it slept without a time to write */
    dirty_add(s, x, false);
}

static void mark_dirty(store_entry *x) {
    int64_t ns = (int64_t)(store_mono_ns(x->s) - x->started_ns);
    x->row.finished_ms = x->row.started_ms + ns / 1000000;
    mark_changed(x);
}

static void want_prompt(store *s) {
    if (!s->prompt) pthread_cond_signal(&s->wake);
    s->prompt = true;
}

/* lock is held. The row's tokens become these, and the key's sums with them. */
static void count_tokens(store_entry *x, int64_t in, int64_t out) {
    int64_t more = in + out - x->row.tokens_in - x->row.tokens_out;
    x->row.tokens_in = in;
    x->row.tokens_out = out;
    budget_count(x->s, x->key_id, x->row.day, more);
}

void store_entry_opened(store_entry *x, int32_t n_prompt) {
    store *s = x->s;
    int64_t now_ms = store_now_ms(s);
    x->started_ns = store_mono_ns(s);
    pthread_mutex_lock(&s->lock);
    x->row = (entry_row){.seq = ++s->next_seq,
                         .day = store_day_of(now_ms / 1000),
                         .started_ms = now_ms,
                         .joules = NAN,
                         .n_requests = 1,
                         .n_prompt = n_prompt};
    s->status.n_live++;
    mark_dirty(x);
    want_prompt(s);
    pthread_mutex_unlock(&s->lock);
}

void store_entry_progress(store_entry *x, int32_t n_prefilled, int32_t n_generated) {
    pthread_mutex_lock(&x->s->lock);
    count_tokens(x, n_prefilled, n_generated);
    mark_dirty(x);
    pthread_mutex_unlock(&x->s->lock);
}

static bool same_row(const store_entry *a, const store_entry *b) {
    return a->key_id == b->key_id && a->row.day == b->row.day && a->row.finish == b->row.finish &&
           strcmp(a->model, b->model) == 0 && strcmp(a->dialect, b->dialect) == 0 &&
           strcmp(a->endpoint, b->endpoint) == 0;
}

/* lock is held. While the disk takes nothing, memory must not grow without end: a settled entry
 * that the file has never seen is added to one of its kind. Finish names are compared as pointers:
 * all come from store_finish_name. */
static bool merge_away(store_entry *x) {
    store *s = x->s;
    if (s->status.n_pending < STORE_MAX_PENDING || x->written || x->in_batch || x->awaits)
        return false;
    store_entry *to = s->merged;
    while (to && !same_row(to, x)) to = to->next_merged;
    if (!to) {
        x->next_merged = s->merged;
        s->merged = x;
        return false;
    }
    entry_row *a = &to->row, *b = &x->row;
    a->merged = true;
    a->n_requests += b->n_requests;
    a->n_prompt += b->n_prompt;
    a->tokens_in += b->tokens_in;
    a->cached += b->cached;
    a->tokens_out += b->tokens_out;
    a->queue_s += b->queue_s;
    a->prefill_s += b->prefill_s;
    a->decode_s += b->decode_s;
    a->joules += b->joules; /* NAN when one of them was not measured */
    if (a->boundary != b->boundary) a->joules = NAN;
    mark_dirty(to);
    if (x->dirty) dirty_remove(s, x);
    free(x);
    return true;
}

void store_entry_settled(store_entry *x, const hearth_usage *u) {
    store *s = x->s;
    bool whole = u->finish == HEARTH_FINISH_END || u->finish == HEARTH_FINISH_STOP ||
                 u->finish == HEARTH_FINISH_LENGTH;
    pthread_mutex_lock(&s->lock);
    count_tokens(x, whole ? u->n_prompt : x->row.tokens_in, u->n_generated);
    x->row.cached = u->n_cached < x->row.tokens_in ? u->n_cached : x->row.tokens_in;
    x->row.queue_s = u->queued_s;
    x->row.prefill_s = u->prefill_s;
    x->row.decode_s = u->decode_s;
    x->row.finish = store_finish_name(u->finish);
    s->status.n_live--;
    if (!merge_away(x)) {
        mark_dirty(x);
        s->status.n_pending++;
    }
    want_prompt(s);
    pthread_mutex_unlock(&s->lock);
}

void store_entry_await_joules(store_entry *x) {
    pthread_mutex_lock(&x->s->lock);
    x->awaits = true;
    pthread_mutex_unlock(&x->s->lock);
}

void store_entry_joules(store_entry *x, double joules, const char *boundary) {
    store *s = x->s;
    pthread_mutex_lock(&s->lock);
    x->awaits = false;
    x->row.joules = joules;
    x->row.boundary = isnan(joules) ? NULL : boundary;
    if (merge_away(x)) s->status.n_pending--;
    else mark_changed(x);
    want_prompt(s);
    pthread_mutex_unlock(&s->lock);
}

/* ---- runs ---- */

/* A run is alive while its process holds the byte of its number in the lock file. The kernel lets
 * go of it however the process ends. */
static bool run_alive(const store *s, int64_t run) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = run, .l_len = 1};
    return fcntl(s->lock_fd, F_OFD_GETLK, &l) != 0 || l.l_type != F_UNLCK;
}

static bool lock_run(const store *s, int64_t run, short type) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = run, .l_len = 1};
    return fcntl(s->lock_fd, F_OFD_SETLK, &l) == 0;
}

static bool settle_dead(store *s, int64_t run, err *e) {
    return sql_run(s->db, e,
                   "UPDATE request SET finish = 'crashed' WHERE run = ? AND finish IS NULL", "i",
                   run) &&
           sql_run(s->db, e, "UPDATE run SET ended = ?, crashed = 1 WHERE id = ?", "ii",
                   store_now_ms(s) / 1000, run);
}

/* SQLite survives a process that dies, but a machine that dies may have lied about what is on its
 * disk: better known now than in a month. */
static bool check_file(store *s, err *e) {
    sqlite3_stmt *q = sql_query(s->db, e, "PRAGMA quick_check(1)", "");
    if (!q) return false;
    int rc = sqlite3_step(q);
    bool ok = rc != SQLITE_ROW || strcmp(sql_text(q, 0), "ok") == 0;
    char shown[200], found[200];
    str_printable(str_of(sql_text(q, 0)), found, sizeof found);
    if (!sql_done(q, rc == SQLITE_ROW ? SQLITE_DONE : rc, e)) return false;
    return ok || err_set(e, ERR_DAMAGED, "%s: %s; put back a copy, or move it away",
                         str_printable(str_of(s->path), shown, sizeof shown), found);
}

static bool settle_all_dead(store *s, err *e) {
    enum { MAX = 64 }; /* the rest at the next start */
    int64_t dead[MAX];
    int n = 0, rc;
    sqlite3_stmt *q = sql_query(s->db, e, "SELECT id FROM run WHERE ended IS NULL ORDER BY id", "");
    if (!q) return false;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && n < MAX)
        if (!run_alive(s, sqlite3_column_int64(q, 0))) dead[n++] = sqlite3_column_int64(q, 0);
    if (!sql_done(q, rc == SQLITE_ROW ? SQLITE_DONE : rc, e)) return false;
    if (n > 0 && !check_file(s, e)) return false;
    for (int i = 0; i < n; i++)
        if (!settle_dead(s, dead[i], e)) return false;
    return true;
}

bool ledger_begin_run(store *s, err *e) {
    if (!settle_all_dead(s, e) || !sql_run(s->db, e, "INSERT INTO run(pid, started) VALUES(?, ?)",
                                           "ii", (int64_t)getpid(), store_now_ms(s) / 1000))
        return false;
    int64_t run = sqlite3_last_insert_rowid(s->db);
    if (!lock_run(s, run, F_WRLCK))
        return err_set(e, ERR_FAILED, "%s-lock: cannot be locked", s->path);
    s->run = run;
    return true;
}

void ledger_forget_run(store *s) {
    if (s->run) lock_run(s, s->run, F_UNLCK);
    s->run = 0;
}

bool ledger_end_run(store *s, err *e) {
    bool ok = store_write_begin(s, e);
    if (!ok) return false;
    ok = sql_run(s->db, e, "UPDATE run SET ended = ? WHERE id = ?", "ii", store_now_ms(s) / 1000,
                 s->run);
    return store_write_end(s, ok, e) && ok;
}

/* ---- the writer's side ---- */

typedef struct batch {
    size_t n;
    store_entry *entry[STORE_BATCH];
    uint64_t version[STORE_BATCH];
    entry_row row[STORE_BATCH];
} batch;

static void take_batch(store *s, batch *b) {
    b->n = 0;
    pthread_mutex_lock(&s->lock);
    while (s->dirty && b->n < STORE_BATCH) {
        store_entry *x = s->dirty;
        dirty_remove(s, x);
        x->in_batch = true;
        b->entry[b->n] = x;
        b->version[b->n] = x->version;
        b->row[b->n++] = x->row;
    }
    pthread_mutex_unlock(&s->lock);
}

static void put_back(store *s, batch *b) {
    pthread_mutex_lock(&s->lock);
    for (size_t i = b->n; i-- > 0;) {
        store_entry *x = b->entry[i];
        x->in_batch = false;
        if (!x->dirty) dirty_add(s, x, true); /* else it changed meanwhile and stands there */
    }
    pthread_mutex_unlock(&s->lock);
}

static void forget_merged(store *s, store_entry *x) {
    store_entry **at = &s->merged;
    while (*at && *at != x) at = &(*at)->next_merged;
    if (*at) *at = x->next_merged;
}

static void release_batch(store *s, batch *b) {
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < b->n; i++) {
        store_entry *x = b->entry[i];
        x->in_batch = false;
        x->written = true;
        if (!b->row[i].finish || b->version[i] != x->version || x->awaits) continue;
        forget_merged(s, x);
        s->status.n_pending--;
        free(x);
    }
    s->status.n_written++;
    pthread_mutex_unlock(&s->lock);
}

#define UPSERT                                                                                     \
    "INSERT INTO request(run, seq, key, model, dialect, endpoint, user, metadata, day, "           \
    "started_ms, finished_ms, requests, prompt, tokens_in, cached, tokens_out, queue_s, "          \
    "prefill_s, decode_s, joules, boundary, finish) "                                              \
    "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "                                         \
    "ON CONFLICT(run, seq) DO UPDATE SET user = excluded.user, metadata = excluded.metadata, "     \
    "finished_ms = excluded.finished_ms, requests = excluded.requests, "                           \
    "prompt = excluded.prompt, tokens_in = excluded.tokens_in, cached = excluded.cached, "         \
    "tokens_out = excluded.tokens_out, queue_s = excluded.queue_s, "                               \
    "prefill_s = excluded.prefill_s, decode_s = excluded.decode_s, "                               \
    "joules = excluded.joules, boundary = excluded.boundary, finish = excluded.finish"

static bool write_row(store *s, const store_entry *x, const entry_row *r, err *e) {
    sqlite3_stmt *q = s->upsert;
    bool ok = sql_bind(q, "iiisssssiiiiiiiiddddss", s->run, r->seq, x->key_id, x->model, x->dialect,
                       x->endpoint, r->merged ? NULL : x->user, r->merged ? NULL : x->metadata,
                       r->day, r->started_ms, r->finished_ms, r->n_requests, r->n_prompt,
                       r->tokens_in, r->cached, r->tokens_out, r->queue_s, r->prefill_s,
                       r->decode_s, r->joules, r->boundary, r->finish) &&
              sqlite3_step(q) == SQLITE_DONE;
    if (!ok) sql_fail(s->db, e);
    sqlite3_reset(q);
    return ok;
}

static bool write_batch(store *s, const batch *b, err *e) {
    if (!s->upsert && sqlite3_prepare_v3(s->db, UPSERT, -1, SQLITE_PREPARE_PERSISTENT, &s->upsert,
                                         NULL) != SQLITE_OK)
        return sql_fail(s->db, e);
    if (!store_write_begin(s, e)) return false;
    bool began = s->run != 0, ok = began || ledger_begin_run(s, e);
    for (size_t i = 0; ok && i < b->n; i++) ok = write_row(s, b->entry[i], &b->row[i], e);
    ok = store_write_end(s, ok, e) && ok;
    if (!ok && !began) ledger_forget_run(s);
    return ok;
}

bool ledger_write(store *s, err *e) {
    batch *b = malloc(sizeof *b);
    if (!b) return err_set(e, ERR_FAILED, "out of memory");
    bool ok = true;
    /* What becomes dirty meanwhile is for the next time, so that this ends. */
    pthread_mutex_lock(&s->lock);
    int64_t n = 0;
    for (const store_entry *x = s->dirty; x; x = x->dirty_after) n++;
    pthread_mutex_unlock(&s->lock);
    for (; ok && n > 0; n -= STORE_BATCH) {
        take_batch(s, b);
        ok = write_batch(s, b, e);
        if (ok) release_batch(s, b);
        else put_back(s, b);
    }
    free(b);
    return ok;
}

void ledger_free_all(store *s) {
    for (store_entry *x = s->dirty, *next; x; x = next) {
        next = x->dirty_after;
        free(x);
    }
}
