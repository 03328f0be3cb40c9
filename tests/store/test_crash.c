/* What a process leaves behind that dies in the middle, and files that are not what they should be.
 * A child counts what it tells the ledger in shared memory, and is killed at some moment.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "store/store_private.h"
#include "store/store_test.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

enum { LIVE = 8, TOLD = 1 << 16 };

/* The engine's counters as they were at each moment: what the file may say is bounded by what had
 * been told a checkpoint before the end, and by what was told at all. */
typedef struct counters {
    atomic_ullong opened, settled, in, out; /* of settled and running requests together */
    atomic_ullong n_told;
    struct told {
        uint64_t at_ms, opened, in, out;
    } told[TOLD];
} counters;

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void tell(counters *c) {
    uint64_t n = atomic_load(&c->n_told) % TOLD;
    c->told[n] = (struct told){now_ms(), atomic_load(&c->opened), atomic_load(&c->in),
                               atomic_load(&c->out)};
    atomic_fetch_add(&c->n_told, 1);
}

static store_entry *begin(store *s, counters *c) {
    store_entry *x = store_entry_new(s, &(store_entry_info){.model = "m", .dialect = "openai"});
    atomic_fetch_add(&c->opened, 1);
    store_entry_opened(x, 10);
    return x;
}

static void serve_until_killed(const char *path, counters *c, uint64_t seed) {
    store *s = store_open(&(store_options){.mode = STORE_SERVE, .path = path}, NULL);
    if (!s) _exit(3);
    store_entry *live[LIVE];
    int out[LIVE] = {0};
    for (int i = 0; i < LIVE; i++) live[i] = begin(s, c);
    for (uint64_t step = 0;; step++) {
        uint64_t dice = rng_u64(seed, 1, step);
        int i = (int)(dice % LIVE);
        if (out[i] == 0) atomic_fetch_add(&c->in, 10);
        atomic_fetch_add(&c->out, 1);
        store_entry_progress(live[i], 10, ++out[i]);
        if (dice >> 60 == 0) {
            hearth_usage u = {.n_prompt = 10, .n_generated = out[i], .finish = HEARTH_FINISH_END};
            store_entry_settled(live[i], &u);
            atomic_fetch_add(&c->settled, 1);
            live[i] = begin(s, c);
            out[i] = 0;
        }
        tell(c);
        pause_ms((long)(dice >> 32 & 3));
    }
}

static int64_t one_number(const char *path, const char *text) {
    sqlite3 *db;
    int64_t n = -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_true(sql_number(db, NULL, text, -1, &n));
    sqlite3_close(db);
    return n;
}

/* What had been told STORE_CHECKPOINT_MS before the end, and as much again for a slow disk. */
static struct told told_before(const counters *c, uint64_t end_ms) {
    struct told last = {0};
    uint64_t n = atomic_load(&c->n_told);
    for (uint64_t i = 0; i < n && i < TOLD; i++)
        if (c->told[i].at_ms + 2 * STORE_CHECKPOINT_MS <= end_ms) last = c->told[i];
    return last;
}

static void test_kill(void **state) {
    (void)state;
    const char *size = getenv("HEARTH_TEST_SIZE");
    int rounds = size && strcmp(size, "nightly") == 0 ? 50 : 10;
    char path[256];
    snprintf(path, sizeof path, "%s", scratch_path("kill.db"));
    counters *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(c != MAP_FAILED);
    uint64_t opened = 0, in = 0, out = 0, least_in = 0, least_out = 0, least_opened = 0;
    for (int round = 0; round < rounds; round++) {
        memset(c, 0, sizeof *c);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) serve_until_killed(path, c, (uint64_t)round);
        /* Some die at once, some within the first checkpoints, some after them. */
        pause_ms(round % 5 == 4 ? 2500 : (long)(rng_u64(7, 7, (uint64_t)round) % 400));
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        struct told least = told_before(c, now_ms());
        least_opened += least.opened;
        least_in += least.in;
        least_out += least.out;
        opened += atomic_load(&c->opened);
        in += atomic_load(&c->in);
        out += atomic_load(&c->out);

        store *s = test_store_open("kill.db", STORE_SERVE, NULL);
        test_sums sum = test_store_sums(s);
        assert_int_equal(sum.n_running, 0);
        assert_in_range(sum.n_requests, least_opened, opened);
        assert_in_range(sum.tokens_in, least_in, in);
        assert_in_range(sum.tokens_out, least_out, out);
        assert_true(sum.n_failed <= LIVE * (round + 1));
        test_store_close(s);
        sqlite3 *db;
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(one_number(path, "SELECT count(*) FROM run WHERE ended IS NULL"), 0);
    }
    assert_true(least_out > 0);
    assert_int_equal(one_number(path, "SELECT count(*) FROM (SELECT * FROM pragma_integrity_check "
                                      "WHERE integrity_check <> 'ok')"),
                     0);
    munmap(c, sizeof *c);
}

