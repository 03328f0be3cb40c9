#include "base/cpus.h"
#include "base/team.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const int sizes[] = {1, 2, 3, 5, 8, 17}; /* most of them more than this machine has CPUs */

#define EACH_SIZE(i) (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)

typedef struct {
    int n;
    int *given;   /* [n] how often each item was handed out; plain, so that TSan sees a double */
    int *members; /* [size] how often each member ran */
} sharing;

static void share(team *t, int me, void *ud) {
    sharing *s = ud;
    s->members[me]++;
    for (int i; (i = team_next(t)) < s->n;) s->given[i]++;
}

static void test_each_item_once(void **state) {
    (void)state;
    for
        EACH_SIZE(i) {
            team *t = team_new(sizes[i], NULL);
            assert_non_null(t);
            assert_int_equal(team_size(t), sizes[i]);
            int members[32] = {0};
            for (int n = 0; n < 100; n += 9) {
                int given[100] = {0};
                memset(members, 0, sizeof members);
                sharing s = {n, given, members};
                team_run(t, share, &s);
                for (int k = 0; k < 100; k++) assert_int_equal(given[k], k < n);
                for (int k = 0; k < 32; k++) assert_int_equal(members[k], k < sizes[i]);
            }
            team_free(t);
        }
}

typedef struct {
    int size, rounds;
    int stage[32]; /* plain: each member writes its own, everybody reads all after a barrier */
    atomic_int wrong;
} stages;

/* After each barrier every member sees what all the others wrote before it, and the counter starts
 * at 0 again; the second barrier keeps the writers of the next round from the readers of this
 * one. */
static void march(team *t, int me, void *ud) {
    stages *s = ud;
    for (int round = 1; round <= s->rounds; round++) {
        s->stage[me] = round;
        team_barrier(t, me);
        for (int k = 0; k < s->size; k++)
            if (s->stage[k] != round) s->wrong++;
        if (team_next(t) >= s->size) s->wrong++;
        team_barrier(t, me);
    }
}

static void test_barrier(void **state) {
    (void)state;
    for
        EACH_SIZE(i) {
            team *t = team_new(sizes[i], NULL);
            stages s = {.size = sizes[i], .rounds = 200};
            for (int run = 0; run < 3; run++) team_run(t, march, &s);
            assert_int_equal(s.wrong, 0);
            team_free(t);
        }
}

static void count(team *t, int me, void *ud) {
    (void)t, (void)me;
    atomic_fetch_add((atomic_int *)ud, 1);
}

static void test_many_short_runs(void **state) {
    (void)state;
    team *t = team_new(3, NULL);
    atomic_int n = 0;
    for (int i = 0; i < 5000; i++) team_run(t, count, &n);
    assert_int_equal(n, 15000);
    team_free(t);
}

/* Long enough apart that the helpers sleep in between, and some members late at every barrier. */
static void dawdle(team *t, int me, void *ud) {
    atomic_int *n = ud;
    for (int round = 0; round < 4; round++) {
        if (round % team_size(t) == me) usleep(2000);
        atomic_fetch_add(n, 1);
        team_barrier(t, me);
        if (atomic_load(n) < (round + 1) * team_size(t)) abort();
    }
}

