/* The ledger and the budgets: what is counted, when it is on disk, what a full disk, a jumping
 * clock and many threads do to it. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "store/store_private.h"
#include "store/store_test.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static store_key make_key(store *s, store_key k) {
    err e = {0};
    char credential[STORE_SECRET_BYTES];
    if (!store_key_create(s, &k, credential, &e)) fail_msg("%s", e.msg);
    return k;
}

static void flush(store *s) {
    err e = {0};
    if (!store_flush(s, &e)) fail_msg("%s", e.msg);
}

static store_entry *open_entry(store *s, int64_t key_id, int n_in) {
    store_entry *x = store_entry_new(s, &(store_entry_info){.key_id = key_id, .model = "m"});
    assert_non_null(x);
    store_entry_opened(x, n_in);
    return x;
}

static void test_written_by_itself(void **state) {
    (void)state;
    store *s = test_store_open("itself.db", STORE_SERVE, NULL);
    store *reader = test_store_open("itself.db", STORE_READ, NULL);
    store_entry *x = open_entry(s, 0, 100); /* nobody flushes: the thread does it */
    for (int i = 0; i < 2000 && test_store_sums(reader).n_running < 1; i++) pause_ms(5);
    test_sums sum = test_store_sums(reader);
    assert_int_equal(sum.n_running, 1);
    assert_int_equal(sum.tokens_in, 0);
    store_entry_progress(x, 64, 0);
    store_entry_progress(x, 100, 7);
    for (int i = 0; i < 2000 && test_store_sums(reader).tokens_out < 7; i++) pause_ms(5);
    assert_int_equal(test_store_sums(reader).tokens_in, 100);
    hearth_usage u = test_usage(100, 9, HEARTH_FINISH_STOP);
    store_entry_settled(x, &u);
    for (int i = 0; i < 2000 && test_store_sums(reader).n_running > 0; i++) pause_ms(5);
    sum = test_store_sums(reader);
    assert_int_equal(sum.n_requests, 1);
    assert_int_equal(sum.n_running, 0);
    assert_int_equal(sum.tokens_out, 9);
    test_store_close(reader);
    test_store_close(s);
}

static test_sums sums_until(store *reader, int n_running) {
    for (int i = 0; i < 2000 && test_store_sums(reader).n_running > n_running; i++) pause_ms(5);
    return test_store_sums(reader);
}

