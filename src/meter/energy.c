/* The meter: which sources count, the thread that reads them, and the windows that come of it. */
#include "meter/energy.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "meter/source.h"

#define PERIOD_NS (1000 * MS_NS) /* between two readings that nobody asked for */
#define LEAST_NS (100 * MS_NS)   /* the shortest window: the hardware's own step is near */

struct meter {
    source_list l; /* its n and what is constant of each item: constant after opening */
    meter_clock clock;
    meter_boundary boundary;
    char why_none[200];
    uint64_t period_ns, least_ns;
    double step_j, gain;
    double idle_w, load_w; /* declared */
    uint64_t declared_ns;  /* declared_j holds the time until then; 0: not begun */
    double declared_j;
    void (*window)(void *ud, const meter_window *w);
    double (*busy)(void *ud, uint64_t begin_ns, uint64_t end_ns);
    void *ud;

    /* the reading thread's */
    bool begun;
    uint64_t last_ns; /* end of the last window */
    double carried_j; /* of sources that were read since */
    const char *carried_why;

    pthread_mutex_t lock; /* guards the tracks of the sources and all below */
    pthread_cond_t wake;
    bool stop, soon, nudged, started;
    pthread_t thread;
    double joules, seconds, lost_s, watts;
    const char *why_lost;
};

const char *meter_boundary_name(meter_boundary b) {
    static const char *const names[] = {[METER_NONE] = "none",
                                        [METER_DECLARED] = "declared",
                                        [METER_SOC_MODEL] = "soc-model",
                                        [METER_PARTS] = "parts",
                                        [METER_DC] = "dc",
                                        [METER_WALL] = "wall"};
    return (unsigned)b <= METER_WALL ? names[b] : "none";
}

/* ---- settings ---- */

/* The next "key=value" of a list; false at its end. */
static bool next_pair(str *rest, str *key, str *value) {
    if (rest->n == 0) return false;
    size_t end = str_find(*rest, STR(","), 0);
    str item = {rest->p, end == (size_t)-1 ? rest->n : end};
    *rest = end == (size_t)-1 ? (str){0} : (str){rest->p + end + 1, rest->n - end - 1};
    size_t is = str_find(item, STR("="), 0);
    *key = is == (size_t)-1 ? item : (str){item.p, is};
    *value = is == (size_t)-1 ? (str){0} : (str){item.p + is + 1, item.n - is - 1};
    return true;
}

static void from_default(source_from *f) {
    *f = (source_from){.perf = true,
                       .nvml = "libnvidia-ml.so.1",
                       .amdsmi = "libamd_smi.so",
                       .meterd = "/run/hearth/meterd.sock"};
#ifdef __APPLE__
    snprintf(f->powermetrics, sizeof f->powermetrics, "/usr/bin/powermetrics");
#endif
}

static bool from_read(source_from *f, const char *text, err *e) {
    str rest = str_of(text), key, value;
    from_default(f);
    if (text && (str_starts(rest, STR("root=")) || str_find(rest, STR(",root="), 0) != (size_t)-1))
        *f = (source_from){0};
    while (next_pair(&rest, &key, &value)) {
        struct {
            const char *name;
            char *to;
            size_t cap;
        } const names[] = {{"root", f->root, sizeof f->root},
                           {"nvml", f->nvml, sizeof f->nvml},
                           {"amdsmi", f->amdsmi, sizeof f->amdsmi},
                           {"meterd", f->meterd, sizeof f->meterd},
                           {"powermetrics", f->powermetrics, sizeof f->powermetrics}};
        bool known = str_eq(key, STR("perf"));
        if (known) f->perf = str_eq(value, STR("on"));
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (!str_eq(key, str_of(names[i].name)) || value.n >= names[i].cap) continue;
            snprintf(names[i].to, names[i].cap, "%.*s", STR_ARG(value));
            known = true;
        }
        char shown[80];
        if (!known)
            return err_set(e, ERR_USAGE,
                           "--meter-from: \"%s\" is none of root, nvml, amdsmi, meterd, "
                           "powermetrics, perf, or its value is too long",
                           str_printable(key, shown, sizeof shown));
    }
    return true;
}

/* ---- declared watts ---- */

