/* A draft model: how far it guesses; that answers are the same bytes with it, whoever it is, alone
 * and in company, in little memory and little context; and what it refuses. */
#include "engine/engine_private.h"
#include "engine_test.h"

#include "quant/quant.h"
#include "support/cmocka_all.h"
#include "support/tiny.h"

#define CTX 256
#define KINDS 6

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

static answer wanted[KINDS], got;
static int32_t prompts[KINDS][CTX];
static const int32_t lengths[KINDS] = {3, 64, 100, 17, 130, 63};
static int drafted, accepted;

static hearth_params params_of(int i) {
    hearth_params p = hearth_params_default();
    prompt_make(prompts[i], lengths[i], (uint64_t)(100 + i));
    p.prompt = prompts[i];
    p.n_prompt = (size_t)lengths[i];
    p.max_tokens = 60 + i;
    p.ignore_eos = true;
    p.temperature = i % 3 == 0 ? 0.0f : 0.7f;
    p.seed = (uint64_t)i;
    p.repeat_penalty = i == 4 ? 1.1f : 1.0f;
    p.mirostat = i == 5 ? 2 : 0;
    p.n_logprobs = i == 1 ? 2 : -1;
    return p;
}

static void check(int i, const char *what) {
    answer_same(&wanted[i], &got, what);
    drafted += got.usage.n_drafted;
    accepted += got.usage.n_accepted;
}

/* A row more costs little, whatever the machine is doing: how far guesses go is the same each
 * time. */
static const cost cheap = {.coef = {1, 0.03, 0, 0}, .fixed = true};

static void same_bytes(const char *name, const char *by, const cost *fixed) {
    static const int32_t batches[] = {1, 12, 512};
    hearth_model *m = tiny_get(name);
    drafted = accepted = 0;
    hearth_engine_options o = {
        .n_threads = 1, .n_ctx = CTX, .no_prefix_reuse = true, .no_speculation = true};
    hearth_engine *g = engine_get(m, &o);
    for (int i = 0; i < KINDS; i++) {
        hearth_params p = params_of(i);
        answer_get(&wanted[i], g, &p);
    }
    engine_done(g);
    o.no_speculation = false;
    o.draft = tiny_get(by);
    for (int k = 0; k < 6; k++) {
        o.batch_tokens = batches[k % 3];
        o.n_threads = 1 + k / 3;
        o.no_prefix_reuse = k % 2;
        o.max_requests = k == 4 ? 2 : 0;
        o.kv_bytes = k == 5 ? engine_kv_bytes(m, o.kv, CTX, o.batch_tokens) : 0;
        g = engine_get(m, &o);
        if (fixed) g->cost = *fixed; /* its thread sleeps until there is a request */
        answers_check(g, KINDS, params_of, &got, check, by);
        engine_done(g);
    }
}

static void by_itself(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "gemma3", "gpt-oss"};
    for (int i = 0; i < 3; i++) {
        /* With the costs as they are, a model that costs as much is soon given a rest. */
        same_bytes(names[i], names[i], NULL);
        same_bytes(names[i], names[i], &cheap);
        if (accepted < 20 || accepted < drafted / 2)
            fail_msg("%s: %d of %d guesses right", names[i], accepted, drafted);
    }
}

static void by_one_that_knows_nothing(void **state) {
    (void)state;
    same_bytes("qwen3", "llama", NULL);
    if (drafted - accepted < 20) fail_msg("%d of %d guesses right", accepted, drafted);
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
