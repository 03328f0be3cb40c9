/* Whose energy it was. The meter tells windows (so many joules from then to then), the engines tell
 * steps (these requests, with so many rows); here the first is divided by the second.
 *
 * The rules, which tests hold with random schedules:
 *   - what all requests got, and what was idle, is what the meter said, to rounding;
 *   - the order of requests changes nothing; a request alone gets everything while it runs;
 *   - cutting a window in two changes nothing.
 *
 * A window's energy is split first by time: what passed while no engine computed is idle, at the
 * power that idle windows have (their median), or in proportion where none was seen yet. What is
 * left has two shares: the idle power of the busy time, equally among those present in each step;
 * and all above it, by what each one's rows cost, as learned (energy_fit.h): a/n for the pass over
 * the weights, which n requests share, and b, c and d for their own rows. So a request knows two
 * figures: `joules`, its share of everything, and `marginal_j`, without the idle power.
 *
 * A window is divided once every step that began in it has ended. Until then, and until the window
 * of a request's last step is known, its energy is not known yet. What the meter could not measure
 * makes the requests that ran meanwhile not measured.
 *
 * attribute_step and attribute_end are for the engines' threads and return at once; attribute_meter
 * and attribute_work for the meter's, where `done` is called.
 *
 *     attribute *a = attribute_new(done, wake, ud);
 *     hooks.step: attribute_step(a, s);  hooks.settled: attribute_end(a, tag);
 *     meter's window: if (w) attribute_meter(a, w); attribute_work(a);
 */
#ifndef HEARTH_METER_ATTRIBUTE_H
#define HEARTH_METER_ATTRIBUTE_H

#include "hearth.h"
#include "meter/energy.h"

typedef struct attribute attribute;

typedef struct attribute_result {
    double joules;        /* NAN: not measured */
    double marginal_j;    /* above idle; NAN: not measured, or no idle time was seen yet */
    double solo_j;        /* what the same rows would have cost alone; NAN: not known */
    double share;         /* of all energy from its first step to its last; NAN */
    double uncertainty_j; /* two standard deviations; NAN */
    char why[100];        /* when it is not measured */
} attribute_result;

/* done: each request that ended, once, from inside attribute_work. wake: any thread; attribute_work
 * would have something to do, with `reading` after a reading of the meter. */
attribute *attribute_new(void (*done)(void *ud, void *tag, const attribute_result *r),
                         void (*wake)(void *ud, bool reading), void *ud);
void attribute_free(attribute *a); /* NULL is fine; `done` is not called any more */

void attribute_step(attribute *a, const hearth_step *s); /* as the engine's hook */
/* The request has been settled: no step of it follows. False: memory; done will not come. */
bool attribute_end(attribute *a, void *tag);
void attribute_meter(attribute *a, const meter_window *w);
void attribute_work(attribute *a);
/* No more windows come: everything that waits is done, as not measured, and so is all that ends
 * later, at once. */
void attribute_close(attribute *a);
/* Seconds in which some engine computed. */
double attribute_busy(attribute *a, uint64_t begin_ns, uint64_t end_ns);

typedef struct attribute_totals {
    double metered_j; /* of all windows that were divided: the sum of the next three */
    double requests_j;
    double own_j; /* work that is no request's */
    double idle_j;
    double idle_w; /* NAN: no idle time was seen yet */
    double busy_s;
    uint64_t n_waiting; /* requests whose energy is not known yet */
} attribute_totals;
void attribute_totals_get(attribute *a, attribute_totals *out);

#endif
