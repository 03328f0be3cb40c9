/* What the engine tells a meter of its steps: each one twice, every row once, before anybody whom
 * it was for is settled. */
#include <string.h>

#include "engine/engine_test.h"
#include "support/cmocka_all.h"

#define N 6

typedef struct steps {
    uint64_t began_ns, ended_ns; /* of the last step; ended_ns 0: it runs */
    int n_steps;
    int32_t prefill[N + 1], decode[N + 1]; /* by tag; 0: the engine's own */
    double context[N + 1];
    bool settled[N + 1], broken;
} steps;

static void on_step(void *ud, const hearth_step *s) {
    steps *t = ud;
    if (s->ended_ns == 0) {
        t->broken |= t->n_steps > 0 && (t->ended_ns == 0 || s->began_ns < t->ended_ns);
        t->began_ns = s->began_ns;
        t->ended_ns = 0;
        t->n_steps++;
        return;
    }
    t->broken |= t->ended_ns != 0 || s->began_ns != t->began_ns || s->ended_ns <= s->began_ns;
    t->ended_ns = s->ended_ns;
    t->broken |= s->n_parts < 1 || s->n_parts > N || !s->engine;
    for (int32_t i = 0; i < s->n_parts; i++) {
        size_t who = (size_t)s->part[i].tag;
        t->broken |= who > N || t->settled[who];
        t->prefill[who] += s->part[i].n_prefill;
        t->decode[who] += s->part[i].n_decode;
        t->context[who] += s->part[i].n_context;
    }
}

static void on_settled(void *ud, void *tag, const hearth_usage *u) {
    steps *t = ud;
    (void)u;
    t->settled[(size_t)tag] = true;
}

static void every_row_is_told_once(void **state) {
    (void)state;
    static steps t;
    hearth_engine_options o = {.n_threads = 2,
                               .max_requests = 3,
                               .batch_tokens = 24,
                               .no_prefix_reuse = true,
                               .no_speculation = true,
                               .hooks = {.ud = &t, .settled = on_settled, .step = on_step}};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    hearth_request *r[N + 1];
    int32_t ids[64];
    for (int i = 1; i <= N; i++) {
        hearth_params p = hearth_params_default();
        prompt_make(ids, 64, (uint64_t)i);
        p.prompt = ids;
        p.n_prompt = (size_t)(7 * i);
        p.max_tokens = 3 + i;
        p.ignore_eos = true;
        p.tag = (void *)(size_t)i;
        hearth_err e = {0};
        r[i] = hearth_submit(g, &p, &e);
        assert_non_null(r[i]);
    }
    static answer a;
    for (int i = 1; i <= N; i++) {
        answer_read(&a, r[i]);
        int n = 7 * i, last = n + a.usage.n_generated - 1; /* the last token is never computed */
        assert_int_equal(t.prefill[i], n);
        assert_int_equal(t.decode[i], last - n);
        assert_true(t.context[i] == (double)last * (last + 1) / 2);
    }
    engine_done(g);
    assert_false(t.broken);
    assert_true(t.ended_ns > 0 && t.n_steps > N);
}

/* Work that is nobody's has no tag. */
static void pins_are_the_engines_own(void **state) {
    (void)state;
    static steps t;
    hearth_engine_options o = {.n_threads = 1, .hooks = {.ud = &t, .step = on_step}};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    int32_t ids[64];
    prompt_make(ids, 64, 3);
    hearth_err e = {0};
    assert_true(hearth_engine_pin(g, ids, 64, NULL, 0, &e));
    assert_int_equal(t.prefill[0], 64);
    hearth_engine_free(g);
    assert_false(t.broken);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_told_once),
        cmocka_unit_test(pins_are_the_engines_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
