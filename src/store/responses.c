/* Responses that their owners may come back to, after a restart too: see kept.h in api for what is
 * kept in memory in front of this. */
#include <stdlib.h>

#include "store/store_private.h"

/* The newest of an owner stay: so many, and so many bytes. */
static const char trim_owner[] =
    "DELETE FROM response WHERE seq IN (SELECT seq FROM (SELECT seq, row_number() OVER newest AS n,"
    " sum(bytes) OVER newest AS b FROM response WHERE owner = ?1 WINDOW newest AS (ORDER BY seq "
    "DESC)) WHERE n > ?2 OR b > ?3)";

/* The beginning of what is young enough; 0: everything is. */
static int64_t oldest_s(const store *s, int64_t age_s) {
    return age_s < 0 ? 0 : store_now_ms(s) / 1000 - age_s;
}

/* db_lock and the write lock are held. */
static bool trim_old(store *s, int64_t age_s, err *e) {
    return age_s < 0 ||
           sql_run(s->db, e, "DELETE FROM response WHERE created <= ?", "i", oldest_s(s, age_s));
}

static bool put(store *s, const char *owner, const char *id, str body, str talk, int64_t age_s,
                err *e) {
    int64_t bytes = (int64_t)(body.n + talk.n);
    return sql_run(s->db, e,
                   "INSERT OR REPLACE INTO response(owner, id, created, bytes, body, talk) "
                   "VALUES(?, ?, ?, ?, ?, ?)",
                   "ssiibb", owner, id, store_now_ms(s) / 1000, bytes, (const void *)body.p,
                   (int)body.n, (const void *)talk.p, (int)talk.n) &&
           sql_run(s->db, e, trim_owner, "sii", owner, (int64_t)STORE_RESPONSES,
                   (int64_t)STORE_RESPONSE_BYTES) &&
           trim_old(s, age_s, e);
}

bool store_response_put(store *s, const char *owner, const char *id, str body, str talk,
                        int64_t age_s, err *e) {
    if (body.n + talk.n > STORE_RESPONSE_BYTES)
        return err_set(e, ERR_NO_FIT, "a response of %zu bytes is too large to be kept",
                       body.n + talk.n);
    pthread_mutex_lock(&s->db_lock);
    bool ok = store_write_begin(s, e);
    if (ok) {
        ok = put(s, owner, id, body, talk, age_s, e);
        ok = store_write_end(s, ok, e) && ok;
    }
    pthread_mutex_unlock(&s->db_lock);
    return ok;
}

/* A column as a text of its own; NULL: out of memory. */
static char *column_copy(sqlite3_stmt *q, int column, size_t *n) {
    const char *p = sqlite3_column_blob(q, column);
    *n = (size_t)sqlite3_column_bytes(q, column);
    return p ? strndup(p, *n) : strdup("");
}

bool store_response_get(store *s, const char *owner, const char *id, int64_t age_s,
                        store_response *out, err *e) {
    *out = (store_response){0};
    sqlite3 *db = store_reader_open(s, e);
    if (!db) return false;
    sqlite3_stmt *q = sql_query(
        db, e, "SELECT body, talk FROM response WHERE owner = ? AND id = ? AND created > ?", "ssi",
        owner, id, age_s < 0 ? INT64_MIN : oldest_s(s, age_s));
    int rc = q ? sqlite3_step(q) : SQLITE_ERROR;
    bool found = rc == SQLITE_ROW;
    if (found) {
        out->body = column_copy(q, 0, &out->n_body);
        out->talk = column_copy(q, 1, &out->n_talk);
    }
    bool ok = q && sql_done(q, found ? SQLITE_DONE : rc, e);
    store_reader_close(s, db);
    if (ok && !found) return err_set(e, ERR_NOT_FOUND, "there is no such response");
    if (ok && out->body && out->talk) return true;
    free(out->body);
    free(out->talk);
    *out = (store_response){0};
    return ok ? err_set(e, ERR_NO_FIT, "out of memory") : false;
}

bool store_response_drop(store *s, const char *owner, const char *id, err *e) {
    pthread_mutex_lock(&s->db_lock);
    bool ok = store_write_begin(s, e), there = false;
    if (ok) {
        ok = sql_run(s->db, e, "DELETE FROM response WHERE owner = ? AND id = ?", "ss", owner, id);
        there = ok && sqlite3_changes(s->db) > 0;
        ok = store_write_end(s, ok, e) && ok;
    }
    pthread_mutex_unlock(&s->db_lock);
    if (ok && !there) return err_set(e, ERR_NOT_FOUND, "there is no such response");
    return ok;
}

bool responses_trim(store *s, int64_t age_s, err *e) {
    bool ok = store_write_begin(s, e);
    if (!ok) return false;
    ok = trim_old(s, age_s, e);
    return store_write_end(s, ok, e) && ok;
}

bool store_responses_trim(store *s, int64_t age_s, err *e) {
    if (age_s < 0) return true;
    pthread_mutex_lock(&s->db_lock);
    bool ok = responses_trim(s, age_s, e);
    pthread_mutex_unlock(&s->db_lock);
    return ok;
}

void store_responses_keep(store *s, int64_t age_s) {
    pthread_mutex_lock(&s->lock);
    s->responses_age_s = age_s;
    s->trim = age_s >= 0;
    pthread_mutex_unlock(&s->lock);
}