static store_usage_row usage_row(store *s) {
    store_usage_row *rows, row;
    size_t n;
    err e = {0};
    if (!store_usage(s, &(store_usage_filter){.by = STORE_BY_MODEL, .key_id = -1}, &rows, &n, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(n, 1);
    row = rows[0];
    free(rows);
    return row;
}

/* Settled at once, with joules when they are known; what is of two boundaries is never added up. */
static void test_joules(void **state) {
    (void)state;
    store *s = test_store_open("joules.db", STORE_SERVE, NULL);
    hearth_usage u = test_usage(10, 5, HEARTH_FINISH_END);
    store_entry *x = open_entry(s, 0, 10), *y = open_entry(s, 0, 10), *z = open_entry(s, 0, 10);
    flush(s);
    store_entry_await_joules(x);
    store_entry_await_joules(y);
    store_entry_settled(x, &u);
    store_entry_settled(y, &u);
    assert_int_equal(sums_until(s, 1).n_running, 1);
    flush(s);
    assert_int_equal(usage_row(s).n_measured, 0);
    store_entry_joules(x, 12.5, "parts");
    store_entry_joules(y, NAN, "parts");
    store_entry_settled(z, &u);
    flush(s);
    store_usage_row row = usage_row(s);
    assert_int_equal(row.n_requests, 3);
    assert_int_equal(row.n_measured, 1);
    assert_true(row.joules == 12.5);
    assert_string_equal(row.boundary, "parts");
    x = open_entry(s, 0, 10);
    store_entry_await_joules(x);
    store_entry_settled(x, &u);
    store_entry_joules(x, 1, "wall");
    flush(s);
    assert_string_equal(usage_row(s).boundary, "mixed");
    assert_int_equal(usage_row(s).n_requests, 4);
    store_status st;
    store_status_get(s, &st);
    assert_int_equal(st.n_pending, 0);
    assert_int_equal(st.n_live, 0);
    test_store_close(s);
}

static void test_what_counts(void **state) {
    (void)state;
    test_clock c = {test_unix_ms(2026, 11, 23, 12, 0), 1000};
    store *s = test_store_open("counts.db", STORE_SERVE, &c);
    store_key k = make_key(s, (store_key){.name = "anna"});
    test_request(s, k.id, "bard", 10, 20);
    test_request(s, 0, "other", 1, 2);
    store_entry *x = open_entry(s, k.id, 1000);
    store_entry_progress(x, 300, 0); /* cancelled in the middle of the prompt */
    hearth_usage u = test_usage(1000, 0, HEARTH_FINISH_CANCELLED);
    store_entry_settled(x, &u);
    x = open_entry(s, k.id, 5000); /* cancelled in the queue */
    u = test_usage(5000, 0, HEARTH_FINISH_CANCELLED);
    store_entry_settled(x, &u);
    x = open_entry(s, k.id, 6);
    store_entry_progress(x, 6, 1);
    u = test_usage(6, 1, HEARTH_FINISH_ERROR);
    store_entry_settled(x, &u);
    store_entry_drop(store_entry_new(s, &(store_entry_info){.key_id = k.id}));
    flush(s);
    err e = {0};
    store_usage_row *rows;
    size_t n;
    store_usage_filter f = {.by = STORE_BY_KEY, .key_id = -1};
    assert_true(store_usage(s, &f, &rows, &n, &e));
    assert_int_equal(n, 2);
    assert_string_equal(rows[0].label, "anna");
    assert_int_equal(rows[0].n_requests, 4);
    assert_int_equal(rows[0].n_failed, 1);
    assert_int_equal(rows[0].tokens_in, 10 + 300 + 0 + 6);
    assert_int_equal(rows[0].tokens_out, 21);
    assert_int_equal(rows[0].tokens_cached, 5 + 300 + 0 + 3); /* never more than what came in */
    assert_int_equal(rows[0].n_measured, 0);
    assert_true(rows[0].queue_s == 1.0 && rows[0].decode_s == 4.0);
    assert_string_equal(rows[1].label, "local");
    free(rows);
    f = (store_usage_filter){.by = STORE_BY_FINISH, .key_id = k.id};
    assert_true(store_usage(s, &f, &rows, &n, &e));
    assert_int_equal(n, 3);
    assert_string_equal(rows[0].label, "cancelled");
    free(rows);
    f = (store_usage_filter){.by = STORE_BY_MODEL, .key_id = -1, .model = "other"};
    assert_true(store_usage(s, &f, &rows, &n, &e));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].tokens_in, 1);
    free(rows);
    test_store_close(s);
}

