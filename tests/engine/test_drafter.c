/* A draft model: how far it guesses; that answers are the same bytes with it, whoever it is, alone
 * and in company, in little memory and little context; and what it refuses. */
#include "engine/engine_private.h"
#include "engine_test.h"

#include "quant/quant.h"
#include "support/cmocka_all.h"
#include "support/tiny.h"

#define CTX GUESSED_CTX

/* ---- how far ---- */

static void guesses_go_as_far_as_they_pay(void **state) {
    (void)state;
    hearth_model *m = tiny_get("llama");
    err e = {0};
    const double guess[COST_TERMS] = {1.0, 0.01, 0, 0.01}; /* a step costs 1, a row little */
    cost c;
    cost_init(&c, guess);
    team *t = team_new(1, &e);
    drafter *d = drafter_new(m->inner, m->inner, t, KERN_KV_F16, CTX, 64, 2, &e);
    if (!d) fail_msg("%s", e.msg);
    drafter_seq s = {0};
    int32_t first = drafter_most(d, &s, 10, 10, &c);
    assert_in_range(first, 1, 5);
    for (int i = 0; i < 30; i++) pace_learn(&s.pace, 4, 4);
    assert_int_equal(drafter_most(d, &s, 10, 10, &c), 10); /* always right: all that may be */
    assert_int_equal(drafter_most(d, &s, 10, 3, &c), 3);
    assert_int_equal(drafter_most(d, &s, CTX - 3, 10, &c), 2); /* its context ends */
    assert_int_equal(drafter_most(d, &s, CTX - 1, 10, &c), 0);
    for (int i = 0; i < 60; i++) pace_learn(&s.pace, 4, 0);
    assert_int_equal(drafter_most(d, &s, 20, 10, &c), 0); /* always wrong: it rests */
    int32_t n = 21, rests = 0;
    while (drafter_most(d, &s, n, 10, &c) == 0) n++;
    assert_in_range(n, 40, 80);
    for (rests = 1; drafter_most(d, &s, n + rests, 10, &c) == 0; rests++) continue;
    assert_in_range(rests, 60, 80); /* twice as long */
    /* What is right again brings it back. */
    for (int i = 0; i < 30; i++) pace_learn(&s.pace, 2, 2);
    s.pace.rest_until = 0;
    assert_true(drafter_most(d, &s, 150, 10, &c) > 2);
    drafter_leave(d, &s);
    drafter_free(d);
    team_free(t);
}

/* ---- the same bytes ---- */

/* A row more costs little, whatever the machine is doing: how far guesses go is the same each
 * time. */
static const cost cheap = {.coef = {1, 0.03, 0, 0}, .fixed = true};

static void make_cheap(hearth_engine *g, bool guesses) {
    if (guesses) g->cost = cheap; /* its thread sleeps until there is a request */
}

static guess_tally same_bytes(const char *name, const char *by, bool is_cheap) {
    hearth_engine_options o = {.draft = tiny_get(by)};
    return guessed_check(tiny_get(name), o, guessed_params, is_cheap ? make_cheap : NULL, by);
}

static void by_itself(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "gemma3", "gpt-oss"};
    for (int i = 0; i < 3; i++) {
        /* With the costs as they are, a model that costs as much is soon given a rest. */
        same_bytes(names[i], names[i], false);
        guess_tally n = same_bytes(names[i], names[i], true);
        if (n.accepted < 20 || n.accepted < n.drafted / 2)
            fail_msg("%s: %d of %d guesses right", names[i], n.accepted, n.drafted);
    }
}

static void by_one_that_knows_nothing(void **state) {
    (void)state;
    guess_tally n = same_bytes("qwen3", "llama", false);
    if (n.drafted - n.accepted < 20) fail_msg("%d of %d guesses right", n.accepted, n.drafted);
}

/* ---- what is refused ---- */

static void refusals(void **state) {
    (void)state;
    hearth_err e = {0};
    hearth_engine_options o = {.n_threads = 1, .n_ctx = CTX, .draft = tiny_get("bert")};
    assert_null(hearth_engine_new(tiny_get("llama"), &o, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.msg, "cannot draft"));
    /* The same but for the text of one token. */
    buf b;
    err inner = {0};
    buf_init(&b, 64u << 20);
    if (!tiny_model_build("llama", QUANT_Q8_0, &b, &inner)) fail_msg("%s", inner.msg);
    gguf *g = gguf_open_memory(b.data, b.len, "other", &inner);
    const gguf_kv *list = gguf_find(g, "tokenizer.ggml.tokens");
    str token = {0};
    for (uint64_t i = list->n; i-- > 0 && token.n < 2;)
        assert_true(gguf_item_str(list, g, i, &token));
    assert_true(token.n >= 2);
    b.data[token.p - b.data + (ptrdiff_t)token.n - 1] = '~';
    gguf_close(g);
    o.draft = hearth_model_open_memory(b.data, b.len, "other", NULL, &e);
    if (!o.draft) fail_msg("%s", e.msg);
    assert_null(hearth_engine_new(tiny_get("llama"), &o, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.msg, "some tokens are other texts"));
    /* Nobody asks it where nothing is guessed. */
    o.no_speculation = true;
    engine_done(engine_get(tiny_get("llama"), &o));
    hearth_model_close(o.draft);
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guesses_go_as_far_as_they_pay),
        cmocka_unit_test(by_itself),
        cmocka_unit_test(by_one_that_knows_nothing),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
