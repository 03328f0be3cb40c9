/* The same bytes whatever the company: threads, chunks, neighbours, reuse, preemption, kinds of
 * layers. */
#include "support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine_test.h"

enum { N = 8, CTX = 256, N_GEN = 40 };

/* Prompts of all kinds of lengths. The last three begin as the third does. */
static const int32_t lengths[N] = {1, 63, 130, 65, 200, 129, 192, 131};
static int32_t prompts[N][CTX];
static answer wanted[N], got;

static hearth_params params_of(int i) {
    hearth_params p = hearth_params_default();
    p.prompt = prompts[i];
    p.n_prompt = (size_t)lengths[i];
    p.max_tokens = N_GEN + i;
    p.ignore_eos = true;
    p.temperature = i % 3 ? 0.9f : 0.0f;
    p.top_p = 0.98f;
    p.top_k = i % 2 ? 0 : 40;
    p.repeat_penalty = i == 4 ? 1.1f : 1.0f;
    p.dry_multiplier = i == 5 ? 0.5f : 0.0f;
    p.xtc_probability = i == 7 ? 0.5f : 0.0f;
    p.mirostat = i == 2 ? 2 : 0;
    p.seed = (uint64_t)i;
    p.n_logprobs = i == 1 ? 3 : -1;
    return p;
}

static hearth_engine_options plain(void) {
    return (hearth_engine_options){.n_threads = 1, .n_ctx = CTX};
}

static void prompts_make(void) {
    for (int i = 0; i < N; i++) prompt_make(prompts[i], CTX, (uint64_t)i);
    memcpy(prompts[5], prompts[2], 128 * sizeof(int32_t));
    memcpy(prompts[6], prompts[2], 100 * sizeof(int32_t));
    memcpy(prompts[7], prompts[2], 130 * sizeof(int32_t));
}

/* Alone, afresh, one thread, in one chunk, one token at a time. */
static void want(const char *model) {
    hearth_engine_options o = plain();
    o.no_prefix_reuse = true;
    o.no_speculation = true;
    hearth_engine *g = engine_get(tiny_get(model), &o);
    prompts_make();
    for (int i = 0; i < N; i++) {
        hearth_params p = params_of(i);
        answer_get(&wanted[i], g, &p);
        assert_int_equal(wanted[i].n, N_GEN + i);
        assert_int_equal(wanted[i].usage.n_cached, 0);
        assert_int_equal(wanted[i].usage.finish, HEARTH_FINISH_LENGTH);
    }
    engine_done(g);
}

static void alone(hearth_engine *g, const char *what) {
    for (int i = 0; i < N; i++) {
        hearth_params p = params_of(i);
        answer_get(&got, g, &p);
        answer_same(&wanted[i], &got, what);
    }
}

static void together(hearth_engine *g, const char *what) {
    hearth_request *r[N];
    hearth_err e = {0};
    for (int i = 0; i < N; i++) {
        hearth_params p = params_of(i);
        if (!(r[i] = hearth_submit(g, &p, &e))) fail_msg("%s", e.msg);
    }
    for (int i = 0; i < N; i++) {
        answer_read(&got, r[i]);
        answer_same(&wanted[i], &got, what);
    }
}

static void same_bytes(const char *model) {
    static const int32_t batches[] = {1, 7, 64, 512};
    hearth_model *m = tiny_get(model);
    want(model);
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
        for (int threads = 1; threads <= 2; threads++) {
            hearth_engine_options o = plain();
            o.n_threads = threads;
            o.batch_tokens = batches[b];
            o.no_prefix_reuse = threads == 1;
            o.step_ms = b % 2 ? 1 : 0; /* chunks as long as the machine happens to allow */
            hearth_engine *g = engine_get(m, &o);
            together(g, "together");
            if (threads == 2) together(g, "together, once more");
            if (threads == 2) alone(g, "alone, with reuse");
            engine_done(g);
        }
}

static void full_attention(void **state) {
    (void)state;
    same_bytes("llama");
}

static void sliding_windows(void **state) {
    (void)state;
    same_bytes("gemma3");
}

static void sinks_and_experts(void **state) {
    (void)state;
    same_bytes("gpt-oss");
}

/* Memory for one request of full length: eight push each other out, and say what they would have
 * said. */
static void preemption(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "gemma3"};
    for (int k = 0; k < 2; k++)
        for (int no_reuse = 0; no_reuse < 2; no_reuse++) {
            hearth_model *m = tiny_get(names[k]);
            want(names[k]);
            hearth_engine_options o = plain();
            o.no_prefix_reuse = no_reuse;
            o.batch_tokens = 64;
            o.kv_bytes = engine_kv_bytes(m, o.kv, CTX, 64);
            hearth_engine *g = engine_get(m, &o);
            assert_int_equal(hearth_engine_ctx(g), CTX);
            together(g, "in little memory");
            alone(g, "alone in little memory");
            engine_done(g);
        }
}

