/* What a span of time cost here, and what the same requests would have cost elsewhere. Requests are
 * added one by one, in any order; money is whole numbers throughout, and what is divided among rows
 * is divided without remainder. What is not known stays unknown: electricity without a measurement
 * or declared watts is not zero. One thread.
 *
 *     cost c;
 *     cost_begin(&c, &tariff, &sheet, day, since_ms, until_ms);
 *     for (...) cost_add(&c, "anna", &request, &e);
 *     cost_end(&c);
 *     for (size_t i = 0; i < c.n_rows; i++) show(&c.row[i]);
 *     cost_deinit(&c);
 */
#ifndef HEARTH_METER_COST_H
#define HEARTH_METER_COST_H

#include "meter/hardware.h"
#include "meter/prices.h"
#include "meter/tariff.h"

typedef struct cost_request {
    const char *model;
    int64_t begin_ms, end_ms; /* wall clock; from when it was computed on to its end */
    int64_t in, cached, out;  /* tokens; in includes cached */
    int64_t requests;         /* that the entry stands for, at least 1 */
    double joules;            /* NAN: not measured */
} cost_request;

enum { COST_SAME, COST_CHEAP, COST_FLAGSHIP, COST_HOSTED };

typedef struct cost_row {
    char label[128];
    int64_t requests, in, cached, out, busy_ms; /* busy: of all its requests, one by one */
    money work, idle;      /* electricity of the work, and of waiting; see cost.known */
    money capital, upkeep; /* upkeep: labour and repairs */
    money hosted[COST_HOSTED];
    money measured; /* electricity of its measured requests */
} cost_row;

typedef struct cost {
    const tariff *tariff;
    const price_sheet *sheet;
    char day[PRICE_DAY_BYTES];
    int64_t since_ms, until_ms;
    const price_row *hosted[COST_HOSTED]; /* cheap and flagship; same weights of the last model */
    bool stand_in; /* some model's own weights are in no price; see price_cheapest_open */
    bool hosted_known[COST_HOSTED];
    cost_row *row; /* [n_rows] */
    size_t n_rows, cap_rows;
    cost_row sum;
    int64_t (*span)[2]; /* [n_spans] of computing, in ms */
    size_t n_spans, cap_spans;
    int64_t busy_ms; /* when anything was computed at all */
    bool all_measured, any_measured;
    /* After cost_end: whether work and idle are known, and from what. */
    bool work_known, idle_known, declared, capital_known;
} cost;

void cost_begin(cost *c, const tariff *t, const price_sheet *s, const char *day, int64_t since_ms,
                int64_t until_ms);
bool cost_add(cost *c, const char *label, const cost_request *r, err *e);
/* Divides what the machine costs among the rows, by the time of their requests. */
bool cost_end(cost *c, err *e);
void cost_deinit(cost *c);

/* What is known of a row's cost: electricity of its work alone (the machine is there anyway), and
 * everything. */
money cost_sunk(const cost_row *r);
money cost_full(const cost_row *r);

/* whole / weights, in whole units, without remainder: what is left over goes to the largest
 * fractions, of equal ones to the first. All weights 0: evenly. False: out of memory. */
bool cost_split(money whole, const int64_t *weight, size_t n, money *part);

/* The machine as owning_ask wants it, units of the currency. False: price or watts are not
 * declared; electricity is then left out (0 watts). */
bool cost_owning(const cost *c, owning *o);
/* Hosted value of a year in which the machine works all the time as it did; NAN: it did nothing. */
double cost_full_value(const cost *c, int hosted);

#endif
