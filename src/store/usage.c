/* What was used, by whom and of what: sums over the ledger. */
#include <stdio.h>
#include <stdlib.h>

#include "store/store_private.h"

#define SUMS                                                                                       \
    "sum(requests), sum(iif(finish IS NULL, requests, 0)), "                                       \
    "sum(iif(finish IN ('error', 'crashed'), requests, 0)), sum(tokens_in), sum(cached), "         \
    "sum(tokens_out), sum(queue_s), sum(prefill_s), sum(decode_s), "                               \
    "sum(iif(joules IS NULL, 0, requests)), total(joules), min(boundary), max(boundary)"

#define WHERE                                                                                      \
    " FROM request LEFT JOIN key ON key.id = request.key WHERE (?1 = 0 OR started_ms >= ?1) AND "  \
    "(?2 = 0 OR started_ms < ?2) AND (?3 < 0 OR request.key = ?3) AND (?4 IS NULL OR model = ?4) "

static const char *const questions[] = {
    [STORE_BY_KEY] = "SELECT coalesce(key.name, 'local'), request.key, " SUMS WHERE
                     "GROUP BY request.key ORDER BY sum(tokens_in + tokens_out) DESC, 2",
    [STORE_BY_MODEL] = "SELECT model, -1, " SUMS WHERE
                       "GROUP BY model ORDER BY sum(tokens_in + tokens_out) DESC, 1",
    [STORE_BY_DAY] = "SELECT format('%04d-%02d-%02d', day / 10000, day / 100 % 100, day % 100), "
                     "-1, " SUMS WHERE "GROUP BY day ORDER BY day",
    [STORE_BY_FINISH] = "SELECT coalesce(finish, 'running'), -1, " SUMS WHERE
                        "GROUP BY finish ORDER BY sum(requests) DESC, 1",
};

static void read_row(store_usage_row *r, sqlite3_stmt *q) {
    *r = (store_usage_row){.key_id = sqlite3_column_int64(q, 1)};
    store_strcpy(r->label, sizeof r->label, sql_text(q, 0));
    r->n_requests = sqlite3_column_int64(q, 2);
    r->n_running = sqlite3_column_int64(q, 3);
    r->n_failed = sqlite3_column_int64(q, 4);
    r->tokens_in = sqlite3_column_int64(q, 5);
    r->tokens_cached = sqlite3_column_int64(q, 6);
    r->tokens_out = sqlite3_column_int64(q, 7);
    r->queue_s = sqlite3_column_double(q, 8);
    r->prefill_s = sqlite3_column_double(q, 9);
    r->decode_s = sqlite3_column_double(q, 10);
    r->n_measured = sqlite3_column_int64(q, 11);
    r->joules = sqlite3_column_double(q, 12);
    const char *least = sql_text(q, 13), *most = sql_text(q, 14);
    if (least && most)
        store_strcpy(r->boundary, sizeof r->boundary, strcmp(least, most) == 0 ? least : "mixed");
}

static bool read_rows(sqlite3_stmt *q, store_usage_row **rows, size_t *n, err *e) {
    size_t cap = 0;
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        if (*n == cap) {
            cap = cap ? 2 * cap : 16;
            store_usage_row *more = realloc(*rows, cap * sizeof *more);
            if (!more) {
                sqlite3_finalize(q);
                return err_set(e, ERR_FAILED, "out of memory");
            }
            *rows = more;
        }
        read_row(&(*rows)[(*n)++], q);
    }
    return sql_done(q, rc, e);
}

bool store_usage(store *s, const store_usage_filter *f, store_usage_row **rows, size_t *n, err *e) {
    *rows = NULL;
    *n = 0;
    sqlite3 *db = store_reader_open(s, e);
    if (!db) return s->mode == STORE_READ; /* an absent file has counted nothing */
    sqlite3_stmt *q = sql_query(db, e, questions[f->by], "iiis", f->since_s * 1000,
                                f->until_s * 1000, f->key_id, f->model);
    bool ok = q && read_rows(q, rows, n, e);
    store_reader_close(s, db);
    if (!ok) {
        free(*rows);
        *rows = NULL;
        *n = 0;
    }
    return ok;
}

void store_usage_add(store_usage_row *sum, const store_usage_row *r) {
    sum->n_requests += r->n_requests;
    sum->n_running += r->n_running;
    sum->n_failed += r->n_failed;
    sum->tokens_in += r->tokens_in;
    sum->tokens_cached += r->tokens_cached;
    sum->tokens_out += r->tokens_out;
    sum->queue_s += r->queue_s;
    sum->prefill_s += r->prefill_s;
    sum->decode_s += r->decode_s;
    sum->n_measured += r->n_measured;
    sum->joules += r->joules;
    if (!r->boundary[0]) return;
    bool same = !sum->boundary[0] || strcmp(sum->boundary, r->boundary) == 0;
    store_strcpy(sum->boundary, sizeof sum->boundary, same ? r->boundary : "mixed");
}

bool store_usage_measured(const store_usage_row *r) {
    return r->n_requests > 0 && r->n_measured == r->n_requests && strcmp(r->boundary, "mixed") != 0;
}

#define ONE_BY_ONE                                                                                 \
    "SELECT coalesce(key.name, 'local'), model, "                                                  \
    "format('%04d-%02d-%02d', day / 10000, day / 100 % 100, day % 100), started_ms, finished_ms, " \
    "requests, tokens_in, cached, tokens_out, queue_s, joules IS NOT NULL, joules" WHERE

static void read_request(store_request *r, sqlite3_stmt *q) {
    *r = (store_request){.key = sql_text(q, 0),
                         .model = sql_text(q, 1),
                         .day = sql_text(q, 2),
                         .started_ms = sqlite3_column_int64(q, 3),
                         .finished_ms = sqlite3_column_int64(q, 4),
                         .requests = sqlite3_column_int64(q, 5),
                         .tokens_in = sqlite3_column_int64(q, 6),
                         .tokens_cached = sqlite3_column_int64(q, 7),
                         .tokens_out = sqlite3_column_int64(q, 8),
                         .queue_s = sqlite3_column_double(q, 9),
                         .measured = sqlite3_column_int(q, 10) != 0,
                         .joules = sqlite3_column_double(q, 11)};
}

bool store_requests(store *s, const store_usage_filter *f,
                    bool (*each)(void *ud, const store_request *r), void *ud, err *e) {
    sqlite3 *db = store_reader_open(s, e);
    if (!db) return s->mode == STORE_READ; /* an absent file has counted nothing */
    sqlite3_stmt *q = sql_query(db, e, ONE_BY_ONE, "iiis", f->since_s * 1000, f->until_s * 1000,
                                f->key_id, f->model);
    bool ok = q != NULL;
    int rc = SQLITE_DONE;
    store_request r;
    while (ok && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        read_request(&r, q);
        if (!each(ud, &r)) {
            sqlite3_finalize(q);
            q = NULL;
            ok = false;
        }
    }
    if (q) ok = sql_done(q, rc, e) && ok;
    store_reader_close(s, db);
    return ok;
}
