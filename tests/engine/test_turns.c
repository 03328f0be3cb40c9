/* Shares and steps without an engine: costs are a line that the test knows, time is what they add
 * up to. And with one: owners of unequal size and number, by tokens served. */
#include "support/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/engine_private.h"
#include "engine/engine_test.h"

/* 20 ms to read the weights, 1 ms a row, 1 us a position looked back on, 0.5 ms a draw. */
static const double truth[COST_TERMS] = {0.020, 0.001, 1e-6, 0.0005};

static cost known(void) {
    cost c;
    cost_init(&c, truth);
    c.fixed = true;
    return c;
}

static double noise(uint64_t i) {
    return 1 + 0.1 * (2 * rng_f64(5, 1, i) - 1);
}

/* ---- what a step costs ---- */

static cost_shape some_shape(uint64_t i) {
    cost_shape s = {0};
    int decodes = (int)(rng_u64(5, 2, i) % 9), rows = (int)(rng_u64(5, 3, i) % 200);
    for (int k = 0; k < decodes; k++) cost_add_rows(&s, (int)(rng_u64(5, 4, i) % 4000), 1);
    if (i % 3) cost_add_rows(&s, (int)(rng_u64(5, 6, i) % 8000), rows + 1);
    s.draws = decodes + (i % 3 == 1);
    if (s.rows == 0) cost_add_rows(&s, 0, 1);
    return s;
}

static double worst_of(const cost *c, const cost *wanted) {
    double worst = 0;
    for (uint64_t i = 1000; i < 1300; i++) {
        cost_shape s = some_shape(i);
        double off = fabs(cost_of(c, &s) / cost_of(wanted, &s) - 1);
        if (off > worst) worst = off;
    }
    return worst;
}

static void costs_are_learnt(void **state) {
    (void)state;
    static const double guess[COST_TERMS] = {0.3, 0.02, 1e-5, 1e-4}; /* far off */
    cost t = known(), c;
    cost_init(&c, guess);
    for (uint64_t i = 0; i < 150; i++) {
        cost_shape s = some_shape(i);
        double seconds = cost_of(&t, &s) * noise(i);
        if (i % 20 == 7) seconds *= 15; /* the machine did something else */
        cost_learn(&c, &s, seconds);
    }
    print_message("off by at most %.2f\n", worst_of(&c, &t));
    assert_true(worst_of(&c, &t) < 0.25);
    for (int i = 0; i < COST_TERMS; i++) t.coef[i] *= 3; /* another program takes its share */
    for (uint64_t i = 0; i < 150; i++) {
        cost_shape s = some_shape(i + 300);
        cost_learn(&c, &s, cost_of(&t, &s) * noise(i));
    }
    print_message("off by at most %.2f\n", worst_of(&c, &t));
    assert_true(worst_of(&c, &t) < 0.15);
}

/* Steps that are all alike say nothing of the terms apart, and nothing becomes absurd. */
static void like_steps_spoil_nothing(void **state) {
    (void)state;
    static const double guess[COST_TERMS] = {0.01, 0.002, 2e-6, 1e-3};
    cost t = known(), c;
    cost_init(&c, guess);
    cost_shape one = {0};
    cost_add_rows(&one, 100, 1);
    one.draws = 1;
    for (uint64_t i = 0; i < 2000; i++) cost_learn(&c, &one, cost_of(&t, &one) * noise(i));
    assert_true(fabs(cost_of(&c, &one) / cost_of(&t, &one) - 1) < 0.1);
    cost_shape many = {0};
    cost_add_rows(&many, 0, 500);
    double s = cost_of(&c, &many);
    assert_true(s > 0.5 * 0.52 && s < 4 * 0.52);
    for (int i = 0; i < COST_TERMS; i++) assert_true(c.coef[i] >= 0);
    cost_learn(&c, &one, 0);
    cost_learn(&c, &one, NAN);
    assert_true(isfinite(cost_of(&c, &many)));
}

static void rows_fit_the_time(void **state) {
    (void)state;
    cost c = known();
    cost_shape s = {0};
    for (int pos = 0; pos < 20000; pos += 1777)
        for (int most = 0; most < 600; most += 37) {
            int n = cost_rows_within(&c, &s, pos, most, 0.1);
            cost_shape with = s, more = s;
            cost_add_rows(&with, pos, n);
            cost_add_rows(&more, pos, n + 1);
            assert_true(n <= most && (n == 0 || cost_of(&c, &with) <= 0.1));
            assert_true(n == most || cost_of(&c, &more) > 0.1);
        }
}

/* ---- one step ---- */

enum { MOST = 64 };
static turns t;
static turns_item item[MOST];
static turns_owner *owner[MOST];

