/* Attribution: the invariants, over 10,000 random schedules, and that costs are learned. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "meter/attribute.h"
#include "support/cmocka_all.h"

#define SCHEDULES 10000
#define REQUESTS 8
#define STEPS 400
#define WINDOWS 400
#define SECOND 1000000000ull

/* ---- schedules ---- */

typedef struct sched_part {
    int who; /* -1: the engine's own */
    int32_t prefill, decode;
    double context;
} sched_part;

typedef struct sched_step {
    int engine, n;
    uint64_t began_ns, ended_ns;
    sched_part part[REQUESTS];
} sched_step;

typedef struct schedule {
    int n_requests, n_steps, n_windows;
    sched_step step[STEPS];
    meter_window window[WINDOWS];
} schedule;

typedef struct outcome {
    attribute_result r[REQUESTS];
    int n_done;
    attribute_totals sum;
} outcome;

static uint64_t draw_seed, draw_at;
static double draw(double from, double to) {
    return from + (to - from) * rng_f64(draw_seed, 0, draw_at++);
}
static int pick(int n) {
    return (int)(rng_u64(draw_seed, 0, draw_at++) % (uint64_t)n);
}

/* Seconds that a step takes: what is to be learned. */
static const double costs[4] = {4e-3, 2e-4, 8e-4, 1e-7};
static double step_seconds(const sched_step *s) {
    double sum = costs[0];
    for (int i = 0; i < s->n; i++)
        sum += costs[1] * s->part[i].prefill + costs[2] * s->part[i].decode +
               costs[3] * s->part[i].context;
    return sum;
}

static void random_parts(sched_step *s, int n_requests, bool own) {
    s->n = 0;
    for (int r = 0; r < n_requests; r++) {
        if (n_requests > 1 && pick(2)) continue;
        sched_part *p = &s->part[s->n++];
        *p = (sched_part){.who = r};
        if (pick(3)) p->decode = 1 + pick(3);
        else p->prefill = 1 + pick(200);
        p->context = (p->decode + p->prefill) * draw(1, 2000);
    }
    if (s->n == 0) s->part[s->n++] = (sched_part){0, 0, 1, draw(1, 2000)};
    if (own && pick(20) == 0) s->part[0].who = -1;
}

/* Steps of some requests with pauses between, from second `from` on; the pauses are some of the
 * time when `idle`. */
static uint64_t random_steps(schedule *s, uint64_t from, int n, int n_engines, bool idle) {
    uint64_t at[2] = {from, from};
    for (int i = 0; i < n; i++) {
        sched_step *t = &s->step[s->n_steps++];
        t->engine = n_engines > 1 && at[1] < at[0];
        uint64_t *now = &at[t->engine];
        if (idle && pick(6) == 0) *now += (uint64_t)(draw(0, 1.5) * 1e9);
        random_parts(t, s->n_requests, n_engines > 1);
        t->began_ns = *now;
        t->ended_ns = *now += (uint64_t)(step_seconds(t) * 1e9) + 1;
    }
    return at[0] > at[1] || n_engines == 1 ? at[0] : at[1];
}

static double busy_within(const schedule *s, uint64_t begin, uint64_t end) {
    double sum = 0;
    for (int i = 0; i < s->n_steps; i++) {
        uint64_t a = s->step[i].began_ns, b = s->step[i].ended_ns;
        if (a < begin) a = begin;
        if (b > end) b = end;
        if (b > a) sum += (double)(b - a) * 1e-9;
    }
    return sum;
}

/* 20 W, and 100 W more while one engine works. */
static double true_joules(const schedule *s, uint64_t begin, uint64_t end) {
    return 20 * (double)(end - begin) * 1e-9 + 100 * busy_within(s, begin, end);
}

static void window_add(schedule *s, uint64_t begin, uint64_t end, double joules) {
    assert_true(s->n_windows < WINDOWS);
    s->window[s->n_windows++] = (meter_window){
        .begin_ns = begin, .end_ns = end, .joules = joules, .step_j = 0.001};
}

