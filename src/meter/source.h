/* Inside the meter: what a source is to the meter, and what the files that find sources share.
 *
 * A file source_<kind>.c has one function that looks for its instruments and adds each that it
 * finds, also those that cannot be used, with the reason: the person then knows what there is and
 * what it would take. `read` is called on the meter's thread and must return within a second.
 */
#ifndef HEARTH_METER_SOURCE_H
#define HEARTH_METER_SOURCE_H

#include <stdlib.h>

#include "base/buf.h"
#include "base/str.h"
#include "meter/energy.h"

#define SOURCES_MAX 256
#define MS_NS 1000000ull

typedef struct source source;
struct source {
    const char *kind; /* static */
    char name[64];
    meter_boundary boundary;
    bool apart;        /* shown, but never part of the sum: it holds others, or is held by them */
    char why_not[200]; /* not empty: it cannot be used */
    double step_j, gain;
    bool spins;    /* its counter must move while the processor computes for 200 ms */
    bool own_time; /* r->t_ns is the instrument's, not the moment of asking */
    /* It is used only where no source whose kind begins so can be, and why; NULL: always. */
    const char *instead_of, *instead_why;
    energy_rules rules;
    /* False, with a static reason, when there is no reading. r->t_ns is set beforehand. */
    bool (*read)(source *s, energy_reading *r, const char **why);
    void (*close)(source *s); /* frees ud; may be NULL */
    void *ud;
    /* the meter's */
    bool counted;
    energy_track track;
    uint64_t probe; /* its counter before the spin */
};

typedef struct source_from {                                     /* meter_options.from, read */
    char root[512];                                              /* "" : this machine */
    char nvml[256], amdsmi[256], powermetrics[256], meterd[108]; /* "": off */
    bool perf;
} source_from;

typedef struct source_list {
    source item[SOURCES_MAX];
    size_t n;
    source_from from;
    const meter_clock *clock;
} source_list;

/* A new one with the name printed; NULL when the list is full. */
source *source_add(source_list *l, const char *kind, meter_boundary b, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void source_refuse(source *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

uint64_t source_now_ns(const source_list *l);

/* Small files of /sys, by a path below the root. False: absent, unreadable (errno) or no number. */
bool source_file_text(const source_list *l, const char *path, char *dst, size_t cap);
bool source_file_u64(const char *full_path, uint64_t *out);
void source_path(const source_list *l, const char *path, char *dst, size_t cap);
/* The entries of a folder, in order of their names (2 before 10); *names and each by free. */
size_t source_folder(const source_list *l, const char *path, char ***names);
void source_names_free(char **names, size_t n);
/* A counter of microjoules or a power of microwatts in one file. */
bool source_read_uj_file(source *s, energy_reading *r, const char **why);
bool source_read_uw_file(source *s, energy_reading *r, const char **why);
void source_close_free(source *s);

/* A library that reads cards, the first member of whoever loads it: all is freed with the last of
 * its users, which are its cards, and its loader while they are added. */
typedef struct source_library {
    void *handle;
    int users;
    int (*shut_down)(void); /* once it has begun */
} source_library;
typedef struct source_card { /* ud of a card's source */
    source_library *library;
    void *device;
} source_card;
bool source_library_open(source_library *l, const char *path);
/* A function of the library into *function, a pointer to it; NULL where it has none. */
void source_library_symbol(const source_library *l, const char *name, void *function);
void source_library_release(source_library *l);
/* Makes s the source of a card. */
void source_card_set(source *s, source_library *l, void *device,
                     bool (*read)(source *s, energy_reading *r, const char **why));

static inline bool source_usable(const source *s) {
    return !s->why_not[0];
}
/* After all were found: those whose counter does not move are refused, then those that only stand
 * in for others. Takes 200 ms where there is something to test. */
void sources_settle(source_list *l);

/* Each looks for its own. */
void source_find_perf(source_list *l);     /* before powercap: it takes the same counters */
void source_find_powercap(source_list *l); /* Intel's and AMD's */
void source_find_hwmon(source_list *l);    /* Intel's and AMD's graphics cards */
void source_find_nvml(source_list *l);
void source_find_amdsmi(source_list *l); /* after hwmon, which it is compared with */
void source_find_battery(source_list *l);
void source_find_apple(source_list *l);
void source_find_meterd(source_list *l); /* after those it stands for */
bool source_find_hypervisor(source_list *l, const char *path, err *e);
bool source_find_plug(source_list *l, const char *setting, err *e);

#endif