/* Growing together to the end of the context, twice what there is memory for. */
static void preemption_while_decoding(void **state) {
    (void)state;
    hearth_model *m = tiny_get("llama");
    hearth_engine_options o = plain();
    prompts_make();
    static answer full[4];
    hearth_request *r[4];
    hearth_err e = {0};
    o.no_speculation = true;
    hearth_engine *g = engine_get(m, &o);
    hearth_params p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = params_of(i);
        p[i].max_tokens = -1;
        answer_get(&full[i], g, &p[i]);
        assert_int_equal(full[i].n + (int)p[i].n_prompt, CTX);
    }
    engine_done(g);
    o.no_speculation = false;
    o.kv_bytes = 2 * engine_kv_bytes(m, o.kv, CTX, 512);
    g = engine_get(m, &o);
    for (int i = 0; i < 4; i++) r[i] = hearth_submit(g, &p[i], &e);
    for (int i = 0; i < 4; i++) {
        answer_read(&got, r[i]);
        answer_same(&full[i], &got, "preempted while decoding");
        assert_int_equal(got.usage.n_generated, full[i].n);
    }
    assert_true(engine_preemptions(g) > 0);
    engine_done(g);
}

static void reuse_is_counted(void **state) {
    (void)state;
    hearth_engine_options o = plain();
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    prompts_make();
    hearth_params p = params_of(2);
    p.owner = "alice";
    p.max_tokens = 1;
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.n_cached, 0);
    answer_get(&got, g, &p); /* all but the last token, which must be computed for its logits */
    assert_int_equal(got.usage.n_cached, 129);
    p.owner = "bob";
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.n_cached, 0);
    p.owner = NULL;
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.n_cached, 0);
    p.owner = "alice";
    p.prompt = prompts[6];
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.n_cached, 100);
    engine_done(g);
}

/* A conversation goes on: the answer's keys and values serve the next turn. */
static void answers_are_reused(void **state) {
    (void)state;
    hearth_engine_options o = plain();
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    prompts_make();
    hearth_params p = params_of(3);
    answer_get(&got, g, &p);
    int32_t turn[CTX];
    memcpy(turn, prompts[3], (size_t)lengths[3] * sizeof *turn);
    memcpy(turn + lengths[3], got.id, (size_t)got.n * sizeof *turn);
    int32_t n = lengths[3] + got.n;
    prompt_make(turn + n, 20, 9);
    p.prompt = turn;
    p.n_prompt = (size_t)n + 20;
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.n_cached, n - 1); /* the last token drawn was never computed */
    engine_done(g);
}

/* Both are there before the first is computed: the second waits for the pages of the first. */
static void twins_compute_once(void **state) {
    (void)state;
    notes n;
    notes_init(&n);
    n.hold = HOLD_OPENED;
    n.hold_tag = 1;
    hearth_engine_options o = plain();
    o.hooks = notes_hooks(&n);
    o.batch_tokens = 64;
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    want("llama");
    hearth_params p = params_of(4);
    hearth_err e = {0};
    p.tag = tag_of(1);
    hearth_request *a = hearth_submit(g, &p, &e);
    sem_wait(&n.held);
    p.tag = tag_of(2);
    hearth_request *b = hearth_submit(g, &p, &e);
    sem_post(&n.go);
    answer_read(&got, a);
    answer_same(&wanted[4], &got, "first twin");
    assert_int_equal(got.usage.n_cached, 0);
    answer_read(&got, b);
    answer_same(&wanted[4], &got, "second twin");
    assert_true(got.usage.n_cached >= 192);
    engine_done(g);
    notes_deinit(&n);
}

static void types_of_pages(void **state) {
    (void)state;
    static const hearth_kv types[] = {HEARTH_KV_Q8, HEARTH_KV_F32};
    for (int k = 0; k < 2; k++) {
        hearth_engine_options o = plain();
        o.kv = types[k];
        prompts_make();
        hearth_engine *g = engine_get(tiny_get("llama"), &o);
        for (int i = 0; i < N; i++) {
            hearth_params p = params_of(i);
            answer_get(&wanted[i], g, &p);
        }
        together(g, "another type of pages");
        engine_done(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_attention),
        cmocka_unit_test(sliding_windows),
        cmocka_unit_test(sinks_and_experts),
        cmocka_unit_test(preemption),
        cmocka_unit_test(preemption_while_decoding),
        cmocka_unit_test(reuse_is_counted),
        cmocka_unit_test(answers_are_reused),
        cmocka_unit_test(twins_compute_once),
        cmocka_unit_test(types_of_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
