/* Dividing windows among steps, and steps among requests: see the header. */
#include "meter/attribute.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meter/energy_fit.h"

#define BUCKETS 256
#define ENGINES 32
#define MAX_WINDOWS 1024
#define IDLE_SAMPLES 256
#define IDLE_LEAST_S 5.0             /* of idle time, before there is an idle power */
#define GRID_NS (10 * 1000000000ull) /* what was learned is used from such a moment on */
#define STEP_FADE_S 60.0             /* seconds of steps, and of windows, that are remembered */
#define WINDOW_FADE_S 600.0

typedef struct owner owner;
struct owner {
    owner *next;
    void *tag;
    bool ended, lost, mixed; /* mixed: in some window it was not alone */
    const char *why;
    uint64_t first_ns, last_ns; /* of its steps; 0: none yet */
    double seconds, covered_s;  /* in steps; of these, in windows that are known */
    double joules, marginal_j, solo_j, machine_j;
    double mixed_j, gain, miss; /* joules of windows that it shared; the largest gain and miss */
    double share, step_u2;      /* of the last window; summed squares of what steps leave open */
    double window_j;            /* in the window that is being divided */
    struct part *part;          /* in the step that is being added */
};

typedef struct part {
    owner *who; /* NULL: the engine's own work */
    double x[FIT_TERMS];
} part;

typedef struct engine {
    const void *id;
    struct step *open;
    uint64_t used; /* grows */
    energy_fit seconds, joules;
    double beta_s[FIT_TERMS], beta_j[FIT_TERMS];
    bool has_s, has_j;
} engine;

typedef struct step step;
struct step {
    step *next;
    engine *of;
    uint64_t began_ns, ended_ns; /* 0: not yet */
    int32_t n;
    double x[FIT_TERMS]; /* of all parts; the first is 1 */
    double part_s;       /* while a window is divided: how much of it lies there, */
    double part_j;       /* and what that got */
    part part[];
};

struct attribute {
    void (*done)(void *ud, void *tag, const attribute_result *r);
    void (*wake)(void *ud, bool reading);
    void *ud;
    pthread_mutex_t lock; /* guards all below */
    bool closed;
    owner *bucket[BUCKETS];
    step *first, *last;
    engine engine[ENGINES];
    uint64_t n_used, n_lost_steps;
    meter_window window[MAX_WINDOWS];
    size_t n_windows;
    uint64_t divided_ns, grid;
    double idle[IDLE_SAMPLES]; /* watts of idle windows, the latest */
    size_t n_idle;
    double idle_s, idle_w; /* NAN: not known */
    attribute_totals sum;
};

