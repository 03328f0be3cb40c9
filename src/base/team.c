#include "base/team.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TEAM_MAX 256
/* Long enough to bridge the gap between two steps of a forward pass, short against a time slice. */
#define SPIN_NS 30000
/* With more members than CPUs, whoever spins keeps the one that it waits for from running. */
#define SPIN_OVERSUBSCRIBED_NS 1000

typedef struct member {
    team *t;
    int me;
    pthread_t thread;
} member;

/* A word that threads wait on. Each kind of word has a cache line of its own. */
typedef struct gate {
    _Alignas(64) _Atomic uint32_t generation;
    _Atomic uint32_t sleepers; /* how many may be in the futex, so that nobody wakes in vain */
} gate;

struct team {
    gate start;                     /* generation: runs started so far */
    gate meet;                      /* generation: barriers passed so far */
    _Alignas(64) atomic_int next;   /* the work counter */
    _Alignas(64) atomic_int inside; /* members that have reached the present barrier */
    _Alignas(64) int size;
    uint64_t spin_ns;
    team_fn fn; /* fn, ud, stop: written by the caller before start.generation, read after it */
    void *ud;
    bool stop;
    member *members; /* [size]; members[0] is the caller and has no thread */
};

static void cpu_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex(_Atomic uint32_t *word, int op, uint32_t value) {
    syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Returns once the generation is no longer `old`: first spinning, then asleep. A sleeper counts
 * itself before it looks at the generation for the last time (inside the futex call), and gate_open
 * changes the generation before it looks for sleepers; both in one total order, so one of them sees
 * the other. */
static void gate_wait(gate *g, uint32_t old, uint64_t spin_ns) {
    uint64_t since = clock_now_ns();
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(&g->generation, memory_order_acquire) != old) return;
            cpu_pause();
        }
    } while (clock_now_ns() - since < spin_ns);
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->generation) == old) futex(&g->generation, FUTEX_WAIT, old);
    atomic_fetch_sub(&g->sleepers, 1);
}

static void gate_open(gate *g) {
    atomic_fetch_add(&g->generation, 1);
    if (atomic_load(&g->sleepers) > 0) futex(&g->generation, FUTEX_WAKE, INT_MAX);
}

int team_default_size(void) {
    uint64_t n;
    const char *wish = getenv("HEARTH_THREADS");
    if (wish && str_to_u64(str_of(wish), &n) && n > 0) return n > TEAM_MAX ? TEAM_MAX : (int)n;
    int usable = cpus_usable();
    return usable > TEAM_MAX ? TEAM_MAX : usable;
}

static void *helper_main(void *arg) {
    member *m = arg;
    team *t = m->t;
    for (uint32_t seen = 0;; seen++) {
        gate_wait(&t->start, seen, t->spin_ns);
        if (t->stop) return NULL;
        t->fn(t, m->me, t->ud);
        team_barrier(t, m->me);
    }
}

static void stop_helpers(team *t, int n_started) {
    t->stop = true;
    gate_open(&t->start);
    for (int i = 1; i < n_started; i++) pthread_join(t->members[i].thread, NULL);
}

static void team_release(team *t) {
    free(t->members);
    free(t);
}

team *team_new(int n_threads, err *e) {
    int size = n_threads < 1 ? 1 : n_threads > TEAM_MAX ? TEAM_MAX : n_threads;
    team *t = aligned_alloc(64, sizeof *t);
    member *members = calloc((size_t)size, sizeof *members);
    if (!t || !members) {
        free(t);
        free(members);
        err_set(e, ERR_NO_FIT, "no memory for %d threads", size);
        return NULL;
    }
    *t = (team){.size = size, .members = members};
    t->spin_ns = size > cpus_usable() ? SPIN_OVERSUBSCRIBED_NS : SPIN_NS;

    /* Signals belong to the program's own threads, never to helpers. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = 1, failed = 0;
    for (; started < size; started++) {
        members[started] = (member){.t = t, .me = started};
        failed = pthread_create(&members[started].thread, NULL, helper_main, &members[started]);
        if (failed) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        stop_helpers(t, started);
        team_release(t);
        err_set(e, ERR_FAILED, "cannot start thread %d of %d: %s", started, size,
                failed == EAGAIN ? "the system's limit on threads is reached" : "refused");
        return NULL;
    }
    return t;
}

void team_free(team *t) {
    if (!t) return;
    stop_helpers(t, t->size);
    team_release(t);
}

int team_size(const team *t) {
    return t->size;
}

void team_run(team *t, team_fn fn, void *ud) {
    t->fn = fn;
    t->ud = ud;
    if (t->size > 1) gate_open(&t->start);
    fn(t, 0, ud);
    team_barrier(t, 0); /* nobody is still in fn, and the counter is 0 for the next run */
}

void team_barrier(team *t, int me) {
    (void)me;
    uint32_t now = atomic_load_explicit(&t->meet.generation, memory_order_acquire);
    if (atomic_fetch_add_explicit(&t->inside, 1, memory_order_acq_rel) + 1 < t->size) {
        gate_wait(&t->meet, now, t->spin_ns);
        return;
    }
    /* The last one: what the others wrote before they came is visible here, and by the generation
     * to everyone afterwards. */
    atomic_store_explicit(&t->inside, 0, memory_order_relaxed);
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    if (t->size > 1) gate_open(&t->meet);
}

int team_next(team *t) {
    return atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
}