/* A second server must not take the first one's requests for a dead one's. */
static void test_the_living_are_left_alone(void **state) {
    (void)state;
    store *a = test_store_open("alive.db", STORE_SERVE, NULL);
    store_entry *x = store_entry_new(a, &(store_entry_info){.model = "m"});
    store_entry_opened(x, 10);
    store_entry_progress(x, 10, 3);
    assert_true(store_flush(a, NULL));
    store *b = test_store_open("alive.db", STORE_SERVE, NULL);
    assert_int_equal(test_store_sums(b).n_running, 1);
    hearth_usage u = test_usage(10, 4, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
    test_request(b, 0, "m", 1, 1);
    test_store_close(a);
    test_store_close(b);
    store *c = test_store_open("alive.db", STORE_READ, NULL);
    test_sums sum = test_store_sums(c);
    assert_int_equal(sum.n_requests, 2);
    assert_int_equal(sum.n_failed, 0);
    assert_int_equal(sum.tokens_out, 5);
    test_store_close(c);
}

/* ---- files that are not what they should be ---- */

static err refused(const char *name, store_mode mode) {
    err e = {0};
    store *s = store_open(&(store_options){.mode = mode, .path = scratch_path(name)}, &e);
    assert_null(s);
    assert_non_null(strstr(e.msg, name));
    return e;
}

static void run_sql(const char *name, const char *text) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(scratch_path(name), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_strange_files(void **state) {
    (void)state;
    static char junk[8192];
    memset(junk, 'j', sizeof junk);
    scratch_write("junk.db", junk, sizeof junk);
    assert_int_equal(refused("junk.db", STORE_SERVE).code, ERR_DAMAGED);
    assert_int_equal(refused("junk.db", STORE_READ).code, ERR_DAMAGED);
    run_sql("other.db", "CREATE TABLE song(title TEXT)");
    assert_int_equal(refused("other.db", STORE_EDIT).code, ERR_DAMAGED);
    test_store_close(test_store_open("newer.db", STORE_EDIT, NULL));
    run_sql("newer.db", "PRAGMA user_version = 99");
    assert_non_null(strstr(refused("newer.db", STORE_SERVE).msg, "newer"));
    assert_non_null(strstr(refused("newer.db", STORE_READ).msg, "newer"));
    mkdir(scratch_path("folder.db"), 0700);
    refused("folder.db", STORE_SERVE);

    store *s = test_store_open("absent/deep/down.db", STORE_READ, NULL); /* nothing, not an error */
    assert_int_equal(test_store_sums(s).n_requests, 0);
    err e = {0};
    store_key k;
    char credential[STORE_SECRET_BYTES];
    assert_false(store_key_find(s, "anna", &k, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_false(store_key_create(s, &k, credential, &e));
    test_store_close(s);
    assert_int_not_equal(access(scratch_path("absent"), F_OK), 0);
    test_store_close(test_store_open("absent/deep/down.db", STORE_EDIT, NULL)); /* made, private */
    struct stat st;
    assert_int_equal(stat(scratch_path("absent"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    chmod(scratch_path("absent/deep/down.db"), 0644);
    test_store_close(test_store_open("absent/deep/down.db", STORE_EDIT, NULL));
    assert_int_equal(stat(scratch_path("absent/deep/down.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- an older file ---- */

static void test_migration(void **state) {
    (void)state;
    store *s = test_store_open("old.db", STORE_SERVE, NULL);
    test_request(s, 0, "m", 10, 5);
    test_store_close(s);
    const char *steps[STORE_VERSION + 2];
    memcpy(steps, schema_steps, sizeof schema_steps);
    steps[STORE_VERSION] = "ALTER TABLE request ADD COLUMN watts REAL;"
                           "UPDATE request SET watts = tokens_in";
    steps[STORE_VERSION + 1] = "UPDATE request SET watts = watts + 1; SELECT nonsense;";
    char copy[256];
    snprintf(copy, sizeof copy, "%s.v%d", scratch_path("old.db"), STORE_VERSION);
    err e = {0};
    s = test_store_open("old.db", STORE_EDIT, NULL);
    assert_false(schema_migrate(s, steps, STORE_VERSION + 2, &e)); /* all of it or nothing */
    test_store_close(s);
    assert_int_equal(one_number(scratch_path("old.db"), "PRAGMA user_version"), STORE_VERSION);
    assert_int_equal(one_number(copy, "SELECT tokens_out FROM request"), 5);
    s = test_store_open("old.db", STORE_EDIT, NULL);
    assert_true(schema_migrate(s, steps, STORE_VERSION + 1, &e));
    test_store_close(s);
    assert_int_equal(one_number(scratch_path("old.db"), "SELECT watts FROM request"), 10);
    assert_int_equal(one_number(copy, "PRAGMA user_version"), STORE_VERSION);
}

/* ---- a file system that is really full ---- */

static void fill(const char *folder) {
    char path[256];
    static char block[4096];
    snprintf(path, sizeof path, "%s/filler", folder);
    FILE *f = fopen(path, "w");
    setvbuf(f, NULL, _IONBF, 0);
    for (size_t n = sizeof block; n > 0;) /* to the last byte */
        if (fwrite(block, 1, n, f) != n) n /= 2;
    fclose(f);
}

static void test_full_file_system(void **state) {
    (void)state;
    char folder[128], name[160];
    snprintf(folder, sizeof folder, "%s", scratch_path("small"));
    mkdir(folder, 0700);
    /* In a mount namespace of this process, so that it goes away by itself. */
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=16m") != 0)
        skip_because("1 test of a full disk: no tmpfs can be mounted here (%s)", strerror(errno));
    snprintf(name, sizeof name, "%s/filler", folder);
    store *s = test_store_open("small/hearth.db", STORE_SERVE, NULL);
    test_request(s, 0, "m", 10, 10);
    assert_true(store_flush(s, NULL));
    fill(folder);
    err e = {0};
    for (int i = 0; i < 2000; i++) test_request(s, 0, "m", 10, 10);
    assert_false(store_flush(s, &e));
    assert_int_equal(e.code, ERR_NO_FIT);
    assert_true(test_store_sums(s).n_requests < 2001);
    assert_int_equal(unlink(name), 0);
    store_status status = {.failing = true};
    for (int i = 0; i < 2000 && status.failing; i++) {
        pause_ms(5);
        store_status_get(s, &status);
    }
    assert_true(store_flush(s, &e));
    assert_int_equal(test_store_sums(s).n_requests, 2001);
    assert_int_equal(test_store_sums(s).tokens_out, 20010);

    store_entry *x = store_entry_new(s, &(store_entry_info){.model = "m"});
    store_entry_opened(x, 10);
    assert_true(store_flush(s, NULL));
    fill(folder); /* and the end of the process on a full disk: it says what is not written */
    hearth_usage u = test_usage(10, 10, HEARTH_FINISH_END);
    store_entry_settled(x, &u);
    for (int i = 0; i < 3000; i++) test_request(s, 0, "m", 10, 10);
    assert_false(store_close(s, &e));
    assert_int_equal(e.code, ERR_NO_FIT);
    unlink(name);
    s = test_store_open("small/hearth.db", STORE_SERVE, NULL);
    assert_int_equal(test_store_sums(s).n_running, 0);
    test_store_close(s);
    umount(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_the_living_are_left_alone),
        cmocka_unit_test(test_strange_files),
        cmocka_unit_test(test_migration),
        cmocka_unit_test(test_full_file_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