/* ---- running one ---- */

static int tags[2 * REQUESTS];
static outcome *filling;
static int first_tag; /* requests may have other names */

static void on_done(void *ud, void *tag, const attribute_result *r) {
    (void)ud;
    filling->r[(int *)tag - tags - first_tag] = *r;
    filling->n_done++;
}

static void on_wake(void *ud, bool reading) {
    (void)ud, (void)reading;
}

static void tell_step(attribute *a, const sched_step *s, bool end, bool backwards) {
    hearth_step_part p[REQUESTS];
    for (int i = 0; i < s->n; i++) {
        const sched_part *q = &s->part[backwards ? s->n - 1 - i : i];
        p[i] = (hearth_step_part){.tag = q->who < 0 ? NULL : &tags[first_tag + q->who],
                                  .n_prefill = q->prefill,
                                  .n_decode = q->decode,
                                  .n_context = q->context};
    }
    hearth_step h = {&costs[s->engine], s->began_ns, end ? s->ended_ns : 0, s->n, p};
    attribute_step(a, &h);
}

typedef struct event {
    uint64_t at;
    int order, index; /* order: what ends goes before what begins, and windows last */
} event;

static int by_time(const void *a, const void *b) {
    const event *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->order != y->order ? x->order - y->order : x->index - y->index;
}

static outcome run(const schedule *s, bool permuted) {
    static event e[2 * STEPS + WINDOWS];
    outcome out = {0};
    int n = 0;
    filling = &out;
    first_tag = permuted ? REQUESTS : 0;
    for (int i = 0; i < s->n_steps; i++) {
        e[n++] = (event){s->step[i].began_ns, 1, i};
        e[n++] = (event){s->step[i].ended_ns, 0, i};
    }
    for (int i = 0; i < s->n_windows; i++) e[n++] = (event){s->window[i].end_ns, 2, i};
    qsort(e, (size_t)n, sizeof *e, by_time);
    attribute *a = attribute_new(on_done, on_wake, NULL);
    for (int i = 0; i < n; i++) {
        if (e[i].order == 2) attribute_meter(a, &s->window[e[i].index]);
        else tell_step(a, &s->step[e[i].index], e[i].order == 0, permuted);
        attribute_work(a);
    }
    for (int r = 0; r < s->n_requests; r++)
        assert_true(attribute_end(a, &tags[first_tag + (permuted ? s->n_requests - 1 - r : r)]));
    attribute_work(a);
    attribute_totals_get(a, &out.sum);
    attribute_free(a);
    assert_int_equal(out.n_done, s->n_requests);
    return out;
}

/* ---- the invariants ---- */

static bool near(double a, double b, double of) {
    return fabs(a - b) <= 1e-9 * fabs(of) + 1e-12;
}

static schedule sched, cut;

/* Windows of any length, energies that follow nothing. */
static void random_schedule(uint64_t seed) {
    draw_seed = seed;
    draw_at = 0;
    sched = (schedule){.n_requests = 1 + pick(REQUESTS)};
    uint64_t from = SECOND * (100 + (uint64_t)pick(20)), at = from - SECOND;
    uint64_t end = random_steps(&sched, from, 2 + pick(30), 1 + pick(2), pick(3) > 0);
    while (at < end) {
        uint64_t to = at + (uint64_t)(draw(0.02, 1.5) * 1e9);
        window_add(&sched, at, to, pick(10) ? draw(0, 300) : 0);
        at = to;
    }
}

static void test_conservation(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SCHEDULES; seed++) {
        random_schedule(seed);
        outcome o = run(&sched, false);
        double all = 0, requests = 0;
        for (int i = 0; i < sched.n_windows; i++) all += sched.window[i].joules;
        for (int i = 0; i < sched.n_requests; i++) {
            assert_true(o.r[i].joules >= 0);
            requests += o.r[i].joules;
        }
        assert_true(near(requests, o.sum.requests_j, all));
        assert_true(near(o.sum.metered_j, all, all));
        assert_true(near(requests + o.sum.own_j + o.sum.idle_j, all, all));
        outcome p = run(&sched, true); /* other names, another order */
        for (int i = 0; i < sched.n_requests; i++)
            assert_true(near(o.r[i].joules, p.r[i].joules, all));
        assert_true(near(o.sum.idle_j, p.sum.idle_j, all));
    }
}

