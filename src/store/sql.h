/* A few words for talking to SQLite in the house's manner: errors are written where they happen,
 * and a statement's values are bound in one line. One thread a connection at a time; the caller
 * sees to it.
 *
 *     if (!sql_run(db, e, "UPDATE key SET revoked = ? WHERE id = ?", "ii", now, id)) return false;
 *     sqlite3_stmt *q = sql_query(db, e, "SELECT id FROM key WHERE name = ?", "s", name);
 *     while ((rc = sqlite3_step(q)) == SQLITE_ROW) ...
 *     if (!sql_done(q, rc, e)) ...         // finalises q
 */
#ifndef HEARTH_STORE_SQL_H
#define HEARTH_STORE_SQL_H

#include <sqlite3.h>

#include "base/err.h"
#include "base/str.h"

/* The last error of the connection in one line with the code that fits. Always false. */
bool sql_fail(sqlite3 *db, err *e);
bool sql_fail_at(sqlite3 *db, const char *path, err *e); /* for one that could not be opened */
bool sql_exec(sqlite3 *db, const char *text, err *e);    /* one or more statements without values */
/* Types: i int64_t, d double, s const char * (NULL: null), b const void * and int (a blob). */
bool sql_bind(sqlite3_stmt *q, const char *types, ...);
/* One statement that gives no rows. */
bool sql_run(sqlite3 *db, err *e, const char *text, const char *types, ...);
/* NULL with *e when it cannot be prepared. */
sqlite3_stmt *sql_query(sqlite3 *db, err *e, const char *text, const char *types, ...);
/* After the last step, whose result was rc: finalises, and says whether all rows were read. */
bool sql_done(sqlite3_stmt *q, int rc, err *e);
/* The one number of a query, or `otherwise` when it gives none. */
bool sql_number(sqlite3 *db, err *e, const char *text, int64_t otherwise, int64_t *out);
/* A text column, never NULL. */
const char *sql_text(sqlite3_stmt *q, int column);

#endif
