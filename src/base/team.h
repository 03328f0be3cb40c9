/* A team of threads that computes one thing together: the caller and n-1 helpers run the same
 * function; inside it they share work by a counter and meet at barriers. Waiting is a spin of some
 * tens of microseconds, then a futex, so an idle team costs nothing and an oversubscribed one still
 * moves. The caller of team_run is member 0. One team_run at a time per team.
 *
 *     static void work(team *t, int me, void *ud) {
 *         for (int i; (i = team_next(t)) < n;) panel(ud, i);   // each i given to one member
 *         team_barrier(t, me);                                  // also resets the counter
 *         ...
 *     }
 *     team *t = team_new(team_default_size()); team_run(t, work, ud); team_free(t);
 */
#ifndef HEARTH_BASE_TEAM_H
#define HEARTH_BASE_TEAM_H

#include "base/err.h"

typedef struct team team;
typedef void (*team_fn)(team *t, int me, void *ud);

/* Threads that this process may really use: the smaller of CPU affinity, cgroup quota (rounded up)
 * and cores present; at least 1. HEARTH_THREADS overrides. */
int team_default_size(void);
team *team_new(int n_threads, err *e); /* n_threads 1..256, clamped to that range */
void team_free(team *t);
int team_size(const team *t);
void team_run(team *t, team_fn fn, void *ud);
/* Every member must call it; on return the work counter is 0 for everybody. */
void team_barrier(team *t, int me);
/* The next work item since the last barrier (or start): 0, 1, 2, ... */
int team_next(team *t);

#endif