static bool declared_read(source *s, energy_reading *r, const char **why) {
    meter *m = s->ud;
    (void)why;
    if (m->declared_ns > 0 && r->t_ns > m->declared_ns) {
        double dt = (double)(r->t_ns - m->declared_ns) * 1e-9;
        double busy = m->busy ? m->busy(m->ud, m->declared_ns, r->t_ns) : 0;
        m->declared_j += m->idle_w * dt + (m->load_w - m->idle_w) * fmin(busy, dt);
    }
    m->declared_ns = r->t_ns;
    r->has_count = true;
    r->count = (uint64_t)(m->declared_j * 1e6 + 0.5);
    return true;
}

static bool declared_add(meter *m, const char *text, err *e) {
    str rest = str_of(text), key, value;
    double idle = -1, load = -1;
    while (next_pair(&rest, &key, &value)) {
        double *to = str_eq(key, STR("idle")) ? &idle : str_eq(key, STR("load")) ? &load : NULL;
        if (!to || !str_to_f64(value, to) || !(*to >= 0 && *to <= 1e6)) idle = load = -1;
        if (!to) break;
    }
    if (idle < 0 || load < idle) {
        char shown[80];
        return err_set(e, ERR_USAGE,
                       "--watts: \"%s\" is not like idle=9,load=250 (both, and load the larger)",
                       str_printable(str_of(text), shown, sizeof shown));
    }
    source *s = source_add(&m->l, "declared", METER_DECLARED, "idle %g W, load %g W", idle, load);
    if (!s) return err_set(e, ERR_NO_FIT, "more than %d sources", SOURCES_MAX);
    m->idle_w = idle;
    m->load_w = load;
    s->rules = (energy_rules){.unit_j = 1e-6, .max_watts = 1e7};
    s->read = declared_read;
    s->ud = m;
    return true;
}

/* ---- opening ---- */

static bool in_a_virtual_machine(const source_list *l) {
    char text[8192];
    return source_file_text(l, "/proc/cpuinfo", text, sizeof text) && strstr(text, " hypervisor");
}

/* The widest boundary, or the one that was asked for. A battery tells something only while it is
 * used, so it is taken only where there is nothing else. */
static void choose(meter *m, meter_boundary asked) {
    meter_boundary best = METER_NONE;
    bool any = false;
    for (size_t i = 0; i < m->l.n; i++) {
        const source *s = &m->l.item[i];
        any |= s->boundary != METER_DECLARED;
        if (!source_usable(s) || s->apart || (asked && s->boundary != asked)) continue;
        bool wider = s->boundary > best;
        if (s->boundary == METER_DC && best >= METER_SOC_MODEL) wider = false;
        if (best == METER_DC && s->boundary >= METER_SOC_MODEL) wider = true;
        if (wider) best = s->boundary;
    }
    m->boundary = best;
    if (best == METER_NONE)
        snprintf(m->why_none, sizeof m->why_none, "%s",
                 any ? "no source of energy can be used: hearth meter says why"
                 : in_a_virtual_machine(&m->l) ? "virtual machine, no energy counter"
                                               : "no energy counter");
    double squares = 0;
    m->period_ns = PERIOD_NS;
    m->least_ns = LEAST_NS;
    for (size_t i = 0; i < m->l.n; i++) {
        source *s = &m->l.item[i];
        s->counted = best != METER_NONE && source_usable(s) && !s->apart && s->boundary == best;
        energy_track_init(&s->track, &s->rules);
        if (!s->counted) continue;
        squares += s->step_j * s->step_j;
        if (s->gain > m->gain) m->gain = s->gain;
        if (s->rules.fresh_ns > m->least_ns) m->least_ns = s->rules.fresh_ns;
    }
    m->step_j = sqrt(squares);
    if (m->period_ns < m->least_ns) m->period_ns = m->least_ns;
}

static bool find_all(meter *m, const meter_options *o, err *e) {
    if (!from_read(&m->l.from, o->from, e)) return false;
    if (o->meterd_off) m->l.from.meterd[0] = 0;
    source_find_perf(&m->l);
    source_find_powercap(&m->l);
    source_find_hwmon(&m->l);
    source_find_nvml(&m->l);
    source_find_amdsmi(&m->l);
    source_find_battery(&m->l);
    source_find_apple(&m->l);
    source_find_meterd(&m->l);
    if (o->hypervisor && !source_find_hypervisor(&m->l, o->hypervisor, e)) return false;
    for (const char *const *p = o->plugs; p && *p; p++)
        if (!source_find_plug(&m->l, *p, e)) return false;
    return !o->watts || declared_add(m, o->watts, e);
}

