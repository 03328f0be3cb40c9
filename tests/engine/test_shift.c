/* Answers longer than the context: after each shift they say what a new request says whose prompt
 * is what was kept; alone and in company, with and without guesses, with tokens put in. */
#include <stdlib.h>
#include <string.h>

#include "engine_test.h"
#include "support/cmocka_all.h"

enum { CTX = 96, PROMPT = 20, LONG = 300 };

static answer got, part;

static hearth_engine *engine_of(bool speculate, bool reuse) {
    hearth_engine_options o = {.n_ctx = CTX,
                               .no_speculation = !speculate,
                               .no_prefix_reuse = !reuse,
                               .n_threads = 1,
                               .batch_tokens = 16};
    return engine_get(tiny_get("llama"), &o);
}

static hearth_params params_of(int32_t *ids) {
    prompt_make(ids, PROMPT, 3);
    hearth_params p = hearth_params_default();
    p.prompt = ids;
    p.n_prompt = PROMPT;
    p.ignore_eos = true;
    p.temperature = 1.2f;
    p.repeat_penalty = 1.2f;
    p.dry_multiplier = 0.8f;
    p.seed = 11;
    p.max_tokens = LONG;
    p.context_shift = true;
    return p;
}

static void as_new_requests(void **state) {
    (void)state;
    static const struct {
        int32_t n_keep, keep;
    } rows[] = {{-1, PROMPT}, {0, 0}, {4, 4}, {1000, PROMPT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t ids[PROMPT], beside[PROMPT], want[LONG];
        hearth_params p = params_of(ids);
        p.n_keep = rows[i].n_keep;
        hearth_engine *never = engine_of(false, false);
        answer_by_parts(never, p, rows[i].keep, want);
        engine_done(never);
        for (int how = 0; how < 3; how++) {
            hearth_engine *g = engine_of(how > 0, how > 0);
            hearth_params q = params_of(beside);
            hearth_err e = {0};
            q.seed = 5;
            hearth_request *other = how == 2 ? hearth_submit(g, &q, &e) : NULL;
            answer_get(&got, g, &p);
            if (other) answer_read(&part, other);
            assert_int_equal(got.n, LONG);
            assert_int_equal(got.usage.n_prompt, PROMPT);
            assert_int_equal(got.usage.n_generated, LONG);
            assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
            assert_memory_equal(got.id, want, sizeof want);
            engine_done(g);
        }
    }
}

static void without_it_the_context_ends_the_answer(void **state) {
    (void)state;
    int32_t ids[PROMPT];
    hearth_params p = params_of(ids);
    p.context_shift = false;
    p.max_tokens = -1;
    hearth_engine *g = engine_of(true, true);
    answer_get(&got, g, &p);
    assert_int_equal(got.n, CTX - PROMPT);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    engine_done(g);
}

/* What a grammar puts in may reach over the end of the context. */
static void with_tokens_that_are_put_in(void **state) {
    (void)state;
    static const char rules[] =
        "root ::= (\"one and another one, \" [0-9] \" and so on and so on; \"){40}";
    hearth_err e = {0};
    hearth_grammar *by = hearth_grammar_new(HEARTH_GRAMMAR_RULES, rules, strlen(rules), &e);
    if (!by) fail_msg("%s", e.msg);
    int32_t ids[PROMPT];
    hearth_params p = params_of(ids);
    p.grammar = by;
    p.max_tokens = MAX_OUT - 1;
    hearth_engine *g = engine_of(true, true);
    answer_get(&got, g, &p);
    assert_int_equal(got.last, 0);
    assert_true(got.usage.n_generated > 2 * CTX);
    for (size_t i = 0; i < got.n_text; i++) {
        const char *unit = "one and another one, # and so on and so on; ";
        char c = unit[i % strlen(unit)];
        if (c == '#' ? got.text[i] < '0' || got.text[i] > '9' : got.text[i] != c)
            fail_msg("byte %zu of %s", i, got.text);
    }
    engine_done(g);
    hearth_grammar_free(by);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_new_requests),
        cmocka_unit_test(without_it_the_context_ends_the_answer),
        cmocka_unit_test(with_tokens_that_are_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