static void test_long_and_broken_fields(void **state) {
    (void)state;
    store *s = test_store_open("fields.db", STORE_SERVE, NULL);
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = 0;
    memcpy(big + 254, "\xc3\xa9", 2); /* a character on the cut */
    store_entry *x = store_entry_new(
        s, &(store_entry_info){.model = big, .dialect = big, .user = big, .metadata = big});
    store_entry_opened(x, 1);
    hearth_usage u = test_usage(1, 1, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
    flush(s);
    store_usage_row *rows;
    size_t n;
    err e = {0};
    big[127] = 0;
    assert_true(
        store_usage(s, &(store_usage_filter){.by = STORE_BY_MODEL, .key_id = -1}, &rows, &n, &e));
    assert_int_equal(n, 1);
    assert_string_equal(rows[0].label, big);
    free(rows);
    free(big);
    test_store_close(s);
}

/* ---- budgets and rates ---- */

static void test_budgets(void **state) {
    (void)state;
    test_clock c = {test_unix_ms(2026, 11, 25, 23, 0), 1}; /* a Wednesday */
    store *s = test_store_open("budget.db", STORE_SERVE, &c);
    store_key k = make_key(s, (store_key){.name = "anna", .budget = {100, 250, 0}});
    store_refusal no;
    assert_true(store_budget_check(s, k.id, 0, &no));
    assert_true(store_budget_check(s, k.id, 100, &no));
    assert_false(store_budget_check(s, k.id, 101, &no));
    assert_string_equal(no.what, "budget");
    assert_non_null(strstr(no.msg, "100"));
    assert_non_null(strstr(no.msg, "2026-11-26 00:00"));
    store_entry *x = open_entry(s, k.id, 60); /* what runs counts as it goes */
    assert_true(store_budget_check(s, k.id, 100, &no));
    store_entry_progress(x, 60, 10);
    assert_true(store_budget_check(s, k.id, 30, &no));
    assert_false(store_budget_check(s, k.id, 31, &no));
    store_entry_progress(x, 60, 40);
    assert_false(store_budget_check(s, k.id, 0, &no));
    assert_int_equal(no.used, 100);
    assert_int_equal(no.limit, 100);
    assert_int_equal(no.reset_s, test_unix_ms(2026, 11, 26, 0, 0) / 1000);
    assert_int_equal(no.retry_after_s, 3600);
    test_clock_advance(&c, 3600); /* the next day; the request goes on, and counts for its day */
    assert_true(store_budget_check(s, k.id, 100, &no));
    hearth_usage u = test_usage(60, 50, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
    assert_true(store_budget_check(s, k.id, 100, &no));
    test_request(s, k.id, "m", 50, 50);
    store_standing st;
    assert_true(store_standing_get(s, k.id, &st));
    assert_int_equal(st.used[STORE_DAY], 100);
    assert_int_equal(st.used[STORE_WEEK], 210);
    assert_int_equal(st.limit[STORE_MONTH], 0);
    assert_int_equal(st.reset_s[STORE_WEEK], test_unix_ms(2026, 11, 30, 0, 0) / 1000);
    assert_int_equal(st.reset_s[STORE_MONTH], test_unix_ms(2026, 12, 1, 0, 0) / 1000);
    test_clock_advance(&c, 86400);
    assert_true(store_budget_check(s, k.id, 40, &no)); /* the week has 40 left */
    assert_false(store_budget_check(s, k.id, 41, &no));
    assert_int_equal(no.reset_s, st.reset_s[STORE_WEEK]);
    test_store_close(s);

    s = test_store_open("budget.db", STORE_SERVE, &c); /* nothing is forgotten by a restart */
    assert_false(store_budget_check(s, k.id, 41, &no));
    assert_true(store_budget_check(s, k.id, 40, &no));
    c.unix_ms += 3 * 86400000ll; /* Monday */
    assert_true(store_budget_check(s, k.id, 100, &no));
    test_store_close(s);
}

static void test_clock_jumps(void **state) {
    (void)state;
    test_clock c = {test_unix_ms(2026, 11, 23, 12, 0), 1};
    store *s = test_store_open("jump.db", STORE_SERVE, &c);
    store_key k = make_key(s, (store_key){.name = "anna", .budget = {100, 0, 0}});
    store_refusal no;
    test_request(s, k.id, "m", 50, 50);
    assert_false(store_budget_check(s, k.id, 0, &no));
    c.unix_ms -= 366ll * 86400000; /* a year back: another day, with tokens of its own */
    assert_true(store_budget_check(s, k.id, 0, &no));
    test_request(s, k.id, "m", 50, 50);
    assert_false(store_budget_check(s, k.id, 0, &no));
    c.unix_ms += 366ll * 86400000; /* and there again: what was used is still used */
    assert_false(store_budget_check(s, k.id, 0, &no));
    c.unix_ms = test_unix_ms(2039, 1, 1, 0, 0);
    assert_true(store_budget_check(s, k.id, 0, &no));
    store_entry *x = open_entry(s, k.id, 5);
    c.unix_ms -= 1000000000; /* while it runs */
    c.mono_ns += 2000000000;
    hearth_usage u = test_usage(5, 5, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
    flush(s);
    test_sums sum = test_store_sums(s);
    assert_int_equal(sum.n_requests, 3);
    assert_int_equal(sum.tokens_in + sum.tokens_out, 210);
    sqlite3_stmt *q;
    sqlite3 *db = store_reader_open(s, NULL);
    sqlite3_prepare_v2(db,
                       "SELECT min(finished_ms - started_ms), max(finished_ms - started_ms) "
                       "FROM request",
                       -1, &q, NULL);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int64(q, 0), 0);
    assert_int_equal(sqlite3_column_int64(q, 1), 2000);
    sqlite3_finalize(q);
    store_reader_close(s, db);
    test_store_close(s);
}

static void check_window(const char *zone, int window, int64_t at_s, int32_t first, int64_t end_s) {
    setenv("TZ", zone, 1);
    tzset();
    int32_t got;
    int64_t end;
    budget_window(window, at_s, &got, &end);
    assert_int_equal(got, first);
    assert_int_equal(end, end_s);
    setenv("TZ", "UTC", 1);
    tzset();
}

static void test_windows(void **state) {
    (void)state;
    const char *berlin = "CET-1CEST,M3.5.0,M10.5.0/3"; /* a day of 23 hours, one of 25 */
    check_window(berlin, STORE_DAY, 1774695600, 20260328, 1774738800);  /* Saturday noon */
    check_window(berlin, STORE_DAY, 1774782000, 20260329, 1774821600);  /* 23 h */
    check_window(berlin, STORE_DAY, 1792926000, 20261025, 1792969200);  /* 25 h */
    check_window(berlin, STORE_WEEK, 1774782000, 20260323, 1774821600); /* Sunday ends it */
    check_window("UTC", STORE_MONTH, 1772279999, 20260201, 1772323200); /* 28 February */
    check_window("UTC", STORE_MONTH, 1798675200, 20261201, 1798761600); /* into the next year */
    check_window("UTC", STORE_WEEK, 1767225600, 20251229, 1767571200);  /* 1 January: a Thursday */
    check_window("UTC", STORE_DAY, 4102444800, 21000101, 4102531200);
}

static void test_rate(void **state) {
    (void)state;
    test_clock c = {test_unix_ms(2026, 11, 23, 12, 0), 5000000000};
    store *s = test_store_open("rate.db", STORE_SERVE, &c);
    store_key k = make_key(s, (store_key){.name = "anna", .rate_per_minute = 6});
    store_refusal no;
    for (int i = 0; i < 6; i++) assert_true(store_rate_take(s, k.id, &no));
    assert_false(store_rate_take(s, k.id, &no));
    assert_string_equal(no.what, "rate");
    assert_int_equal(no.limit, 6);
    assert_in_range(no.retry_after_s, 10, 11);
    c.unix_ms += 86400000; /* the wall clock does not matter */
    assert_false(store_rate_take(s, k.id, &no));
    c.mono_ns += 10100000000;
    assert_true(store_rate_take(s, k.id, &no));
    assert_false(store_rate_take(s, k.id, &no));
    c.mono_ns += 3600000000000;
    for (int i = 0; i < 6; i++) assert_true(store_rate_take(s, k.id, &no));
    assert_false(store_rate_take(s, k.id, &no));
    make_key(s, (store_key){.name = "bert"}); /* the table is read again: the bucket stays */
    assert_false(store_rate_take(s, k.id, &no));
    for (int i = 0; i < 1000; i++) assert_true(store_rate_take(s, STORE_LOCAL, &no));
    store_standing st;
    assert_true(store_standing_get(s, k.id, &st));
    assert_int_equal(st.rate_limit, 6);
    assert_int_equal(st.rate_left, 0);
    assert_false(store_standing_get(s, 999, &st));
    test_store_close(s);
}

static void test_budget_over_processes(void **state) {
    (void)state;
    store *a = test_store_open("both.db", STORE_SERVE, NULL);
    store_key k = make_key(a, (store_key){.name = "anna", .budget = {0, 0, 100}});
    store *b = test_store_open("both.db", STORE_SERVE, NULL);
    store_refusal no;
    test_request(a, k.id, "m", 30, 30);
    flush(a);
    for (int i = 0; i < 4000 && store_budget_check(b, k.id, 41, &no); i++) pause_ms(5);
    assert_false(store_budget_check(b, k.id, 41, &no));
    assert_true(store_budget_check(b, k.id, 40, &no));
    test_request(b, k.id, "m", 20, 20);
    assert_false(store_budget_check(b, k.id, 0, &no));
    flush(b);
    for (int i = 0; i < 4000 && store_budget_check(a, k.id, 0, &no); i++) pause_ms(5);
    assert_false(store_budget_check(a, k.id, 0, &no));
    assert_int_equal(no.used, 100);
    test_store_close(a);
    test_store_close(b);
}

/* ---- many threads ---- */

typedef struct crowd {
    store *s;
    int64_t key_id;
    const char *credential;
    atomic_int in, out;
    atomic_bool over;
} crowd;

enum { THREADS = 4, EACH = 300 };

static void *work(void *ud) {
    crowd *c = ud;
    for (int i = 0; i < EACH; i++) {
        test_request(c->s, c->key_id, i % 2 ? "a" : "b", i, i / 3);
        atomic_fetch_add(&c->in, i);
        atomic_fetch_add(&c->out, i / 3);
    }
    return NULL;
}

static void *ask(void *ud) {
    crowd *c = ud;
    store_key k;
    store_refusal no;
    while (!atomic_load(&c->over)) {
        if (!store_key_check(c->s, str_of(c->credential), &k)) return c;
        if (!store_budget_check(c->s, k.id, 1, &no)) return c;
        test_sums sum = test_store_sums(c->s);
        if (sum.n_requests > THREADS * EACH) return c;
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    char credential[STORE_SECRET_BYTES];
    err e = {0};
    store_key k = {.name = "anna", .budget = {1 << 30, 0, 0}}, other = {.name = "bert"};
    crowd c = {.s = test_store_open("threads.db", STORE_SERVE, NULL), .credential = credential};
    assert_true(store_key_create(c.s, &k, credential, &e));
    c.key_id = k.id;
    pthread_t t[THREADS + 1];
    for (int i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, work, &c);
    pthread_create(&t[THREADS], NULL, ask, &c);
    char spare[STORE_SECRET_BYTES];
    for (int i = 0; i < 5; i++) { /* while keys come and go */
        assert_true(store_key_create(c.s, &other, spare, &e));
        assert_true(store_key_revoke(c.s, "bert", &other, &e));
        snprintf(other.name, sizeof other.name, "bert");
    }
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    atomic_store(&c.over, true);
    void *failed;
    pthread_join(t[THREADS], &failed);
    assert_null(failed);
    flush(c.s);
    test_sums sum = test_store_sums(c.s);
    assert_int_equal(sum.n_requests, THREADS * EACH);
    assert_int_equal(sum.tokens_in, atomic_load(&c.in));
    assert_int_equal(sum.tokens_out, atomic_load(&c.out));
    store_standing st;
    assert_true(store_standing_get(c.s, k.id, &st));
    assert_int_equal(st.used[STORE_DAY], sum.tokens_in + sum.tokens_out);
    store_status status;
    store_status_get(c.s, &status);
    assert_int_equal(status.n_live, 0);
    assert_int_equal(status.n_pending, 0);
    test_store_close(c.s);
}

/* ---- a disk that takes nothing ---- */

static void limit_files(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit r;
    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_disk_full(void **state) {
    (void)state;
    err e = {0};
    char credential[STORE_SECRET_BYTES], spare[STORE_SECRET_BYTES];
    store *s = test_store_open("full.db", STORE_SERVE, NULL);
    store_key k = {.name = "anna", .budget = {0, 0, 1 << 30}}, other = {.name = "bert"};
    assert_true(store_key_create(s, &k, credential, &e));
    test_request(s, k.id, "m", 10, 10);
    flush(s);
    limit_files(4096);
    store_status status = {0};
    const int n = 1000;
    for (int i = 0; i < n; i++) test_request(s, k.id, "m", 10, 10);
    assert_false(store_flush(s, &e));
    assert_true(strlen(e.msg) > 0);
    store_status_get(s, &status);
    assert_true(status.failing);
    assert_int_equal(status.n_pending, n);
    assert_false(store_key_create(s, &other, spare, &e));    /* said, not swallowed */
    assert_true(store_key_check(s, str_of(credential), &k)); /* reads go on */
    assert_int_equal(test_store_sums(s).n_requests, 1);
    store_standing st;
    assert_true(store_standing_get(s, k.id, &st));
    assert_int_equal(st.used[STORE_MONTH], 20 * (n + 1)); /* counting goes on */
    limit_files(RLIM_INFINITY);
    for (int i = 0; i < 2000 && status.failing; i++) { /* it mends itself */
        pause_ms(5);
        store_status_get(s, &status);
    }
    assert_false(status.failing);
    flush(s);
    assert_int_equal(test_store_sums(s).n_requests, n + 1);
    assert_int_equal(test_store_sums(s).tokens_in, 10 * (n + 1));
    test_store_close(s);
}

/* Even the index of the log finds no place: one line that says so. */
static void test_opened_on_a_full_disk(void **state) {
    (void)state;
    test_store_close(test_store_open("fullopen.db", STORE_SERVE, NULL));
    err e = {0};
    store_options o = {.mode = STORE_SERVE, .path = scratch_path("fullopen.db")};
    limit_files(0);
    store *s = store_open(&o, &e);
    limit_files(RLIM_INFINITY);
    assert_null(s);
    assert_int_equal(e.code, ERR_NO_FIT);
    assert_non_null(strstr(e.msg, "File too large"));
    test_store_close(test_store_open("fullopen.db", STORE_SERVE, NULL));
}

static void test_memory_is_bounded(void **state) {
    (void)state;
    store *s = test_store_open("bounded.db", STORE_SERVE, NULL);
    test_request(s, 0, "m", 1, 1);
    flush(s);
    limit_files(4096);
    store_entry *x = open_entry(s, 0, 10);
    assert_false(store_flush(s, NULL));
    const int n = STORE_MAX_PENDING + 5000;
    for (int i = 0; i < n; i++) test_request(s, 0, i % 3 ? "a" : "b", 3, 1);
    store_status status;
    store_status_get(s, &status);
    assert_in_range(status.n_pending, STORE_MAX_PENDING, STORE_MAX_PENDING + 2);
    limit_files(RLIM_INFINITY);
    hearth_usage u = test_usage(10, 1, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
    flush(s);
    test_sums sum = test_store_sums(s);
    assert_int_equal(sum.n_requests, n + 2);
    assert_int_equal(sum.tokens_in, 3 * n + 11);
    assert_int_equal(sum.n_running, 0);
    store_status_get(s, &status);
    assert_int_equal(status.n_pending, 0);
    test_store_close(s);
}

static int in_utc(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_by_itself),
        cmocka_unit_test(test_joules),
        cmocka_unit_test(test_what_counts),
        cmocka_unit_test(test_long_and_broken_fields),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_budget_over_processes),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_opened_on_a_full_disk),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, in_utc, NULL);
}