static void owners_make(int n, const int32_t *weight) {
    char name[16];
    turns_init(&t, 4000);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "o%d", i);
        owner[i] = turns_join(&t, name, weight ? weight[i] : 0);
        assert_non_null(owner[i]);
    }
}

static turns_limits limits(void) {
    return (turns_limits){.rows = 512, .page = 64, .decode_s = 0.1, .idle_s = 0.5};
}

static double step_seconds(const cost *c, int32_t n) {
    cost_shape s = {0};
    for (int32_t i = 0; i < n; i++) {
        cost_add_rows(&s, item[i].pos, item[i].rows);
        s.draws += item[i].rows == item[i].rest;
    }
    return cost_of(c, &s);
}

static int32_t rows_of(int32_t n) {
    int32_t rows = 0;
    for (int32_t i = 0; i < n; i++) rows += item[i].rows;
    return rows;
}

/* Seconds of the decodes with the least rows of prefill at the beginning of a text. */
static double least_of(const cost *c, int32_t n, int32_t least) {
    cost_shape s = {0};
    for (int32_t i = 0; i < n; i++) {
        if (item[i].rest != 1) continue;
        cost_add_rows(&s, item[i].pos, 1);
        s.draws++;
    }
    cost_add_rows(&s, 0, least);
    return cost_of(c, &s);
}

static void steps_keep_their_time(void **state) {
    (void)state;
    cost c = known();
    turns_limits l = limits();
    owners_make(4, NULL);
    for (uint64_t round = 0; round < 500; round++) {
        int32_t n = 1 + (int32_t)(rng_u64(6, 1, round) % 12), decodes = 0, want = 0;
        for (int32_t i = 0; i < n; i++) {
            uint64_t r = rng_u64(6, 2 + (uint64_t)i, round);
            item[i] = (turns_item){.owner = owner[r % 4], .pos = (int32_t)(r % 9000)};
            item[i].rest = r % 3 ? 1 : 1 + (int32_t)(r / 3 % 3000);
            decodes += item[i].rest == 1;
            want += item[i].rest;
        }
        turns_plan(&t, item, n, &c, &l);
        int32_t rows = rows_of(n), least = decodes ? TURNS_LEAST_BESIDE : TURNS_LEAST_IDLE;
        double seconds = step_seconds(&c, n);
        for (int32_t i = 0; i < n; i++) {
            assert_true(item[i].rows >= 0 && item[i].rows <= item[i].rest);
            if (item[i].rest == 1) assert_int_equal(item[i].rows, 1);
        }
        assert_true(rows <= 512);
        /* at most the limit, or the least rows at the beginning of a text, or one row */
        double limit = decodes ? l.decode_s : l.idle_s, usual = least_of(&c, n, least);
        bool ends = false; /* then a step without decodes is as short as one with them */
        for (int32_t i = 0; i < n; i++) ends |= item[i].rest > 1 && item[i].rows == item[i].rest;
        if (seconds > limit && seconds > usual + 1e-9 && rows - decodes > 1)
            fail_msg("round %d: %d rows beside %d decodes take %.3f s", (int)round, rows, decodes,
                     seconds);
        /* and are not shorter than they need be: less a row that looks far back */
        double shortest = ends ? l.decode_s : limit;
        if (rows < want && rows < 512) assert_true(rows > decodes && seconds > shortest - 0.015);
    }
    turns_deinit(&t);
}

/* A question of 90 tokens beside a long text of another owner and somebody who decodes. It takes
 * several steps, in which the text gets nothing, though its owner's account is behind. */
static void short_questions_are_one_turn(void **state) {
    (void)state;
    cost c = known();
    turns_limits l = limits();
    int32_t pos = 0, steps = 0;
    owners_make(3, NULL);
    c.coef[1] = 0.003;
    turns_charge(owner[0], 10);
    while (pos < 90) {
        item[0] = (turns_item){.owner = owner[0], .pos = 4000, .rest = 9000};
        item[1] = (turns_item){.owner = owner[1], .pos = pos, .rest = 90 - pos};
        item[2] = (turns_item){.owner = owner[2], .pos = 300, .rest = 1};
        turns_plan(&t, item, 3, &c, &l);
        assert_true(item[1].rows > 0);
        pos += item[1].rows;
        if (pos < 90) assert_int_equal(item[0].rows, 0);
        steps++;
    }
    assert_true(steps > 2 && owner[1]->work > 50 && !owner[1]->ending);
    item[0] = (turns_item){.owner = owner[0], .pos = 4000, .rest = 9000};
    item[1] = (turns_item){.owner = owner[1], .rest = 90}; /* the next one waits for its turn */
    turns_plan(&t, item, 2, &c, &l);
    assert_true(item[0].rows > 0 && item[1].rows == 0);
    turns_deinit(&t);
}