static void test_alone(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SCHEDULES; seed++) {
        draw_seed = seed;
        draw_at = 0;
        sched = (schedule){.n_requests = 1};
        bool idle = pick(2);
        uint64_t from = SECOND * (100 + (uint64_t)pick(20)), at = from;
        uint64_t end = random_steps(&sched, from, 2 + pick(30), 1, idle);
        if (!idle) /* one step begins where the last one ended: busy all the time */
            for (int i = 1; i < sched.n_steps; i++)
                sched.step[i].began_ns = sched.step[i - 1].ended_ns;
        double all = 0;
        for (; at < end; at = sched.window[sched.n_windows - 1].end_ns) {
            uint64_t to = at + (uint64_t)(draw(0.02, 1.5) * 1e9);
            if (to > end) to = end;
            double joules = draw(0, 300);
            window_add(&sched, at, to, joules);
            all += joules;
        }
        outcome o = run(&sched, false);
        assert_true(near(o.r[0].joules + o.sum.idle_j, all, all));
        if (!idle) assert_true(near(o.r[0].joules, all, all));
        if (!idle) assert_true(fabs(o.r[0].share - 1) < 1e-9);
    }
}

/* What was learned from 40 s of the same machine, then anything, with windows as they come, and
 * again with some of them cut. */
static void cut_schedule(uint64_t seed, bool learned) {
    draw_seed = seed;
    draw_at = 0;
    sched = (schedule){.n_requests = 1 + pick(REQUESTS)};
    uint64_t at = 100 * SECOND, from = at + 6 * SECOND;
    if (learned) {
        uint64_t end = random_steps(&sched, from, 250, 1, false);
        from = end + 20 * SECOND;
    }
    uint64_t end = random_steps(&sched, from, 2 + pick(30), 1, true);
    cut = sched;
    while (at < end) {
        uint64_t to = at + SECOND, mid = at + (uint64_t)(draw(0.01, 0.99) * 1e9);
        double joules = learned ? true_joules(&sched, at, to) : 70;
        window_add(&sched, at, to, joules);
        if (at < from || pick(2)) {
            window_add(&cut, at, to, joules);
        } else {
            double part = learned ? true_joules(&sched, at, mid)
                                  : joules * (double)(mid - at) / (double)(to - at);
            window_add(&cut, at, mid, part);
            window_add(&cut, mid, to, joules - part);
        }
        at = to;
    }
}

static void test_splitting(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SCHEDULES; seed++) {
        bool learned = seed % 20 == 0;
        cut_schedule(seed, learned);
        outcome o = run(&sched, false), p = run(&cut, false);
        double all = o.sum.metered_j, off = learned ? 1e-4 : 1e-9;
        assert_true(near(all, p.sum.metered_j, all));
        for (int i = 0; i < sched.n_requests; i++)
            if (fabs(o.r[i].joules - p.r[i].joules) > off * all)
                fail_msg("seed %d: %g J and %g J", (int)seed, o.r[i].joules, p.r[i].joules);
    }
}

/* ---- what is learned ---- */

