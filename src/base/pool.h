/* Worker threads for jobs that come and go: first in, first out, each run by one of n threads.
 *
 * Some jobs are long (parsing 20 MB of JSON) and some must be quick (passing on a token). Heavy
 * jobs never take the last free thread, so that the others find one. A job belongs to its owner
 * and is on at most one pool's list at a time; when its function begins, it may be pushed again.
 *
 *     pool *p = pool_new(4, &e);
 *     static void work(pool_job *j) { thing *t = (thing *)j->ud; ... }
 *     t->job = (pool_job){.run = work, .ud = t};
 *     pool_push(p, &t->job);  ...  pool_free(p);
 */
#ifndef HEARTH_BASE_POOL_H
#define HEARTH_BASE_POOL_H

#include "base/err.h"

typedef struct pool pool;
typedef struct pool_job pool_job;
struct pool_job {
    pool_job *next; /* the pool's, while listed */
    void (*run)(pool_job *j);
    void *ud;
    bool heavy;
};

pool *pool_new(int n_threads, err *e); /* 2 or more, so that one is free of heavy jobs */
void pool_push(pool *p, pool_job *j);  /* any thread, also inside a job */
/* Runs what is listed, jobs that those push included, then ends the threads. */
void pool_free(pool *p);

#endif