/* While nobody decodes steps are long; but who asks something short need not wait for the end of
 * such a step to hear its first token. */
static void long_steps_end_with_a_prompt(void **state) {
    (void)state;
    cost c = known();
    turns_limits l = limits();
    owners_make(2, NULL);
    for (int silent = 0; silent < 2; silent++) {
        owner[0]->work = 1e6;
        item[0] = (turns_item){.owner = owner[0], .rest = 9000};
        item[1] = (turns_item){.owner = owner[1], .rest = 45, .silent = silent};
        turns_plan(&t, item, 2, &c, &l);
        assert_int_equal(item[1].rows, 45);
        double seconds = step_seconds(&c, 2);
        assert_true(silent ? seconds > l.idle_s - 0.015 : seconds <= l.decode_s + 1e-9);
    }
    turns_deinit(&t);
}

/* A prompt of which most is done: each of its rows takes a tenth of a second and more, and who
 * decodes beside it is not held up by eight of them. */
static void far_rows_are_few(void **state) {
    (void)state;
    cost c = known();
    turns_limits l = limits();
    owners_make(2, NULL);
    for (int32_t decodes = 0; decodes < 2; decodes++) {
        item[0] = (turns_item){.owner = owner[0], .pos = 128000, .rest = 3000};
        item[1] = (turns_item){.owner = owner[1], .pos = 100, .rest = 1};
        turns_plan(&t, item, 1 + decodes, &c, &l);
        turns_item *far = item[0].pos == 100 ? &item[1] : &item[0];
        assert_int_equal(far->rows, decodes ? 1 : 3); /* it goes on, and 128 would take 17 s */
        assert_true(step_seconds(&c, 1 + decodes) < (decodes ? 0.2 : 0.5));
    }
    item[0] = (turns_item){.owner = owner[0], .pos = 0, .rest = 3000};
    c.coef[1] = 0.1; /* a large model: the least at the beginning of a text, as ever */
    turns_plan(&t, item, 1, &c, &l);
    assert_int_equal(item[0].rows, TURNS_LEAST_IDLE);
    turns_deinit(&t);
}

/* Everybody has prefill without end; the first owner has ten times as many requests. */
static void shares_follow_weights(void **state) {
    (void)state;
    static const int32_t weight[8] = {1, 1, 1, 1, 3, 1, 1, 2};
    cost c = known();
    turns_limits l = limits();
    owners_make(8, weight);
    double served[8] = {0};
    int32_t n = 17, who[17];
    for (int32_t i = 0; i < n; i++) who[i] = i < 10 ? 0 : i - 9;
    static int32_t pos[17];
    for (int step = 0; step < 3000; step++) {
        for (int32_t i = 0; i < n; i++)
            item[i] = (turns_item){
                .owner = owner[who[i]], .who = &pos[i], .pos = pos[i], .rest = 4000 - pos[i]};
        turns_plan(&t, item, n, &c, &l);
        for (int32_t i = 0; i < n; i++) {
            int32_t k = (int32_t)((int32_t *)item[i].who - pos);
            pos[k] = (pos[k] + item[i].rows) % 3990;
            served[who[k]] += item[i].rows;
        }
    }
    for (int i = 1; i < 8; i++) {
        double share = served[i] / weight[i] / served[0];
        if (share < 0.9 || share > 1.1)
            fail_msg("owner %d of weight %d was served %.0f rows, the first %.0f", i, weight[i],
                     served[i], served[0]);
    }
    turns_deinit(&t);
}

/* Short requests without end beside a long one of the same owner. */
static void the_long_one_grows_old(void **state) {
    (void)state;
    cost c = known();
    turns_limits l = limits();
    owners_make(1, NULL);
    int32_t pos = 0;
    uint64_t passed = 0, others = 0;
    while (pos < 3000) {
        item[0] = (turns_item){.owner = owner[0], .rest = 3000 - pos, .pos = pos, .passed = passed};
        for (int i = 1; i < 4; i++) item[i] = (turns_item){.owner = owner[0], .rest = 400};
        turns_plan(&t, item, 4, &c, &l);
        int at = 0;
        while (item[at].rest == 400) at++;
        pos += item[at].rows;
        passed = item[at].passed;
        others += (uint64_t)(rows_of(4) - item[at].rows);
        if (others > 3 * 3000) fail_msg("passed over by %d rows", (int)others);
    }
    assert_true(others > 3000); /* the short ones went first all the same */
    turns_deinit(&t);
}

