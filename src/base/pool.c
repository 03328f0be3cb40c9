/* The pool: two lists under one lock. */
#include "base/pool.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct job_list {
    pool_job *first, *last;
} job_list;

struct pool {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    job_list light, heavy;
    int n_threads, n_heavy, n_busy; /* n_heavy: heavy jobs that run */
    bool stop;
    pthread_t *thread; /* [n_threads] */
};

static void list_add(job_list *l, pool_job *j) {
    j->next = NULL;
    if (l->last) l->last->next = j;
    else l->first = j;
    l->last = j;
}

static pool_job *list_take(job_list *l) {
    pool_job *j = l->first;
    if (!j) return NULL;
    l->first = j->next;
    if (!l->first) l->last = NULL;
    return j;
}

/* With the lock held: what this thread may do now. */
static pool_job *next_job(pool *p, bool *heavy) {
    pool_job *j = list_take(&p->light);
    *heavy = false;
    if (j || p->n_heavy >= p->n_threads - 1) return j;
    j = list_take(&p->heavy);
    *heavy = j != NULL;
    return j;
}

static void *work(void *ud) {
    pool *p = ud;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        bool heavy;
        pool_job *j = next_job(p, &heavy);
        if (j) {
            p->n_busy++;
            p->n_heavy += heavy;
            pthread_mutex_unlock(&p->lock);
            j->run(j); /* j may be gone after this */
            pthread_mutex_lock(&p->lock);
            p->n_busy--;
            p->n_heavy -= heavy;
            if (heavy || p->stop) pthread_cond_broadcast(&p->wake);
        } else if (p->stop && p->n_busy == 0 && !p->heavy.first) {
            break;
        } else {
            pthread_cond_wait(&p->wake, &p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

pool *pool_new(int n_threads, err *e) {
    if (n_threads < 2) n_threads = 2;
    pool *p = calloc(1, sizeof *p);
    pthread_t *thread = calloc((size_t)n_threads, sizeof *thread);
    if (!p || !thread) {
        free(p);
        free(thread);
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    p->thread = thread;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < n_threads; i++)
        if (pthread_create(&p->thread[p->n_threads], NULL, work, p) == 0) p->n_threads++;
    pthread_mutex_unlock(&p->lock);
    if (p->n_threads >= 2) return p;
    pool_free(p);
    err_set(e, ERR_NO_FIT, "cannot start threads: is the limit of processes reached?");
    return NULL;
}

void pool_push(pool *p, pool_job *j) {
    pthread_mutex_lock(&p->lock);
    list_add(j->heavy ? &p->heavy : &p->light, j);
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void pool_free(pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->thread);
    free(p);
}
