/* One source's readings to joules. This is where counters wrap, stand still, jump back and vanish,
 * and the rule is everywhere the same: an interval's energy is right, or it is not known and there
 * is a reason. Nothing is filled in. Time is monotonic; a wall clock that jumps changes nothing.
 * One thread.
 *
 *     energy_track t;
 *     energy_track_init(&t, &(energy_rules){.unit_j = 1e-6, .range = max + 1, .max_watts = 1000,
 *                                           .fresh_ns = 100000000});
 *     energy_gain g = energy_track_add(&t, &(energy_reading){now, .has_count = true, .count = n});
 *     if (isnan(g.joules)) ... g.why
 */
#ifndef HEARTH_METER_ENERGY_TRACK_H
#define HEARTH_METER_ENERGY_TRACK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct energy_reading {
    uint64_t t_ns; /* monotonic, when it was so */
    bool has_count, has_watts;
    uint64_t count; /* since whenever */
    double watts;   /* at this moment */
} energy_reading;

typedef struct energy_rules {
    double unit_j;       /* joules a count; 0: the source has no counter */
    uint64_t range;      /* the counter begins again after so many counts; 0: it never does */
    double max_watts;    /* more than that is a fault of the reading */
    uint64_t fresh_ns;   /* a counter that works has moved after this; 0: it may take any time */
    bool by_power;       /* watts are added up over time; the counter only checks them */
    double step_j;       /* with by_power: what the counter moves by at least; fresh_ns is then */
                         /* the time that may pass between two of its steps, whatever flows */
    uint64_t max_gap_ns; /* with by_power: the longest time between two readings */
} energy_rules;

/* From the reading before to this one. The first reading gives begin_ns == end_ns and 0 J. */
typedef struct energy_gain {
    uint64_t begin_ns, end_ns;
    double joules;   /* NAN: not known */
    const char *why; /* static; NULL when it is known */
} energy_gain;

typedef struct energy_track {
    energy_rules rules;
    bool begun;
    bool lost;  /* there was no reading that can be counted from, since lost_ns */
    bool still; /* the counter stands still: what comes next may or may not hold that time too */
    energy_reading last;
    uint64_t lost_ns;
    const char *lost_why;
    /* sums since the beginning */
    double joules, seconds; /* of intervals that are known */
    double lost_s;          /* of those that are not */
    const char *why;        /* the last reason; NULL: nothing was lost */
    double last_watts;      /* mean of the last known interval; NAN: none */
    /* With by_power: joules by the counter between two of its steps, and by the watts since the
     * first of these steps and since the last, which was at stepped_ns. */
    bool stepped;
    double counter_j, watts_j, since_step_j;
    uint64_t stepped_ns;
} energy_track;

void energy_track_init(energy_track *t, const energy_rules *r);
energy_gain energy_track_add(energy_track *t, const energy_reading *r);
/* With by_power: how far the counter is from the watts, as a part of it; NAN: not known yet. */
double energy_track_disagreement(const energy_track *t);
/* The source gave no reading at t_ns. `why` is static. */
energy_gain energy_track_lose(energy_track *t, uint64_t t_ns, const char *why);

#endif
