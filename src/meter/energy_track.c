/* Readings to joules: see the header. */
#include "meter/energy_track.h"

#include <math.h>
#include <stddef.h>

#define STEPS_BEHIND 3 /* a counter so many steps behind the watts stands still */

void energy_track_init(energy_track *t, const energy_rules *r) {
    *t = (energy_track){.rules = *r, .last_watts = NAN};
}

static double seconds_of(uint64_t from_ns, uint64_t to_ns) {
    return (double)(to_ns - from_ns) * 1e-9;
}

static energy_gain gain_known(energy_track *t, uint64_t from_ns, uint64_t to_ns, double joules) {
    double s = seconds_of(from_ns, to_ns);
    t->joules += joules;
    t->seconds += s;
    if (s > 0) t->last_watts = joules / s;
    return (energy_gain){from_ns, to_ns, joules, NULL};
}

static energy_gain gain_lost(energy_track *t, uint64_t from_ns, uint64_t to_ns, const char *why) {
    t->lost_s += seconds_of(from_ns, to_ns);
    t->why = why;
    t->last_watts = NAN;
    return (energy_gain){from_ns, to_ns, NAN, why};
}

/* ---- counters ---- */

/* Joules from one reading to the next; a reason when they cannot be known. */
static const char *count_gain(const energy_track *t, const energy_reading *r, double *joules) {
    const energy_rules *u = &t->rules;
    uint64_t before = t->last.count, now = r->count, delta = now - before;
    double most_j = u->max_watts * seconds_of(t->last.t_ns, r->t_ns);
    *joules = 0;
    if (u->range > 0 && (now >= u->range || before >= u->range))
        return "the counter is beyond its own range";
    if (u->range > 0 && most_j >= (double)u->range * u->unit_j)
        return "so long a gap that the counter may have begun again unseen";
    if (now < before && u->range == 0) return "the counter went back";
    if (now < before) delta = u->range - before + now;
    *joules = (double)delta * u->unit_j;
    if (*joules > most_j + u->unit_j)
        return now < before ? "the counter went back" : "the counter jumped";
    return NULL;
}

static energy_gain add_count(energy_track *t, const energy_reading *r) {
    uint64_t from = t->last.t_ns;
    bool moved = r->count != t->last.count;
    double joules;
    const char *why = count_gain(t, r, &joules);
    if (t->lost) {
        t->lost = t->still = false;
        t->last = *r;
        return gain_lost(t, t->lost_ns, r->t_ns, t->lost_why);
    }
    bool soon = !moved && !t->still && t->rules.fresh_ns > 0 && r->t_ns - from < t->rules.fresh_ns;
    if (soon) return (energy_gain){from, from, 0, NULL}; /* it belongs to the next reading */
    t->last = *r;
    if (!moved && (t->still || t->rules.fresh_ns > 0)) {
        t->still = true;
        why = "the counter stands still";
    } else if (t->still) {
        t->still = false;
        why = "the counter stood still";
    }
    return why ? gain_lost(t, from, r->t_ns, why) : gain_known(t, from, r->t_ns, joules);
}

/* ---- power ---- */

/* The counter beside the watts says how far they can be believed, and whether they are alive. */
static const char *counter_check(energy_track *t, const energy_reading *r, double joules) {
    if (!r->has_count || !t->last.has_count || t->rules.unit_j <= 0) return NULL;
    t->since_step_j += joules;
    if (r->count < t->last.count) {
        t->stepped = false;
        t->since_step_j = 0;
        return "the counter went back";
    }
    if (r->count == t->last.count)
        return t->since_step_j > STEPS_BEHIND * t->rules.step_j &&
                       r->t_ns - t->stepped_ns > t->rules.fresh_ns
                   ? "the counter stands still while watts are told"
                   : NULL;
    if (t->stepped) {
        t->counter_j += (double)(r->count - t->last.count) * t->rules.unit_j;
        t->watts_j += t->since_step_j;
    }
    t->stepped = true;
    t->stepped_ns = r->t_ns;
    t->since_step_j = 0;
    return NULL;
}

double energy_track_disagreement(const energy_track *t) {
    return t->counter_j > 0 ? (t->watts_j - t->counter_j) / t->counter_j : NAN;
}

static energy_gain add_power(energy_track *t, const energy_reading *r) {
    uint64_t from = t->lost ? t->lost_ns : t->last.t_ns;
    double joules = (t->last.watts + r->watts) / 2 * seconds_of(t->last.t_ns, r->t_ns);
    const char *why = t->lost ? t->lost_why : NULL;
    t->lost = !(r->watts >= 0 && r->watts <= t->rules.max_watts);
    if (t->lost) why = t->lost_why = "the watts told make no sense";
    else if (!why && t->rules.max_gap_ns && r->t_ns - from > t->rules.max_gap_ns)
        why = "no reading for too long";
    else if (!why) why = counter_check(t, r, joules);
    t->lost_ns = r->t_ns;
    t->last = *r;
    return why ? gain_lost(t, from, r->t_ns, why) : gain_known(t, from, r->t_ns, joules);
}

/* ---- all ---- */

energy_gain energy_track_add(energy_track *t, const energy_reading *r) {
    bool usable = t->rules.by_power ? r->has_watts : r->has_count;
    if (!usable)
        return energy_track_lose(t, r->t_ns, "the source told nothing that can be counted");
    if (!t->begun) {
        t->begun = true;
        t->last = *r;
        t->stepped_ns = r->t_ns;
        if (!t->lost) return (energy_gain){r->t_ns, r->t_ns, 0, NULL};
        t->lost = false;
        return gain_lost(t, t->lost_ns, r->t_ns, t->lost_why);
    }
    if (r->t_ns <= t->last.t_ns) /* the same reading once more */
        return (energy_gain){t->last.t_ns, t->last.t_ns, 0, NULL};
    return t->rules.by_power ? add_power(t, r) : add_count(t, r);
}

energy_gain energy_track_lose(energy_track *t, uint64_t t_ns, const char *why) {
    uint64_t from = t->lost ? t->lost_ns : t->begun ? t->last.t_ns : t_ns;
    if (t_ns < from) t_ns = from;
    t->lost = true;
    t->lost_ns = t_ns;
    t->lost_why = why;
    return gain_lost(t, from, t_ns, why);
}
