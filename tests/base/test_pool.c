/* The pool: every job runs once, heavy ones leave a thread free, the end waits for all. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/pool.h"
#include "support/cmocka_all.h"

static _Atomic int n_run;

static void count(pool_job *j) {
    (void)j;
    atomic_fetch_add(&n_run, 1);
}

static void all_run(void **state) {
    (void)state;
    enum { N = 1000 };
    err e = {0};
    pool *p = pool_new(4, &e);
    pool_job *jobs = calloc(N, sizeof *jobs);
    atomic_store(&n_run, 0);
    for (int i = 0; i < N; i++) {
        jobs[i] = (pool_job){.run = count, .heavy = i % 3 == 0};
        pool_push(p, &jobs[i]);
    }
    pool_free(p);
    assert_int_equal(atomic_load(&n_run), N);
    free(jobs);
}

typedef struct chain {
    pool *p;
    pool_job job;
    int left;
} chain;

static void again(pool_job *j) {
    chain *c = j->ud;
    atomic_fetch_add(&n_run, 1);
    if (--c->left > 0) pool_push(c->p, j);
}

static void jobs_push_jobs(void **state) {
    (void)state;
    err e = {0};
    pool *p = pool_new(2, &e);
    chain c[8];
    atomic_store(&n_run, 0);
    for (int i = 0; i < 8; i++) {
        c[i] = (chain){.p = p, .left = 100};
        c[i].job = (pool_job){.run = again, .ud = &c[i], .heavy = i % 2};
        pool_push(p, &c[i].job);
    }
    pool_free(p);
    assert_int_equal(atomic_load(&n_run), 800);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t passed = PTHREAD_COND_INITIALIZER;
static bool light_ran, heavy_began;

static void wait_for_light(pool_job *j) {
    (void)j;
    pthread_mutex_lock(&gate);
    heavy_began = true;
    pthread_cond_broadcast(&passed);
    while (!light_ran) pthread_cond_wait(&passed, &gate);
    pthread_mutex_unlock(&gate);
}

static void light(pool_job *j) {
    (void)j;
    pthread_mutex_lock(&gate);
    light_ran = true;
    pthread_cond_broadcast(&passed);
    pthread_mutex_unlock(&gate);
}

/* Three heavy jobs that wait for a light one on three threads: without a free one nothing would
 * ever end. */
static void a_thread_stays_free(void **state) {
    (void)state;
    err e = {0};
    pool *p = pool_new(3, &e);
    pool_job heavy[3], quick = {.run = light};
    for (int i = 0; i < 3; i++) {
        heavy[i] = (pool_job){.run = wait_for_light, .heavy = true};
        pool_push(p, &heavy[i]);
    }
    pthread_mutex_lock(&gate);
    while (!heavy_began) pthread_cond_wait(&passed, &gate);
    pthread_mutex_unlock(&gate);
    pool_push(p, &quick);
    pool_free(p);
    assert_true(light_ran);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_run),
        cmocka_unit_test(jobs_push_jobs),
        cmocka_unit_test(a_thread_stays_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
