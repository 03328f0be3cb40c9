/* Tokens that are put in instead of being drawn: what a grammar leaves no choice about, and what
 * closes a thought. The answer is the same with and without guesses, alone and in company, and when
 * probabilities are asked for. */
#include <stdlib.h>
#include <string.h>

#include "engine_test.h"
#include "support/cmocka_all.h"

static answer plain, got;

static hearth_grammar *grammar_of(const char *rules) {
    hearth_err e = {0};
    hearth_grammar *g = hearth_grammar_new(HEARTH_GRAMMAR_RULES, rules, strlen(rules), &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static hearth_params params_of(int32_t *ids, uint64_t seed, int32_t max_tokens) {
    prompt_make(ids, 20, seed);
    hearth_params p = hearth_params_default();
    p.prompt = ids;
    p.n_prompt = 20;
    p.max_tokens = max_tokens;
    p.temperature = 1.5f;
    p.seed = seed;
    return p;
}

static hearth_engine *engine_plain(bool speculate, int n_threads) {
    hearth_engine_options o = {
        .n_ctx = 256, .no_speculation = !speculate, .n_threads = n_threads, .batch_tokens = 16};
    return engine_get(tiny_get("llama"), &o);
}

static const char keys[] =
    "root ::= \"<call>\" %json {\"type\":\"object\",\"properties\":{\"first_name\":{\"type\":"
    "\"string\",\"maxLength\":4},\"last_name\":{\"type\":\"string\",\"maxLength\":4},\"colour\":{"
    "\"enum\":[\"red and blue\",\"green\"]}},\"required\":[\"first_name\",\"last_name\","
    "\"colour\"],\"additionalProperties\":false} \"</call>\"";

static void keys_are_put_in(void **state) {
    (void)state;
    hearth_grammar *rules = grammar_of(keys);
    int32_t ids[20], ids2[20];
    hearth_params p = params_of(ids, 5, 200);
    p.grammar = rules;
    hearth_engine *g = engine_plain(false, 1);
    answer_get(&plain, g, &p);
    assert_int_equal(plain.usage.finish, HEARTH_FINISH_END);
    assert_memory_equal(plain.text, "<call>{", 7);
    assert_non_null(strstr(plain.text, "\"last_name\":"));
    assert_string_equal(plain.text + plain.n_text - 8, "}</call>");
    hearth_stats s;
    hearth_engine_stats(g, &s);
    if (s.n_steps * 2 > (uint64_t)plain.n)
        fail_msg("%d tokens took %llu steps", plain.n, (unsigned long long)s.n_steps);
    assert_int_equal(s.n_prefilled, 20);

    p.n_logprobs = 0; /* each token needs a row of its own then */
    answer_get(&got, g, &p);
    answer_same(&plain, &got, "with probabilities");
    for (int i = 0; i < got.n; i++) assert_true(got.logprob[i] <= 0);
    p.n_logprobs = -1;
    engine_done(g);

    for (int threads = 1; threads <= 2; threads++) {
        g = engine_plain(true, threads);
        hearth_err e = {0};
        hearth_params q = params_of(ids2, 9, 200);
        hearth_request *beside = hearth_submit(g, &q, &e);
        assert_non_null(beside);
        answer_get(&got, g, &p);
        answer_same(&plain, &got, "with guesses, in company");
        answer_get(&got, g, &p);
        answer_same(&plain, &got, "again");
        hearth_cancel(beside);
        answer_read(&got, beside);
        engine_done(g);
    }
    hearth_grammar_free(rules);
}

/* Where an answer may go on after a limit of tokens. */
static void limits_hold(void **state) {
    (void)state;
    hearth_grammar *rules = grammar_of(keys);
    int32_t ids[20];
    hearth_engine *g = engine_plain(true, 1);
    for (int32_t most = 1; most < 30; most++) {
        hearth_params p = params_of(ids, 5, most);
        p.grammar = rules;
        answer_get(&got, g, &p);
        assert_int_equal(got.n, most);
        assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
        assert_memory_equal(got.id, plain.id, (size_t)most * sizeof *got.id);
    }
    engine_done(g);
    hearth_grammar_free(rules);
}

static void thoughts_are_closed(void **state) {
    (void)state;
    static const char close[] = "\n</think>\n\n";
    int32_t ids[20];
    hearth_engine *g = engine_plain(true, 1);
    hearth_params p = params_of(ids, 3, 60);
    p.ignore_eos = true;
    answer_get(&plain, g, &p);
    for (int32_t budget = 0; budget <= 8; budget += 4) {
        p.thought_budget = budget;
        p.thought_open = true;
        p.thought_end = "</think>";
        p.thought_close = close;
        answer_get(&got, g, &p);
        assert_int_equal(got.n, 60);
        assert_memory_equal(got.id, plain.id, (size_t)budget * sizeof *got.id);
        const char *at = strstr(got.text, close);
        assert_non_null(at);
        assert_null(strstr(at + 1, close)); /* once */
    }
    p.thought_open = false; /* it never begins one */
    p.thought_begin = "<think>";
    answer_get(&got, g, &p);
    answer_same(&plain, &got, "no thought");
    engine_done(g);
}

/* The model's own end of a thought is one; what follows obeys the rules either way. */
static void thoughts_before_rules(void **state) {
    (void)state;
    int32_t ids[20];
    hearth_engine *g = engine_plain(true, 1);
    hearth_params p = params_of(ids, 3, 200);
    hearth_grammar *rules = grammar_of(
        "root ::= %except(\"</think>\") \"</think>\" [\\n]* %json {\"const\":\"xy\"}");
    p.grammar = rules;
    p.thought_budget = 10;
    p.thought_open = true;
    p.thought_end = "</think>";
    p.thought_close = "</think>\n";
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_END);
    const char *end = strstr(got.text, "</think>");
    assert_non_null(end);
    assert_string_equal(strchr(end, '"'), "\"xy\"");
    hearth_grammar_free(rules);
    p.grammar = rules = grammar_of("root ::= \"abc</think>\" [a-z]{40}");
    answer_get(&got, g, &p);
    assert_memory_equal(got.text, "abc</think>", 11);
    assert_null(strstr(got.text + 11, "</think>"));
    hearth_grammar_free(rules);
    p.grammar = NULL;
    p.thought_close = NULL;
    hearth_err e = {0};
    assert_null(hearth_submit(g, &p, &e));
    assert_int_equal(e.code, HEARTH_USAGE);
    engine_done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_put_in),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(thoughts_are_closed),
        cmocka_unit_test(thoughts_before_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
