/* The table of machines, data/hardware.csv: what each costs, how much it draws at the wall, and how
 * fast a named model runs on it, each figure with its source; what nobody has sourced is not there.
 * Any thread; a table never changes once read.
 *
 *     hardware h;
 *     if (!hardware_open(&h, &e)) ...
 *     size_t n = hardware_match(&h, "Studio essay", found, 8);
 *     hardware_close(&h);
 */
#ifndef HEARTH_METER_HARDWARE_H
#define HEARTH_METER_HARDWARE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "meter/money.h"

typedef struct machine {
    const char *name, *speed_model, *as_of, *source;
    int64_t price; /* micro-dollars; -1: not sourced */
    bool by_hour;  /* rented: price is an hour's */
    double idle_w, load_w, prefill_tps, decode_tps, memory_gb, bandwidth_gbs; /* NAN: not sourced */
} machine;

typedef struct hardware {
    arena *memory;
    machine *row; /* [n] in the order of the file */
    size_t n;
} hardware;

bool hardware_open(hardware *h, err *e); /* the table in the program */
bool hardware_read(hardware *h, str text, const char *name, err *e);
void hardware_close(hardware *h);
/* Machines whose name has all the words, or the one of exactly this name; at most max into found.
 * Returns how many there are. */
size_t hardware_match(const hardware *h, const char *words, const machine **found, size_t max);
#define HARDWARE_ESSAY "Mac Studio M3 Ultra 512GB (essay)"

/* ---- what owning a machine costs, by the formulas of docs/cost.md ---- */

typedef struct owning {
    double price, years, resale; /* resale: share of the price that comes back at the end */
    double labour, repairs;      /* a year */
    double kwh_price;
    double idle_w, load_w;
} owning;

typedef struct owning_year {
    double fixed;    /* a year, whatever it does: capital, labour, repairs, idling */
    double variable; /* a year more when it works all the time */
    /* Share of the time that it must work for the bill it replaces to pay for it; above 1: never at
     * this speed; INFINITY: never, its electricity alone costs more. */
    double break_even;
    double break_even_sunk; /* when the price is spent already: idling and labour alone are fixed */
    double months; /* until the price has come back at full use, in cash; INFINITY: never */
} owning_year;

/* full_value: what a year of full work would cost elsewhere; NAN, not known, makes all NAN. */
owning_year owning_ask(const owning *o, double full_value);
/* What a year's work costs at a share of the time, 0 to 1. */
double owning_cost(const owning *o, double use);

#endif
