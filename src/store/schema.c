/* The tables, and how a file of an older Hearth becomes one of this. Never change a step that has
 * been released: add one, and raise STORE_VERSION.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "store/store_private.h"

const char *const schema_steps[STORE_VERSION] = {
    /* key: the secret is kept as its hash alone. Times are unix seconds, 0 is "never".
     * run: one process that wrote to the ledger; ended NULL: alive, or dead without a word.
     * request: the ledger. seq numbers the requests of a run in the order in which they were
     * opened, so (run, seq) says each request once, and writing a row again changes nothing.
     * Times of beginning and end are wall clock in ms, the end being the beginning plus what a
     * monotonic clock says; durations are seconds by the monotonic clock. day is the local date of
     * the beginning: sums by day and budgets stay what they are when the clock or its zone change.
     * tokens_in includes cached. finish NULL: running. joules NULL: not measured. */
    "CREATE TABLE key("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " owner TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL,"
    " hash BLOB NOT NULL,"
    " old_hash BLOB,"
    " old_until INTEGER NOT NULL DEFAULT 0,"
    " created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL DEFAULT 0,"
    " revoked INTEGER NOT NULL DEFAULT 0,"
    " models TEXT NOT NULL DEFAULT '',"
    " budget_day INTEGER NOT NULL DEFAULT 0,"
    " budget_week INTEGER NOT NULL DEFAULT 0,"
    " budget_month INTEGER NOT NULL DEFAULT 0,"
    " rate_per_minute INTEGER NOT NULL DEFAULT 0,"
    " priority INTEGER NOT NULL DEFAULT 0,"
    " admin INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE UNIQUE INDEX key_name ON key(name) WHERE revoked = 0;"

    "CREATE TABLE run("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " pid INTEGER NOT NULL,"
    " started INTEGER NOT NULL,"
    " ended INTEGER,"
    " crashed INTEGER NOT NULL DEFAULT 0) STRICT;"

    "CREATE TABLE request("
    " run INTEGER NOT NULL REFERENCES run(id),"
    " seq INTEGER NOT NULL,"
    " key INTEGER NOT NULL,"
    " model TEXT NOT NULL,"
    " dialect TEXT NOT NULL,"
    " endpoint TEXT NOT NULL,"
    " user TEXT,"
    " metadata TEXT,"
    " day INTEGER NOT NULL,"
    " started_ms INTEGER NOT NULL,"
    " finished_ms INTEGER NOT NULL,"
    " requests INTEGER NOT NULL DEFAULT 1,"
    " prompt INTEGER NOT NULL,"
    " tokens_in INTEGER NOT NULL,"
    " cached INTEGER NOT NULL,"
    " tokens_out INTEGER NOT NULL,"
    " queue_s REAL NOT NULL,"
    " prefill_s REAL NOT NULL,"
    " decode_s REAL NOT NULL,"
    " finish TEXT,"
    " joules REAL,"
    " PRIMARY KEY(run, seq)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX request_day ON request(day, key);"
    "CREATE INDEX request_key ON request(key, started_ms);"
    "CREATE INDEX request_open ON request(run) WHERE finish IS NULL;",

    /* What a request's joules are of: "wall", "parts" ...; joules of different boundaries are never
     * added up. */
    "ALTER TABLE request ADD COLUMN boundary TEXT;",

    /* Responses that are kept for their owner: what was answered, and what was said until then.
     * bytes is the length of both; created is unix seconds. */
    "CREATE TABLE response("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " owner TEXT NOT NULL,"
    " id TEXT NOT NULL,"
    " created INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " body BLOB NOT NULL,"
    " talk BLOB NOT NULL,"
    " UNIQUE(owner, id)) STRICT;"
    "CREATE INDEX response_owner ON response(owner, seq, bytes);"
    "CREATE INDEX response_created ON response(created);",
};

/* A copy beside the file, made before anything is changed; one that is there already is kept. */
static bool copy_aside(store *s, int version, err *e) {
    char copy[4200], shown[200];
    snprintf(copy, sizeof copy, "%s.v%d", s->path, version);
    if (access(copy, F_OK) == 0) return true;
    if (!sql_run(s->db, e, "VACUUM INTO ?", "s", copy))
        return err_wrap(e, "cannot copy the database before it is brought up to date");
    log_msg(LOG_WARN, "the database is brought up to date; a copy of the old one is in %s",
            str_printable(str_of(copy), shown, sizeof shown));
    return true;
}

static bool run_steps(store *s, const char *const *steps, int from, int to, err *e) {
    char set[120];
    snprintf(set, sizeof set, "PRAGMA user_version = %d; PRAGMA application_id = %d", to,
             STORE_APPLICATION);
    bool ok = sql_exec(s->db, "BEGIN IMMEDIATE", e);
    for (int i = from; ok && i < to; i++) ok = sql_exec(s->db, steps[i], e);
    ok = ok && sql_exec(s->db, set, e) && sql_exec(s->db, "COMMIT", e);
    if (!ok) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

bool schema_migrate(store *s, const char *const *steps, int n_steps, err *e) {
    int64_t version, application, n_tables;
    char shown[200];
    str_printable(str_of(s->path), shown, sizeof shown);
    if (!sql_number(s->db, e, "PRAGMA user_version", 0, &version) ||
        !sql_number(s->db, e, "PRAGMA application_id", 0, &application) ||
        !sql_number(s->db, e, "SELECT count(*) FROM sqlite_master", 0, &n_tables))
        return false;
    if (application != STORE_APPLICATION && n_tables > 0)
        return err_set(e, ERR_DAMAGED, "%s: a database, but not one of Hearth's; move it away",
                       shown);
    if (version > n_steps)
        return err_set(e, ERR_FAILED,
                       "%s: written by a newer Hearth (schema %lld, this one knows %d); use that "
                       "one, or another HEARTH_HOME",
                       shown, (long long)version, n_steps);
    if (version == n_steps) return true;
    if (version > 0 && !copy_aside(s, (int)version, e)) return false;
    return run_steps(s, steps, (int)version, n_steps, e);
}
