#include "store/sql.h"

#include <errno.h>
#include <stdarg.h>

static err_code code_of(int rc, int system) {
    if (system == ENOSPC || system == EDQUOT || system == EFBIG) return ERR_NO_FIT;
    switch (rc & 0xff) {
    case SQLITE_FULL: return ERR_NO_FIT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ERR_DAMAGED;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY: return ERR_DENIED;
    default: return ERR_FAILED;
    }
}

bool sql_fail(sqlite3 *db, err *e) {
    return sql_fail_at(db, db ? sqlite3_db_filename(db, "main") : "database", e);
}

bool sql_fail_at(sqlite3 *db, const char *path, err *e) {
    int rc = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM, kind = rc & 0xff;
    /* Only after these does the system's errno belong to this error. */
    int system = kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN ? sqlite3_system_errno(db) : 0;
    err_code code = code_of(rc, system);
    char shown[200], reason[128];
    const char *more = code == ERR_DAMAGED ? "put back a copy, or move it away"
                       : system            ? strerror_r(system, reason, sizeof reason)
                                           : "";
    return err_set(e, code, "%s: %s%s%s", str_printable(str_of(path), shown, sizeof shown),
                   db ? sqlite3_errmsg(db) : "out of memory", *more ? ": " : "", more);
}

bool sql_exec(sqlite3 *db, const char *text, err *e) {
    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK || sql_fail(db, e);
}

static bool bind_all(sqlite3_stmt *q, const char *types, va_list ap) {
    int rc = SQLITE_OK;
    for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
        if (*types == 'i') {
            rc = sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
        } else if (*types == 'd') {
            rc = sqlite3_bind_double(q, i, va_arg(ap, double));
        } else if (*types == 's') {
            rc = sqlite3_bind_text(q, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        } else {
            const void *p = va_arg(ap, const void *);
            rc = sqlite3_bind_blob(q, i, p, va_arg(ap, int), SQLITE_TRANSIENT);
        }
    }
    return rc == SQLITE_OK;
}

bool sql_bind(sqlite3_stmt *q, const char *types, ...) {
    va_list ap;
    va_start(ap, types);
    bool ok = bind_all(q, types, ap);
    va_end(ap);
    return ok;
}

static sqlite3_stmt *prepare(sqlite3 *db, err *e, const char *text, const char *types, va_list ap) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &q, NULL) == SQLITE_OK && bind_all(q, types, ap)) return q;
    sql_fail(db, e);
    sqlite3_finalize(q);
    return NULL;
}

sqlite3_stmt *sql_query(sqlite3 *db, err *e, const char *text, const char *types, ...) {
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *q = prepare(db, e, text, types, ap);
    va_end(ap);
    return q;
}

bool sql_done(sqlite3_stmt *q, int rc, err *e) {
    bool ok = rc == SQLITE_DONE || sql_fail(sqlite3_db_handle(q), e);
    sqlite3_finalize(q);
    return ok;
}

bool sql_run(sqlite3 *db, err *e, const char *text, const char *types, ...) {
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *q = prepare(db, e, text, types, ap);
    va_end(ap);
    return q && sql_done(q, sqlite3_step(q), e);
}

bool sql_number(sqlite3 *db, err *e, const char *text, int64_t otherwise, int64_t *out) {
    sqlite3_stmt *q = sql_query(db, e, text, "");
    if (!q) return false;
    int rc = sqlite3_step(q);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : otherwise;
    return sql_done(q, rc == SQLITE_ROW ? SQLITE_DONE : rc, e);
}

const char *sql_text(sqlite3_stmt *q, int column) {
    const char *s = (const char *)sqlite3_column_text(q, column);
    return s ? s : "";
}
