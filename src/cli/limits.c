#include "cli/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/team.h"
#include "cli/cli.h"
#include "kern/peak.h"
#include "model/memory.h"

#define SLICE ((size_t)2 << 20) /* read by one thread at a time */
#define LEAST ((size_t)256 << 20)
#define ROUND_S 0.01 /* of a loop in registers between two looks at the clock */

struct limits {
    const kern_peak *peak;
    uint8_t *area;
    size_t bytes; /* whole slices */
    /* The present run. */
    double (*loop)(int64_t n);
    int64_t rounds;
    double macs[256];   /* by member */
    uint64_t seen[256]; /* so that reading is not for nothing */
};

static void fill(team *t, int me, void *ud) {
    limits *l = ud;
    (void)me;
    for (size_t i; (i = (size_t)team_next(t)) < l->bytes / SLICE;)
        memset(l->area + i * SLICE, 1, SLICE);
}

limits *limits_begin(err *e) {
    limits *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    l->peak = kern_peak_of(kern_get());
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    l->bytes = cache > 0 && (size_t)cache * 4 > LEAST ? (size_t)cache * 4 : LEAST;
    l->bytes = (l->bytes + SLICE - 1) / SLICE * SLICE;
    uint64_t there = memory_available();
    team *t = NULL;
    if (l->bytes > there / 2 || !(l->area = memory_map(l->bytes)))
        err_set(e, ERR_NO_FIT, "measuring needs %zu MB of memory, %llu MB are available",
                l->bytes / 1000000, (unsigned long long)there / 1000000);
    else t = team_new(team_default_size(), e);
    if (!t) {
        limits_end(l);
        return NULL;
    }
    team_run(t, fill, l);
    team_free(t);
    return l;
}

void limits_end(limits *l) {
    if (!l) return;
    memory_unmap(l->area, l->bytes);
    free(l);
}

/* ---- measuring ---- */

static void read_all(team *t, int me, void *ud) {
    limits *l = ud;
    uint64_t seen = 0;
    for (size_t i; (i = (size_t)team_next(t)) < l->bytes / SLICE;)
        seen ^= l->peak->read(l->area + i * SLICE, SLICE);
    l->seen[me] += seen;
}

static void loop_all(team *t, int me, void *ud) {
    limits *l = ud;
    (void)t;
    l->macs[me] = l->loop(l->rounds);
}

static double read_rate(limits *l, team *t, double seconds) {
    double bytes = 0, t0 = clock_now_s(), took;
    do {
        team_run(t, read_all, l);
        bytes += (double)l->bytes;
        took = clock_now_s() - t0;
    } while (took < seconds);
    return bytes / took;
}

static double loop_rate(limits *l, team *t, double (*loop)(int64_t), double seconds) {
    if (!loop) return NAN;
    double took = 0, macs = 0;
    for (l->rounds = 1000; took < ROUND_S / 4; l->rounds *= 2) {
        double t0 = clock_now_s();
        loop(l->rounds);
        took = clock_now_s() - t0;
    }
    l->loop = loop;
    double t0 = clock_now_s();
    do {
        team_run(t, loop_all, l);
        for (int i = 0; i < team_size(t); i++) macs += l->macs[i];
        took = clock_now_s() - t0;
    } while (took < seconds);
    return macs / took;
}

bool limits_measure(limits *l, int threads, double seconds, limits_at *out, err *e) {
    team *t = team_new(threads, e);
    if (!t) return false;
    out->threads = team_size(t);
    out->read = read_rate(l, t, seconds);
    out->dot = loop_rate(l, t, l->peak->dot, seconds);
    out->fma = loop_rate(l, t, l->peak->fma, seconds);
    team_free(t);
    return true;
}

static void keep_best(limits_at *best, const limits_at *now) {
    best->threads = now->threads;
    if (now->read > best->read) best->read = now->read;
    if (!(now->dot <= best->dot)) best->dot = now->dot; /* also takes NAN over */
    if (!(now->fma <= best->fma)) best->fma = now->fma;
}

int limits_table(limits *l, int most, limits_at row[LIMITS_ROWS], err *e) {
    int n = 0;
    for (int threads = 1; n < LIMITS_ROWS; threads = threads * 2 < most ? threads * 2 : most) {
        row[n] = (limits_at){0};
        for (int i = 0; i < 3; i++) {
            limits_at now;
            if (!limits_measure(l, threads, 0.2, &now, e)) return 0;
            keep_best(&row[n], &now);
        }
        n++;
        if (threads >= most) break;
    }
    return n;
}

/* ---- printing ---- */

static void print_rate(double v, const char *unit) {
    if (isnan(v)) out_printf("  %14s", "not measured");
    else out_printf("  %8.1f %s", v * 1e-9, unit);
}

void limits_print(const limits_at *row, int n) {
    const kern *k = kern_get();
    const kern_peak *p = kern_peak_of(k);
    out_printf("%s kernels; 8-bit dot products by %s, floats by %s\n", k->name,
               p->dot_name ? p->dot_name : "no known instruction",
               p->fma_name ? p->fma_name : "no known instruction");
    out_printf("threads  %14s  %16s  %16s\n", "memory read", "8-bit dot", "float fma");
    for (int i = 0; i < n; i++) {
        out_printf("%7d", row[i].threads);
        print_rate(row[i].read, "  GB/s");
        print_rate(row[i].dot, " GMAC/s");
        print_rate(row[i].fma, " GMAC/s");
        out_puts("\n");
    }
}

void limits_json(jsonw *w, const limits_at *row, int n) {
    jsonw_array(w);
    for (int i = 0; i < n; i++) {
        jsonw_object(w);
        jsonw_key(w, "threads"), jsonw_int(w, row[i].threads);
        jsonw_key(w, "read_bytes_per_s"), jsonw_f64(w, row[i].read);
        jsonw_key(w, "dot_macs_per_s"), jsonw_f64(w, row[i].dot);
        jsonw_key(w, "fma_macs_per_s"), jsonw_f64(w, row[i].fma);
        jsonw_end(w);
    }
    jsonw_end(w);
}
