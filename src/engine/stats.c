/* What the engine counts, for whoever watches it. The engine's thread keeps the figures; others see
 * a copy that is made between steps. */
#include "base/clock.h"
#include "engine/engine_private.h"

const double hearth_step_bounds[HEARTH_STEP_CLASSES - 1] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                            0.1,   0.25,   0.5,   1.0,  2.5};

void stats_step(hearth_engine *g, int32_t n_rows, double seconds) {
    int i = 0;
    while (i < HEARTH_STEP_CLASSES - 1 && seconds > hearth_step_bounds[i]) i++;
    g->stats.step_class[i]++;
    g->stats.step_s += seconds;
    g->stats.n_steps++;
    g->stats.n_rows += (uint64_t)n_rows;
}

/* ---- steps, for who meters them ---- */

static hearth_step_part part_of(const hearth_request *r) {
    double from = r->computed, rows = r->step_rows + r->n_draft;
    bool decodes = r->account.n_generated > 0 && r->n_tokens - r->computed == 1;
    hearth_step_part p = {.tag = r->pin   ? NULL
                                 : r->sum ? r->sum->call->tag
                                          : r->tag,
                          .n_context = rows * from + rows * (rows + 1) / 2};
    *(decodes ? &p.n_decode : &p.n_prefill) = r->step_rows + r->n_draft;
    return p;
}

void stats_step_began(hearth_engine *g) {
    if (!g->parts) return;
    for (int32_t i = 0; i < g->n_batch; i++) g->parts[i] = part_of(g->batch[i]);
    g->step_began_ns = clock_now_ns();
    hearth_step s = {g, g->step_began_ns, 0, g->n_batch, g->parts};
    g->hooks.step(g->hooks.ud, &s);
}

void stats_step_ended(hearth_engine *g) {
    if (!g->parts) return;
    hearth_step s = {g, g->step_began_ns, clock_now_ns(), g->n_batch, g->parts};
    g->hooks.step(g->hooks.ud, &s);
}

void stats_publish(hearth_engine *g) {
    kv_stats k;
    kv_stats_get(g->kv, &k);
    g->shown = g->stats;
    g->shown.n_running = g->n_active;
    g->shown.n_waiting = atomic_load(&g->n_queued) + g->n_waiting;
    g->shown.kv_bytes = k.budget_bytes;
    g->shown.kv_used_bytes = k.used_bytes - k.idle_bytes;
    g->shown.kv_kept_bytes = k.idle_bytes;
    g->shown.kv_pages = k.n_pages;
    g->shown.kv_pages_used = k.n_pages_used - k.n_pages_idle;
    g->shown.kv_pages_kept = k.n_pages_idle;
    g->shown.n_evicted = k.n_evicted;
}

void hearth_engine_stats(const hearth_engine *g, hearth_stats *out) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&g->lock; /* locking is no change that is seen */
    pthread_mutex_lock(lock);
    *out = g->shown;
    pthread_mutex_unlock(lock);
}
