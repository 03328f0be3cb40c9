/* Energy: what the machine uses, as far as something in it or beside it measures that.
 *
 * A *source* is one instrument: a counter of the processor, a graphics card, a battery, a plug in
 * the wall. Each says its *boundary*, what it sees of the machine, and its *step*, the smallest
 * amount it can tell. The meter takes the sources of the widest boundary there is and adds them up;
 * all others are shown beside it and never mixed in. Where there is none, energy is not measured:
 * NAN here, null in JSON, never zero and never a guess. There is no table of typical watts.
 *
 * Time goes on in *windows*, from one reading to the next. A window's joules are right, or NAN with
 * a reason. Time is monotonic.
 *
 * One thread of the meter reads; functions may be called from any thread.
 *
 *     meter *m = meter_open(&(meter_options){0}, &e);   // looks for sources; at most 0.2 s
 *     meter_listen(m, on_window, busy, ud);
 *     meter_start(m, &e);
 *     ...
 *     meter_close(m);
 */
#ifndef HEARTH_METER_ENERGY_H
#define HEARTH_METER_ENERGY_H

#include <stddef.h>

#include "base/err.h"
#include "meter/energy_track.h"

typedef struct meter meter;

/* From the narrowest to the widest. */
typedef enum meter_boundary {
    METER_NONE,      /* nothing */
    METER_DECLARED,  /* watts that a person gave: no measurement */
    METER_SOC_MODEL, /* a vendor's model of its chip */
    METER_PARTS,     /* the sum of counters of components */
    METER_DC,        /* what a battery gives */
    METER_WALL       /* what the socket gives */
} meter_boundary;
const char *meter_boundary_name(meter_boundary b); /* "wall", "soc-model", ... */

typedef struct meter_clock { /* for tests; NULL: the machine's */
    uint64_t (*now_ns)(void *ud);
    void (*spin)(void *ud); /* in place of 200 ms of computing */
    void *ud;
} meter_clock;

typedef struct meter_options {
    const char *watts;        /* "idle=9,load=250", or NULL */
    const char *const *plugs; /* as in plug.h, NULL-terminated, or NULL */
    const char *hypervisor;   /* a file of microjoules or a folder like powercap's, or NULL */
    meter_boundary boundary;  /* what is to be counted; NONE: the widest there is */
    /* Where sources are looked for, a list like "root=/tmp/tree,nvml=libfake.so": root (of /sys and
     * /proc), nvml, amdsmi (libraries), meterd (socket), powermetrics (program), perf (on or off).
     * With a root all that is not named is off: for tests. NULL: this machine. */
    const char *from;
    bool meterd_off; /* the helper itself does not ask the helper */
    meter_clock clock;
} meter_options;

/* No source is no error; a setting that makes no sense is. */
meter *meter_open(const meter_options *o, err *e);
void meter_close(meter *m); /* ends its thread; NULL is fine */

typedef struct meter_source {
    char kind[16]; /* "rapl-powercap", "nvml", "plug", ... */
    char name[64]; /* "package-0", "GPU 0 (H200)" */
    meter_boundary boundary;
    bool counted;                   /* in the meter's sum */
    char why_not[200];              /* why it is not, when it is not; also what to do */
    double step_j;                  /* smallest amount; 0: none (power is told) */
    double gain;                    /* accuracy that its maker states, as a part; 0: not stated */
    double watts;                   /* mean of the last window; NAN: none yet, or lost */
    double joules, seconds, lost_s; /* since the beginning: known; not known */
    char why_lost[100];             /* the last reason, or "" */
    double disagreement; /* of its watts from its own counter, as a part of it; NAN: not known */
} meter_source;
size_t meter_n_sources(const meter *m); /* constant after opening; also those that cannot be used */
void meter_source_get(const meter *m, size_t i, meter_source *out);

typedef struct meter_window {
    uint64_t begin_ns, end_ns;
    double joules;   /* of all that is counted; NAN: not known */
    const char *why; /* static */
    double step_j;   /* root of the summed squares of the sources' steps */
    double gain;     /* the largest of theirs */
} meter_window;

typedef struct meter_status {
    meter_boundary boundary; /* NONE: not measured */
    char instrument[200];    /* "rapl-powercap package-0, dram"; "" */
    char why_none[200];      /* when it is not measured */
    double step_j, watts;    /* as of the last window; NAN */
    double joules, seconds, lost_s;
    char why_lost[100];
} meter_status;
void meter_status_get(const meter *m, meter_status *out);
meter_boundary meter_boundary_of(const meter *m);

/* Before the first reading. window: on the meter's thread, after each reading but the first. busy:
 * seconds of computing between two moments, for declared watts; may be NULL. */
void meter_listen(meter *m, void (*window)(void *ud, const meter_window *w),
                  double (*busy)(void *ud, uint64_t begin_ns, uint64_t end_ns), void *ud);
/* Reads once, on the caller's thread; for meters that were not started. */
void meter_read(meter *m);
bool meter_start(meter *m, err *e); /* reads about every second from now on */
void meter_stop(meter *m);          /* no more windows after this */
/* A reading soon: as soon as the sources can tell a difference. */
void meter_poke(meter *m);
/* `window` again soon with w NULL: there is work that needs no reading. */
void meter_nudge(meter *m);

#endif