/* A request with a long prompt beside one that decodes: after a while each pays for its own. */
static void test_costs_are_learned(void **state) {
    (void)state;
    draw_seed = 7;
    draw_at = 0;
    sched = (schedule){.n_requests = 4};
    uint64_t at = 100 * SECOND, end = random_steps(&sched, 106 * SECOND, 300, 1, false);
    end += 20 * SECOND;
    int first = sched.n_steps;
    for (int i = 0; i < 50; i++) {
        sched_step *s = &sched.step[sched.n_steps++];
        *s = (sched_step){.n = 2, .part = {{4, 150, 0, 15000}, {5, 0, 1, 500}}};
        s->began_ns = end;
        s->ended_ns = end += (uint64_t)(step_seconds(s) * 1e9);
    }
    sched.n_requests = 6;
    double both = 0;
    for (int i = first; i < sched.n_steps; i++) both += 120 * step_seconds(&sched.step[i]);
    for (; at < end; at += SECOND)
        window_add(&sched, at, at + SECOND, true_joules(&sched, at, at + SECOND));
    outcome o = run(&sched, false);
    assert_true(fabs(o.sum.idle_w - 20) < 1e-6);
    double a = costs[0] / 2, heavy = a + 150 * costs[1] + 15000 * costs[3];
    double light = a + costs[2] + 500 * costs[3], t = heavy + light;
    double want = 50 * (100 * light + 20 * t / 2); /* its own work, and half of what idles */
    assert_true(fabs(o.r[4].joules + o.r[5].joules - both) < 1e-3 * both);
    assert_true(fabs(o.r[5].joules - want) < 0.02 * want);
    assert_true(fabs(o.r[5].marginal_j - 50 * 100 * light) < 0.02 * want);
    double solo = 50 * 120 * (costs[0] + costs[2] + 500 * costs[3]);
    assert_true(fabs(o.r[5].solo_j - solo) < 0.02 * solo);
    assert_true(o.r[4].solo_j + o.r[5].solo_j > both); /* what company saved */
    assert_true(o.r[5].uncertainty_j < 0.2 * o.r[5].joules);
}

/* ---- what cannot be known ---- */

static void test_not_measured(void **state) {
    (void)state;
    draw_seed = 3;
    sched = (schedule){.n_requests = 3};
    for (int i = 0; i < 3; i++) /* one after the other, a second each */
        sched.step[sched.n_steps++] = (sched_step){.began_ns = (100 + (uint64_t)i) * SECOND,
                                                   .ended_ns = (101 + (uint64_t)i) * SECOND,
                                                   .n = 1,
                                                   .part = {{i, 0, 1, 1}}};
    window_add(&sched, 100 * SECOND, 101 * SECOND, 50);
    window_add(&sched, 101 * SECOND, 102 * SECOND, NAN);
    sched.window[1].why = "the counter went back";
    window_add(&sched, 102 * SECOND, 103 * SECOND, 60);
    outcome o = run(&sched, false);
    assert_true(near(o.r[0].joules, 50, 50) && near(o.r[2].joules, 60, 60));
    assert_true(isnan(o.r[1].joules) && isnan(o.r[1].uncertainty_j));
    assert_string_equal(o.r[1].why, "the counter went back");
    sched.window[0].begin_ns += SECOND / 2; /* the meter began in the middle of the first */
    o = run(&sched, false);
    assert_true(isnan(o.r[0].joules) && near(o.r[2].joules, 60, 60));
}

static void test_close(void **state) {
    (void)state;
    outcome out = {0};
    filling = &out;
    first_tag = 0;
    attribute *a = attribute_new(on_done, on_wake, NULL);
    sched_step s = {.began_ns = 1, .ended_ns = 1000, .n = 2, .part = {{0, 0, 1, 1}, {1, 0, 1, 1}}};
    tell_step(a, &s, false, false);
    tell_step(a, &s, true, false);
    attribute_end(a, &tags[0]);
    attribute_end(a, &tags[2]); /* it never ran */
    attribute_work(a);
    assert_int_equal(out.n_done, 1);
    assert_true(out.r[2].joules == 0);
    attribute_close(a);
    assert_int_equal(out.n_done, 2);
    assert_string_equal(out.r[0].why, "the meter stopped");
    attribute_end(a, &tags[1]);
    assert_int_equal(out.n_done, 3);
    assert_true(isnan(out.r[1].joules));
    attribute_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conservation), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_splitting),    cmocka_unit_test(test_costs_are_learned),
        cmocka_unit_test(test_not_measured), cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