static void test_sleepers_wake(void **state) {
    (void)state;
    team *t = team_new(4, NULL);
    for (int i = 0; i < 10; i++) {
        atomic_int n = 0;
        usleep(1000);
        team_run(t, dawdle, &n);
        assert_int_equal(n, 16);
    }
    usleep(2000);
    team_free(t); /* asleep while told to stop */
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void test_idle_costs_nothing(void **state) {
    (void)state;
    team *t = team_new(8, NULL);
    atomic_int n = 0;
    team_run(t, count, &n);
    double before = cpu_seconds();
    usleep(300000);
    /* CPU time, not wall time: seven helpers that spun all the while would have used 0.3 s and more
     * even on one CPU; asleep they use some microseconds. */
    assert_true(cpu_seconds() - before < 0.15);
    team_free(t);
}

static void run_inner(team *t, int me, void *ud) {
    (void)t, (void)me;
    team *inner = team_new(2, NULL);
    if (inner) team_run(inner, count, ud);
    team_free(inner);
}

static void test_teams_are_independent(void **state) {
    (void)state;
    team *t = team_new(3, NULL);
    atomic_int n = 0;
    team_run(t, run_inner, &n);
    assert_int_equal(n, 6);
    team_free(t);
    team_free(NULL);
}

static void note_signals(team *t, int me, void *ud) {
    (void)t;
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    ((int *)ud)[me] = sigismember(&now, SIGINT);
}

static void test_helpers_take_no_signals(void **state) {
    (void)state;
    int blocked[3] = {-1, -1, -1};
    team *t = team_new(3, NULL);
    team_run(t, note_signals, blocked);
    team_free(t);
    assert_int_equal(blocked[0], 0);
    assert_int_equal(blocked[1], 1);
    assert_int_equal(blocked[2], 1);
}

static void test_clamped(void **state) {
    (void)state;
    team *t = team_new(-5, NULL);
    assert_int_equal(team_size(t), 1);
    atomic_int n = 0;
    team_run(t, count, &n);
    assert_int_equal(n, 1);
    team_free(t);
    t = team_new(1000000, NULL);
    if (!t) skip_because("256 threads are not allowed here");
    assert_int_equal(team_size(t), 256);
    team_run(t, count, &n);
    assert_int_equal(n, 257);
    team_free(t);
}

/* Threads need stacks: an address space that holds only a few of them makes a late one fail. */
static int fail_to_start(void *ud) {
    (void)ud;
    struct rlimit limit = {0, 0};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 100u << 20;
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 2;
    err e = {0};
    team *t = team_new(256, &e);
    if (t) return 3;
    if (e.code == ERR_NONE || !strstr(e.msg, "256")) return 4;
    t = team_new(2, &e); /* what was started was stopped and its memory given back */
    if (!t) return 5;
    atomic_int n = 0;
    team_run(t, count, &n);
    return n == 2 ? 0 : 6;
}

static void test_start_failure(void **state) {
    (void)state;
    const char *sanitize = getenv("HEARTH_SANITIZE");
    if (sanitize && *sanitize) skip_because("sanitizers need a large address space");
    assert_int_equal(scratch_as_nobody(fail_to_start, NULL), 0);
}

static void test_default_size(void **state) {
    (void)state;
    unsetenv("HEARTH_THREADS");
    int n = team_default_size();
    assert_in_range(n, 1, 256);
    assert_true(n <= cpus_affinity());
    setenv("HEARTH_THREADS", "7", 1);
    assert_int_equal(team_default_size(), 7);
    setenv("HEARTH_THREADS", "99999", 1);
    assert_int_equal(team_default_size(), 256);
    static const char *const nonsense[] = {"", "0", "-1", "many", "1.5"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        setenv("HEARTH_THREADS", nonsense[i], 1);
        assert_int_equal(team_default_size(), n);
    }
    unsetenv("HEARTH_THREADS");
}

static void put(const char *path, const char *text) {
    scratch_write(path, text, strlen(text));
}

static double quota(const char *membership) {
    put("membership", membership);
    return cpus_quota(scratch_path("membership"), scratch_dir());
}

static void test_quota(void **state) {
    (void)state;
    static const char *const folders[] = {"v2", "v2/a", "v2/a/b", "cpu", "cpu/a", "cpu/a/b"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(scratch_path(folders[i]), 0755), 0);
    assert_true(quota("0::/v2/a/b\n") == 0); /* no files at all */
    put("v2/a/b/cpu.max", "max 100000\n");
    assert_true(quota("0::/v2/a/b\n") == 0);
    put("v2/a/cpu.max", "150000 100000\n");
    assert_true(quota("0::/v2/a/b\n") == 1.5); /* the parent's binds */
    put("v2/a/b/cpu.max", "50000 100000\n");
    assert_true(quota("0::/v2/a/b\n") == 0.5);
    assert_true(quota("0::/v2/a/not/there\n") == 1.5);
    put("v2/a/b/cpu.max", "rubbish\n");
    assert_true(quota("0::/v2/a/b") == 1.5);
    put("v2/a/cpu.max", "0 0\n");
    assert_true(quota("0::/v2/a/b") == 0);
    put("cpu.max", "300000 100000\n"); /* seen from inside a container: only the root exists */
    assert_true(quota("0::/docker/0123\n") == 3);
    unlink(scratch_path("cpu.max"));

    put("cpu/a/cpu.cfs_quota_us", "250000\n");
    put("cpu/a/cpu.cfs_period_us", "100000\n");
    put("cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("cpu/a/b/cpu.cfs_period_us", "100000\n");
    assert_true(quota("3:cpuset:/x\n2:cpu,cpuacct:/a/b\n1:name=systemd:/a\n") == 2.5);
    assert_true(quota("2:cpuacct,cpu:/a/b") == 2.5);
    assert_true(quota("2:cpuset:/a/b\n") == 0);
    static const char *const odd[] = {"", "\n", ":", "::", "0:", "0::", "no colons", "1:cpu:"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) assert_true(quota(odd[i]) == 0);
    assert_true(cpus_quota(scratch_path("absent"), scratch_dir()) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_item_once),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_many_short_runs),
        cmocka_unit_test(test_sleepers_wake),
        cmocka_unit_test(test_idle_costs_nothing),
        cmocka_unit_test(test_teams_are_independent),
        cmocka_unit_test(test_helpers_take_no_signals),
        cmocka_unit_test(test_clamped),
        cmocka_unit_test(test_start_failure),
        cmocka_unit_test(test_default_size),
        cmocka_unit_test(test_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