meter *meter_open(const meter_options *o, err *e) {
    meter *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(e, ERR_NO_FIT, "out of memory");
        return NULL;
    }
    clock_cond_init(&m->wake);
    pthread_mutex_init(&m->lock, NULL);
    m->clock = o->clock;
    m->l.clock = &m->clock;
    m->watts = NAN;
    if (!find_all(m, o, e)) {
        meter_close(m);
        return NULL;
    }
    sources_settle(&m->l);
    choose(m, o->boundary);
    return m;
}

void meter_close(meter *m) {
    if (!m) return;
    meter_stop(m);
    for (size_t i = 0; i < m->l.n; i++)
        if (m->l.item[i].close) m->l.item[i].close(&m->l.item[i]);
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- reading ---- */

void meter_listen(meter *m, void (*window)(void *ud, const meter_window *w),
                  double (*busy)(void *ud, uint64_t begin_ns, uint64_t end_ns), void *ud) {
    m->window = window;
    m->busy = busy;
    m->ud = ud;
}

/* One source; what it gained. */
static energy_gain read_one(meter *m, source *s) {
    energy_reading r = {.t_ns = source_now_ns(&m->l)};
    const char *why = "it tells nothing any more";
    bool ok = s->read(s, &r, &why);
    pthread_mutex_lock(&m->lock);
    energy_gain g = ok ? energy_track_add(&s->track, &r)
                       : energy_track_lose(&s->track, r.t_ns, why);
    pthread_mutex_unlock(&m->lock);
    return g;
}

/* The window ends where the slowest instrument was: one that keeps its own time, else now. */
static void window_close(meter *m, uint64_t end_ns) {
    meter_window w = {.begin_ns = m->last_ns,
                      .end_ns = end_ns,
                      .joules = m->carried_why ? NAN : m->carried_j,
                      .why = m->carried_why,
                      .step_j = m->step_j,
                      .gain = m->gain};
    double dt = (double)(w.end_ns - w.begin_ns) * 1e-9;
    m->last_ns = end_ns;
    m->carried_j = 0;
    m->carried_why = NULL;
    pthread_mutex_lock(&m->lock);
    if (w.why) {
        m->lost_s += dt;
        m->why_lost = w.why;
        m->watts = NAN;
    } else {
        m->joules += w.joules;
        m->seconds += dt;
        m->watts = w.joules / dt;
    }
    pthread_mutex_unlock(&m->lock);
    if (m->window) m->window(m->ud, &w);
}

void meter_read(meter *m) {
    uint64_t own_ns = UINT64_MAX, end_ns = 0;
    for (size_t i = 0; i < m->l.n; i++) {
        source *s = &m->l.item[i];
        if (!s->counted) continue;
        energy_gain g = read_one(m, s);
        if (isnan(g.joules)) m->carried_why = g.why;
        else m->carried_j += g.joules;
        if (s->own_time && g.end_ns < own_ns) own_ns = g.end_ns;
        if (!s->own_time && g.end_ns > end_ns) end_ns = g.end_ns;
    }
    if (own_ns != UINT64_MAX) end_ns = own_ns;
    if (end_ns > 0 && !m->begun) { /* what sources lost before the first window is nobody's */
        m->begun = true;
        m->last_ns = end_ns;
        m->carried_j = 0;
        m->carried_why = NULL;
    } else if (end_ns > m->last_ns) {
        window_close(m, end_ns);
    }
    for (size_t i = 0; i < m->l.n; i++) {
        source *s = &m->l.item[i];
        if (!s->counted && source_usable(s)) read_one(m, s);
    }
}

static void wait_until(meter *m, uint64_t due_ns) {
    struct timespec t = {.tv_sec = (time_t)(due_ns / 1000000000u),
                         .tv_nsec = (long)(due_ns % 1000000000u)};
    pthread_cond_timedwait(&m->wake, &m->lock, &t);
}

static void *meter_main(void *ud) {
    meter *m = ud;
    uint64_t read_ns = 0;
    pthread_mutex_lock(&m->lock);
    while (!m->stop) {
        uint64_t due = read_ns == 0 ? 0 : read_ns + (m->soon ? m->least_ns : m->period_ns);
        bool nudged = m->nudged, read = clock_now_ns() >= due;
        if (!nudged && !read) {
            wait_until(m, due);
            continue;
        }
        m->nudged = false;
        if (read) m->soon = false;
        pthread_mutex_unlock(&m->lock);
        if (read) {
            meter_read(m);
            read_ns = clock_now_ns();
        }
        if (nudged && m->window) m->window(m->ud, NULL);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

bool meter_start(meter *m, err *e) {
    m->started = pthread_create(&m->thread, NULL, meter_main, m) == 0;
    return m->started || err_set(e, ERR_NO_FIT, "cannot start the thread that reads the meter");
}

void meter_stop(meter *m) {
    if (!m->started) return;
    pthread_mutex_lock(&m->lock);
    m->stop = true;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    m->started = false;
}

void meter_poke(meter *m) {
    pthread_mutex_lock(&m->lock);
    if (!m->soon) pthread_cond_signal(&m->wake);
    m->soon = true;
    pthread_mutex_unlock(&m->lock);
}

void meter_nudge(meter *m) {
    pthread_mutex_lock(&m->lock);
    if (!m->nudged) pthread_cond_signal(&m->wake);
    m->nudged = true;
    pthread_mutex_unlock(&m->lock);
}

/* ---- looking ---- */

size_t meter_n_sources(const meter *m) {
    return m->l.n;
}

void meter_source_get(const meter *m, size_t i, meter_source *out) {
    const source *s = &m->l.item[i];
    pthread_mutex_t *lock = (pthread_mutex_t *)&m->lock; /* locking is no change that is seen */
    *out = (meter_source){
        .boundary = s->boundary, .counted = s->counted, .step_j = s->step_j, .gain = s->gain};
    snprintf(out->kind, sizeof out->kind, "%s", s->kind);
    snprintf(out->name, sizeof out->name, "%s", s->name);
    pthread_mutex_lock(lock);
    if (s->why_not[0]) snprintf(out->why_not, sizeof out->why_not, "%s", s->why_not);
    else if (s->apart) snprintf(out->why_not, sizeof out->why_not, "it holds others: shown apart");
    else if (!s->counted)
        snprintf(out->why_not, sizeof out->why_not, "%s is counted",
                 meter_boundary_name(m->boundary));
    const energy_track *t = &s->track;
    out->watts = t->last_watts;
    out->joules = t->joules;
    out->seconds = t->seconds;
    out->lost_s = t->lost_s;
    out->disagreement = energy_track_disagreement(t);
    snprintf(out->why_lost, sizeof out->why_lost, "%s", t->why ? t->why : "");
    pthread_mutex_unlock(lock);
}

meter_boundary meter_boundary_of(const meter *m) {
    return m->boundary;
}

/* "rapl-perf package-0, dram-0; nvml GPU 0" */
static void instrument_write(const meter *m, char *dst, size_t cap) {
    const char *kind = NULL;
    size_t n = 0;
    dst[0] = 0;
    for (size_t i = 0; i < m->l.n && n < cap; i++) {
        const source *s = &m->l.item[i];
        if (!s->counted) continue;
        bool same = kind && strcmp(kind, s->kind) == 0;
        n += (size_t)snprintf(dst + n, cap - n, "%s%s%s%s",
                              !kind  ? ""
                              : same ? ", "
                                     : "; ",
                              same ? "" : s->kind, same ? "" : " ", s->name);
        kind = s->kind;
    }
}

void meter_status_get(const meter *m, meter_status *out) {
    pthread_mutex_t *lock = (pthread_mutex_t *)&m->lock;
    *out = (meter_status){.boundary = m->boundary, .step_j = m->step_j};
    instrument_write(m, out->instrument, sizeof out->instrument);
    snprintf(out->why_none, sizeof out->why_none, "%s", m->why_none);
    pthread_mutex_lock(lock);
    out->watts = m->watts;
    out->joules = m->joules;
    out->seconds = m->seconds;
    out->lost_s = m->lost_s;
    snprintf(out->why_lost, sizeof out->why_lost, "%s", m->why_lost ? m->why_lost : "");
    pthread_mutex_unlock(lock);
}