attribute *attribute_new(void (*done)(void *ud, void *tag, const attribute_result *r),
                         void (*wake)(void *ud, bool reading), void *ud) {
    attribute *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->done = done;
    a->wake = wake;
    a->ud = ud;
    a->idle_w = NAN;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

void attribute_free(attribute *a) {
    if (!a) return;
    for (step *s = a->first, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    for (size_t i = 0; i < BUCKETS; i++)
        for (owner *o = a->bucket[i], *next; o; o = next) {
            next = o->next;
            free(o);
        }
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static double seconds_of(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

/* How much of [a, b) lies in [from, to). */
static double overlap(uint64_t a, uint64_t b, uint64_t from, uint64_t to) {
    return seconds_of(a > from ? a : from, b < to ? b : to);
}

/* ---- steps come in ---- */

static owner **owner_at(attribute *a, const void *tag) {
    uint64_t h = (uint64_t)(uintptr_t)tag * 0x9e3779b97f4a7c15u;
    owner **o = &a->bucket[h >> 56 & (BUCKETS - 1)];
    while (*o && (*o)->tag != tag) o = &(*o)->next;
    return o;
}

static owner *owner_of(attribute *a, void *tag) {
    owner **at = owner_at(a, tag);
    if (*at) return *at;
    owner *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->tag = tag;
    *at = o;
    return o;
}

static engine *engine_of(attribute *a, const void *id) {
    engine *oldest = NULL;
    for (size_t i = 0; i < ENGINES; i++) {
        engine *g = &a->engine[i];
        if (g->id == id) return g;
        bool in_use = g->open != NULL;
        for (const step *s = a->first; s && !in_use && g->id; s = s->next) in_use = s->of == g;
        if (!in_use && (!oldest || g->used < oldest->used)) oldest = g;
    }
    if (oldest) *oldest = (engine){.id = id};
    return oldest;
}

/* The parts of a step, one for each owner. */
static void parts_add(attribute *a, step *s, const hearth_step *h) {
    s->x[0] = 1;
    for (int32_t i = 0; i < h->n_parts; i++) {
        const hearth_step_part *p = &h->part[i];
        owner *o = p->tag ? owner_of(a, p->tag) : NULL;
        part *to = o && o->part ? o->part : &s->part[s->n++];
        to->who = o;
        double x[FIT_TERMS] = {0, p->n_prefill, p->n_decode, p->n_context};
        for (int k = 1; k < FIT_TERMS; k++) {
            to->x[k] += x[k];
            s->x[k] += x[k];
        }
        if (!o) continue;
        o->part = to;
        if (!o->first_ns) o->first_ns = h->began_ns;
    }
    for (int32_t i = 0; i < s->n; i++)
        if (s->part[i].who) s->part[i].who->part = NULL;
}

static void step_begin(attribute *a, const hearth_step *h) {
    engine *g = engine_of(a, h->engine);
    step *s = g ? calloc(1, sizeof *s + (size_t)h->n_parts * sizeof *s->part) : NULL;
    if (!s || g->open) { /* what it cost is then nobody's, which the requests' time will show */
        free(s);
        a->n_lost_steps++;
        return;
    }
    g->used = ++a->n_used;
    g->open = s;
    s->of = g;
    s->began_ns = h->began_ns;
    parts_add(a, s, h);
    *(a->last ? &a->last->next : &a->first) = s;
    a->last = s;
}

static void step_end(attribute *a, const hearth_step *h) {
    engine *g = engine_of(a, h->engine);
    step *s = g ? g->open : NULL;
    double seconds = seconds_of(h->began_ns, h->ended_ns);
    for (int32_t i = 0; !s && i < h->n_parts; i++) {
        owner *o = h->part[i].tag ? owner_of(a, h->part[i].tag) : NULL;
        if (!o) continue;
        o->seconds += seconds;
        o->last_ns = h->ended_ns;
    }
    if (!s) return;
    g->open = NULL;
    s->ended_ns = h->ended_ns > s->began_ns ? h->ended_ns : s->began_ns + 1;
    for (int32_t i = 0; i < s->n; i++) {
        owner *o = s->part[i].who;
        if (!o) continue;
        o->seconds += seconds_of(s->began_ns, s->ended_ns);
        if (s->ended_ns > o->last_ns) o->last_ns = s->ended_ns;
    }
    energy_fit_learn(&g->seconds, s->x, seconds_of(s->began_ns, s->ended_ns),
                     seconds_of(s->began_ns, s->ended_ns), STEP_FADE_S);
}

void attribute_step(attribute *a, const hearth_step *s) {
    pthread_mutex_lock(&a->lock);
    bool wake = s->ended_ns && a->n_windows > 0;
    if (a->closed) wake = false;
    else if (s->ended_ns) step_end(a, s);
    else step_begin(a, s);
    pthread_mutex_unlock(&a->lock);
    if (wake) a->wake(a->ud, false);
}

bool attribute_end(attribute *a, void *tag) {
    pthread_mutex_lock(&a->lock);
    owner *o = owner_of(a, tag);
    bool closed = a->closed;
    if (o) {
        o->ended = true;
        o->lost |= closed; /* its last steps were not told any more */
    }
    pthread_mutex_unlock(&a->lock);
    if (o && closed) attribute_work(a);
    else if (o) a->wake(a->ud, true);
    return o != NULL;
}

/* Steps lie in the order of their beginnings; what overlaps is counted once. */
static double busy_in(const attribute *a, uint64_t begin_ns, uint64_t end_ns) {
    double sum = 0;
    uint64_t done = begin_ns;
    for (const step *s = a->first; s && s->began_ns < end_ns; s = s->next) {
        uint64_t from = s->began_ns > done ? s->began_ns : done;
        uint64_t to = s->ended_ns && s->ended_ns < end_ns ? s->ended_ns : end_ns;
        sum += seconds_of(from, to);
        if (to > done) done = to;
    }
    return sum;
}

double attribute_busy(attribute *a, uint64_t begin_ns, uint64_t end_ns) {
    pthread_mutex_lock(&a->lock);
    double s = busy_in(a, begin_ns, end_ns);
    pthread_mutex_unlock(&a->lock);
    return s;
}

/* ---- what was learned ---- */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void idle_update(attribute *a) {
    double sorted[IDLE_SAMPLES];
    size_t n = a->n_idle < IDLE_SAMPLES ? a->n_idle : IDLE_SAMPLES;
    if (n == 0 || a->idle_s < IDLE_LEAST_S) return;
    memcpy(sorted, a->idle, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    bool first = isnan(a->idle_w);
    a->idle_w = (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
    for (size_t i = 0; first && i < ENGINES; i++) { /* they were learned with idle inside */
        a->engine[i].joules = (energy_fit){0};
        a->engine[i].has_j = false;
    }
}

/* Only at moments of a grid in time: so what a window gets does not depend on how it is cut. */
static void learn_settle(attribute *a, uint64_t now_ns) {
    if (now_ns / GRID_NS == a->grid) return;
    a->grid = now_ns / GRID_NS;
    idle_update(a);
    for (size_t i = 0; i < ENGINES; i++) {
        engine *g = &a->engine[i];
        if (!g->id || !(g->seconds.weight > 0)) continue;
        energy_fit_solve(&g->seconds, NULL);
        memcpy(g->beta_s, g->seconds.beta, sizeof g->beta_s);
        g->has_s = true;
        if (!(g->joules.weight > 0)) continue;
        energy_fit_solve(&g->joules, g->beta_s);
        memcpy(g->beta_j, g->joules.beta, sizeof g->beta_j);
        g->has_j = true;
    }
}

/* ---- dividing ---- */

typedef struct division {
    const meter_window *w;
    double idle_j, static_j, work_j; /* the window's three shares */
    double busy_s, step_s;           /* with what overlaps counted once; of each step */
    double weight;                   /* of all parts' work; 0: by presence */
    bool by_joules, alone;           /* costs are known in joules; one request had all of it */
} division;

static double cost(const step *s, const double x[FIT_TERMS], bool by_joules) {
    const double *beta = by_joules ? s->of->beta_j : s->of->beta_s;
    double sum = beta[0] / s->n;
    for (int k = 1; k < FIT_TERMS; k++) sum += beta[k] * x[k];
    return sum;
}

/* Fills in what of each step lies in the window, and how they are weighed. */
static void measure_steps(attribute *a, division *d) {
    const owner *only = NULL;
    bool many = false;
    d->by_joules = true;
    for (step *s = a->first; s; s = s->next) {
        s->part_j = 0;
        s->part_s = overlap(s->began_ns, s->ended_ns ? s->ended_ns : UINT64_MAX, d->w->begin_ns,
                            d->w->end_ns);
        if (s->part_s <= 0) continue;
        d->step_s += s->part_s;
        d->by_joules &= s->of->has_j;
        many |= s->n != 1 || (only && s->part[0].who != only);
        only = s->part[0].who;
    }
    d->alone = !many;
    for (step *s = a->first; s; s = s->next) {
        if (s->part_s <= 0) continue;
        double f = s->part_s / seconds_of(s->began_ns, s->ended_ns);
        for (int32_t i = 0; i < s->n; i++)
            d->weight += f * fmax(cost(s, s->part[i].x, d->by_joules), 0);
    }
}

static void split_energy(const attribute *a, division *d) {
    const meter_window *w = d->w;
    double dt = seconds_of(w->begin_ns, w->end_ns), idle_s = fmax(dt - d->busy_s, 0);
    if (d->busy_s <= 0) d->idle_j = w->joules;
    else if (isnan(a->idle_w)) d->idle_j = w->joules * idle_s / dt;
    else d->idle_j = fmin(w->joules, a->idle_w * idle_s);
    double busy_j = w->joules - d->idle_j;
    d->static_j = isnan(a->idle_w) ? 0 : fmin(busy_j, a->idle_w * d->busy_s);
    d->work_j = busy_j - d->static_j;
}

static double seconds_alone(const step *s, const double x[FIT_TERMS]) {
    double sum = s->of->beta_s[0];
    for (int k = 1; k < FIT_TERMS; k++) sum += s->of->beta_s[k] * x[k];
    return sum;
}

static void part_get(attribute *a, const division *d, step *s, const part *p) {
    double f = s->part_s / seconds_of(s->began_ns, s->ended_ns);
    double present = s->part_s / d->step_s / s->n;
    double work = d->weight > 0 ? f * fmax(cost(s, p->x, d->by_joules), 0) / d->weight : present;
    double static_j = d->static_j * present, work_j = d->work_j * work;
    owner *o = p->who;
    s->part_j += static_j + work_j;
    if (!o) {
        a->sum.own_j += static_j + work_j;
        return;
    }
    a->sum.requests_j += static_j + work_j;
    o->joules += static_j + work_j;
    o->window_j += static_j + work_j;
    o->marginal_j += isnan(a->idle_w) ? NAN : work_j;
    double solo = NAN;
    if (d->by_joules && !isnan(a->idle_w)) {
        solo = a->idle_w * seconds_alone(s, p->x) + s->of->beta_j[0];
        for (int k = 1; k < FIT_TERMS; k++) solo += s->of->beta_j[k] * p->x[k];
    }
    o->solo_j += f * solo;
    o->covered_s += s->part_s;
}

/* What the machine used from one moment to another within the window. */
static double machine_joules(const attribute *a, const division *d, uint64_t from, uint64_t to) {
    const meter_window *w = d->w;
    if (from < w->begin_ns) from = w->begin_ns;
    if (to > w->end_ns) to = w->end_ns;
    if (to <= from) return 0;
    double idle_s = seconds_of(w->begin_ns, w->end_ns) - d->busy_s, sum = 0;
    double mine_s = seconds_of(from, to) - busy_in(a, from, to);
    if (idle_s > 0 && mine_s > 0) sum = d->idle_j * fmin(mine_s / idle_s, 1);
    for (const step *s = a->first; s; s = s->next)
        if (s->part_s > 0)
            sum += s->part_j * overlap(s->began_ns, s->ended_ns, from, to) / s->part_s;
    return sum;
}

/* What a window says of each request beside its joules. */
static void owners_note(attribute *a, const division *d) {
    const meter_window *w = d->w;
    double miss = 0;
    for (size_t i = 0; i < ENGINES; i++)
        if (a->engine[i].has_j) miss = fmax(miss, energy_fit_miss(&a->engine[i].joules));
    if (!d->by_joules) miss = 1;
    for (size_t i = 0; i < BUCKETS; i++)
        for (owner *o = a->bucket[i]; o; o = o->next) {
            if (!o->first_ns) continue;
            o->machine_j += machine_joules(a, d, o->first_ns, o->ended ? o->last_ns : w->end_ns);
            double share = w->joules > 0 ? o->window_j / w->joules : 0, turn = share - o->share;
            o->step_u2 += turn * turn * w->step_j * w->step_j / 12;
            o->share = share;
            if (o->window_j <= 0) continue;
            o->gain = fmax(o->gain, w->gain);
            if (!d->alone || d->idle_j > 0) {
                o->mixed_j += o->window_j;
                o->miss = fmax(o->miss, miss);
            }
            o->window_j = 0;
        }
}

/* A window in which one engine worked says what its steps cost. */
static void learn(attribute *a, const division *d) {
    engine *g = NULL;
    double x[FIT_TERMS] = {0};
    for (const step *s = a->first; s; s = s->next) {
        if (s->part_s <= 0) continue;
        if (g && s->of != g) return;
        g = s->of;
        double f = s->part_s / seconds_of(s->began_ns, s->ended_ns);
        for (int k = 0; k < FIT_TERMS; k++) x[k] += f * s->x[k];
    }
    if (g)
        energy_fit_learn(&g->joules, x, d->work_j, seconds_of(d->w->begin_ns, d->w->end_ns),
                         WINDOW_FADE_S);
}

static void lose(attribute *a, const meter_window *w) {
    for (step *s = a->first; s; s = s->next) {
        uint64_t to = s->ended_ns ? s->ended_ns : UINT64_MAX;
        if (overlap(s->began_ns, to, w->begin_ns, w->end_ns) <= 0) continue;
        for (int32_t i = 0; i < s->n; i++) {
            owner *o = s->part[i].who;
            if (!o) continue;
            o->lost = true;
            o->why = w->why;
        }
    }
}

static void divide(attribute *a, const meter_window *w) {
    division d = {.w = w};
    if (isnan(w->joules)) {
        lose(a, w);
        return;
    }
    learn_settle(a, w->begin_ns);
    d.busy_s = busy_in(a, w->begin_ns, w->end_ns);
    measure_steps(a, &d);
    split_energy(a, &d);
    a->sum.metered_j += w->joules;
    a->sum.idle_j += d.idle_j;
    a->sum.busy_s += d.busy_s;
    double dt = seconds_of(w->begin_ns, w->end_ns);
    if (d.busy_s <= 0) {
        a->idle[a->n_idle++ % IDLE_SAMPLES] = w->joules / dt;
        a->idle_s += dt;
    } else {
        for (step *s = a->first; s; s = s->next)
            for (int32_t i = 0; s->part_s > 0 && i < s->n; i++) part_get(a, &d, s, &s->part[i]);
        learn(a, &d);
    }
    owners_note(a, &d);
}

/* ---- windows come in ---- */

void attribute_meter(attribute *a, const meter_window *w) {
    pthread_mutex_lock(&a->lock);
    if (a->closed || w->end_ns <= w->begin_ns) {
        pthread_mutex_unlock(&a->lock);
        return;
    }
    if (a->n_windows == MAX_WINDOWS) { /* one step for a quarter of an hour: they fall together */
        meter_window *last = &a->window[MAX_WINDOWS - 1];
        last->joules += w->joules;
        if (w->why) last->why = w->why;
        last->end_ns = w->end_ns;
    } else {
        a->window[a->n_windows++] = *w;
    }
    pthread_mutex_unlock(&a->lock);
}

static bool can_divide(const attribute *a, const meter_window *w) {
    for (size_t i = 0; i < ENGINES; i++) {
        const step *open = a->engine[i].open;
        if (open && open->began_ns < w->end_ns) return false;
    }
    return true;
}

static void forget_steps(attribute *a, uint64_t until_ns) {
    step **at = &a->first;
    a->last = NULL;
    while (*at) {
        step *s = *at;
        if (s->ended_ns && s->ended_ns <= until_ns) {
            *at = s->next;
            free(s);
        } else {
            a->last = s;
            at = &s->next;
        }
    }
}

static attribute_result result_of(const attribute *a, const owner *o) {
    attribute_result r = {.joules = o->joules,
                          .marginal_j = o->marginal_j,
                          .solo_j = o->solo_j,
                          .share = o->machine_j > 0 ? o->joules / o->machine_j : NAN};
    double u2 = o->step_u2;
    u2 += o->gain * o->joules * o->gain * o->joules + o->miss * o->mixed_j * o->miss * o->mixed_j;
    r.uncertainty_j = 2 * sqrt(u2);
    bool whole = !o->lost && o->covered_s >= o->seconds * (1 - 1e-6) - 1e-9;
    if (whole) return r;
    const char *why = o->why      ? o->why
                      : a->closed ? "the meter stopped"
                                  : "it began before the meter";
    r = (attribute_result){NAN, NAN, NAN, NAN, NAN, ""};
    snprintf(r.why, sizeof r.why, "%s", why);
    return r;
}

/* Takes one request out that ended and whose energy is known now. */
static owner *take_done(attribute *a) {
    for (size_t i = 0; i < BUCKETS; i++)
        for (owner **at = &a->bucket[i]; *at; at = &(*at)->next) {
            owner *o = *at;
            if (!o->ended || (o->last_ns > a->divided_ns && !a->closed)) continue;
            *at = o->next;
            return o;
        }
    return NULL;
}

void attribute_work(attribute *a) {
    pthread_mutex_lock(&a->lock);
    size_t n = 0;
    while (n < a->n_windows && can_divide(a, &a->window[n])) {
        divide(a, &a->window[n]);
        a->divided_ns = a->window[n++].end_ns;
        forget_steps(a, a->divided_ns);
    }
    a->n_windows -= n;
    memmove(a->window, a->window + n, a->n_windows * sizeof *a->window);
    for (owner *o; (o = take_done(a));) {
        attribute_result r = result_of(a, o);
        pthread_mutex_unlock(&a->lock);
        a->done(a->ud, o->tag, &r);
        free(o);
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
}

void attribute_close(attribute *a) {
    pthread_mutex_lock(&a->lock);
    a->closed = true;
    pthread_mutex_unlock(&a->lock);
    attribute_work(a);
}

void attribute_totals_get(attribute *a, attribute_totals *out) {
    pthread_mutex_lock(&a->lock);
    *out = a->sum;
    out->idle_w = a->idle_w;
    out->n_waiting = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const owner *o = a->bucket[i]; o; o = o->next) out->n_waiting += o->ended;
    pthread_mutex_unlock(&a->lock);
}