static void a_pause_earns_nothing(void **state) {
    (void)state;
    owners_make(2, NULL);
    turns_charge(owner[0], 1000);
    turns_charge(owner[1], 5000);
    turns_leave(&t, owner[1]);
    turns_owner *back = turns_join(&t, "o1", 0); /* nor does it make one forget */
    assert_true(back->work >= 5000);
    turns_owner *fresh = turns_join(&t, "new", 0);
    assert_true(fresh->work >= 1000 && fresh->work < 5000);
    turns_leave(&t, back);
    turns_charge(owner[0], 9000);
    turns_charge(fresh, 9000);
    turns_join(&t, "another", 0);
    for (const turns_owner *o = t.first; o; o = o->next) assert_string_not_equal(o->name, "o1");
    turns_deinit(&t);
}

/* ---- in an engine ---- */

enum { OWNERS = 8, LOUD = 100, QUIET = 10, ALL = LOUD + (OWNERS - 1) * QUIET };

typedef struct tally {
    int owner[ALL + 1];
    bool begun[ALL + 1];
    int32_t seen[ALL + 1];
    int to_begin[OWNERS];
    double tokens[OWNERS];
    bool closed; /* somebody has nothing waiting any more */
    sem_t held, go;
} tally;

static void on_opened(void *ud, void *tag, int32_t n_prompt) {
    tally *y = ud;
    (void)n_prompt;
    if ((intptr_t)tag != 1) return;
    sem_post(&y->held);
    sem_wait(&y->go);
}

static void on_progress(void *ud, void *tag, int32_t prefilled, int32_t generated) {
    tally *y = ud;
    intptr_t i = (intptr_t)tag;
    int o = y->owner[i];
    if (!y->begun[i] && --y->to_begin[o] == 0) y->closed = true;
    y->begun[i] = true;
    if (y->closed) return;
    y->tokens[o] += prefilled + generated - y->seen[i];
    y->seen[i] = prefilled + generated;
}

/* One owner sends ten times as much as the others; and another's requests are five times as long
 * as theirs, so that turns by requests would not do. */
static void owners_are_served_alike(void **state) {
    (void)state;
    static tally y;
    static hearth_request *r[ALL + 1];
    static int32_t words[200];
    memset(&y, 0, sizeof y);
    sem_init(&y.held, 0, 0);
    sem_init(&y.go, 0, 0);
    hearth_engine_options o = {.n_threads = 1,
                               .max_requests = 12,
                               .no_prefix_reuse = true,
                               .hooks = {.ud = &y, .opened = on_opened, .progress = on_progress}};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    g->cost = known(); /* nothing depends on how fast this machine is */
    char name[16];
    for (int i = 1; i <= ALL; i++) {
        int who = i <= LOUD ? 0 : 1 + (i - LOUD - 1) % (OWNERS - 1);
        prompt_make(words, 200, (uint64_t)i);
        hearth_params p = hearth_params_default();
        p.prompt = words;
        p.n_prompt = who == 3 ? 150 : 30;
        p.max_tokens = 8;
        p.ignore_eos = true;
        p.tag = tag_of(i);
        snprintf(name, sizeof name, "owner %d", who);
        p.owner = name;
        y.owner[i] = who;
        y.to_begin[who]++;
        hearth_err e = {0};
        if (!(r[i] = hearth_submit(g, &p, &e))) fail_msg("%s", e.msg);
        if (i == 1) sem_wait(&y.held);
    }
    sem_post(&y.go);
    hearth_token token;
    for (int i = 1; i <= ALL; i++) {
        while (hearth_next(r[i], &token, NULL) == 1) continue;
        hearth_request_free(r[i]);
    }
    double least = INFINITY, most = 0;
    for (int i = 0; i < OWNERS; i++) {
        if (y.tokens[i] < least) least = y.tokens[i];
        if (y.tokens[i] > most) most = y.tokens[i];
    }
    assert_true(least > 100); /* it went on for a while */
    if (most > 1.5 * least) fail_msg("one was served %.0f tokens, another %.0f", most, least);
    engine_done(g);
    sem_destroy(&y.held);
    sem_destroy(&y.go);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_learnt),
        cmocka_unit_test(like_steps_spoil_nothing),
        cmocka_unit_test(rows_fit_the_time),
        cmocka_unit_test(steps_keep_their_time),
        cmocka_unit_test(shares_follow_weights),
        cmocka_unit_test(the_long_one_grows_old),
        cmocka_unit_test(far_rows_are_few),
        cmocka_unit_test(a_pause_earns_nothing),
        cmocka_unit_test(owners_are_served_alike),
        cmocka_unit_test(short_questions_are_one_turn),
        cmocka_unit_test(long_steps_end_with_a_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
