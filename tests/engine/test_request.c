/* Requests one by one: how they end, what is refused, what the hooks hear, who is next. */
#include "support/cmocka_all.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "engine/engine_test.h"
#include "gguf/gguf.h"
#include "quant/quant.h"
#include "support/tiny.h"

enum { CTX = 256 };

static int32_t prompt[2 * CTX];
static answer got, other;

static int setup(void **state) {
    prompt_make(prompt, 2 * CTX, 1);
    return heard_setup(state);
}

static hearth_params params_of(int tag, int32_t n_prompt, int32_t max_tokens) {
    hearth_params p = hearth_params_default();
    p.prompt = prompt;
    p.n_prompt = (size_t)n_prompt;
    p.max_tokens = max_tokens;
    p.ignore_eos = true;
    p.seed = 3;
    p.tag = tag_of(tag);
    return p;
}

static hearth_engine *engine_with(int32_t batch_tokens, int32_t max_requests) {
    hearth_engine_options o = {.n_threads = 2,
                               .batch_tokens = batch_tokens,
                               .max_requests = max_requests,
                               .hooks = notes_hooks(&heard)};
    return engine_get(tiny_get("llama"), &o);
}

static hearth_request *submit(hearth_engine *g, const hearth_params *p) {
    hearth_err e = {0};
    hearth_request *r = hearth_submit(g, p, &e);
    if (!r) fail_msg("%s", e.msg);
    return r;
}

/* ---- how requests end ---- */

static void length_ends(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 10, 1);
    answer_get(&got, g, &p);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    p = params_of(2, 10, 0); /* only reads the prompt */
    answer_get(&got, g, &p);
    assert_int_equal(got.n, 0);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    p = params_of(3, CTX - 1, -1);
    answer_get(&got, g, &p);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    p = params_of(4, 200, 1000); /* the context is full before */
    answer_get(&got, g, &p);
    assert_int_equal(got.n, CTX - 200);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    p = params_of(5, CTX, 0);
    answer_get(&got, g, &p);
    assert_int_equal(got.n, 0);
    engine_done(g);
}

static void the_end_token_ends(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_model_info info;
    hearth_model_info_get(tiny_get("llama"), &info);
    assert_true(info.eos >= 0);
    hearth_bias bias = {info.eos, 1e6f};
    hearth_params p = params_of(1, 10, 5);
    p.bias = &bias;
    p.n_bias = 1;
    p.ignore_eos = false;
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_END);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.id[0], info.eos);
    assert_int_equal(got.n_text, 0);
    p.tag = tag_of(2);
    p.special_text = true; /* but for the one that ends the answer */
    answer_get(&got, g, &p);
    assert_int_equal(got.n, 1);
    assert_int_equal(got.n_text, 0);
    p.tag = tag_of(3);
    p.special_text = false;
    p.ignore_eos = true;
    answer_get(&got, g, &p);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    assert_int_equal(got.n, 5);
    engine_done(g);
}

static void stop_strings_end(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 10, 60);
    p.temperature = 2;
    answer_get(&other, g, &p);
    int n_stopped = 0;
    for (size_t at = 0; at + 3 < other.n_text && at < 40; at++) {
        char stop[4] = {0};
        memcpy(stop, other.text + at, 3);
        const char *const list[] = {stop, NULL};
        hearth_err e = {0};
        p.stop = list;
        p.tag = tag_of((int)at + 2);
        hearth_request *r = hearth_submit(g, &p, &e);
        if (!r) continue; /* cut within a character: refused */
        answer_read(&got, r);
        char *first = memmem(other.text, other.n_text, stop, 3);
        assert_int_equal(got.usage.finish, HEARTH_FINISH_STOP);
        assert_int_equal(got.n_text, first - other.text);
        assert_memory_equal(got.text, other.text, got.n_text);
        assert_memory_equal(got.id, other.id, (size_t)got.n * sizeof *got.id);
        n_stopped++;
    }
    assert_true(n_stopped > 10);
    engine_done(g);
}

static void logprobs_come_when_asked(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 10, 20);
    p.n_logprobs = 4;
    p.temperature = 0;
    p.repeat_penalty = 1.0f;
    hearth_request *r = submit(g, &p);
    hearth_token t;
    hearth_err e = {0};
    int n = 0;
    for (; hearth_next(r, &t, &e) == 1; n++) {
        assert_int_equal(t.n_top, 4);
        assert_int_equal(t.top[0].token, t.id); /* greedy */
        assert_true(t.top[0].logprob == t.logprob);
        for (int i = 1; i < 4; i++) assert_true(t.top[i].logprob <= t.top[i - 1].logprob);
        assert_true(t.logprob <= 0);
    }
    assert_int_equal(n, 20);
    hearth_request_free(r);
    p.tag = tag_of(2);
    p.n_logprobs = 0;
    answer_get(&got, g, &p);
    assert_true(got.logprob[0] <= 0);
    p.tag = tag_of(3);
    p.n_logprobs = -1;
    answer_get(&got, g, &p);
    assert_true(isnan(got.logprob[0]));
    engine_done(g);
}

/* ---- what is refused ---- */

static void expect_refused(hearth_engine *g, const hearth_params *p, int code, const char *word) {
    hearth_err e = {0};
    assert_null(hearth_submit(g, p, &e));
    assert_int_equal(e.code, code);
    if (!strstr(e.msg, word)) fail_msg("\"%s\" does not say %s", e.msg, word);
}

static void bad_requests_are_refused(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    const char *const empty[] = {"", NULL};
    int32_t wrong[3] = {1, 2, 272};
    hearth_params p = params_of(1, CTX, -1);
    expect_refused(g, &p, HEARTH_NO_FIT, "256 tokens; the context of 256 leaves room for 255");
    p = params_of(1, CTX + 1, 0);
    expect_refused(g, &p, HEARTH_NO_FIT, "257");
    p = params_of(1, 0, 1);
    expect_refused(g, &p, HEARTH_USAGE, "empty");
    p = params_of(1, 3, 1);
    p.prompt = wrong;
    expect_refused(g, &p, HEARTH_USAGE, "no token 272 (at index 2)");
    wrong[2] = -1;
    expect_refused(g, &p, HEARTH_USAGE, "no token -1");
    p = params_of(1, 3, 1);
    p.top_p = 7;
    expect_refused(g, &p, HEARTH_USAGE, "top_p is 7");
    p = params_of(1, 3, 1);
    p.weight = 1001;
    expect_refused(g, &p, HEARTH_USAGE, "weight is 1001");
    p = params_of(1, 3, 1);
    p.stop = empty;
    expect_refused(g, &p, HEARTH_USAGE, "stop string 1");
    assert_int_equal(heard.n_settled, 0);
    engine_done(g);
}

static void expect_no_engine(const hearth_engine_options *o, int code, const char *word) {
    hearth_err e = {0};
    assert_null(hearth_engine_new(tiny_get("llama"), o, &e));
    assert_int_equal(e.code, code);
    if (!strstr(e.msg, word)) fail_msg("\"%s\" does not say %s", e.msg, word);
}

static void bad_engines_are_refused(void **state) {
    (void)state;
    hearth_engine_options o = {.n_ctx = CTX + 1};
    expect_no_engine(&o, HEARTH_NO_FIT, "257 tokens; this model was made for at most 256");
    o = (hearth_engine_options){
        .n_ctx = CTX, .kv_bytes = engine_kv_bytes(tiny_get("llama"), HEARTH_KV_F16, 128, 512)};
    expect_no_engine(&o, HEARTH_NO_FIT, "128 tokens");
    o = (hearth_engine_options){.kv_bytes = 1};
    expect_no_engine(&o, HEARTH_NO_FIT, "0 tokens");
    o = (hearth_engine_options){.n_ctx = -1};
    expect_no_engine(&o, HEARTH_USAGE, "n_ctx");
    o = (hearth_engine_options){.n_threads = -1};
    expect_no_engine(&o, HEARTH_USAGE, "n_threads");
    o = (hearth_engine_options){.batch_tokens = -1};
    expect_no_engine(&o, HEARTH_USAGE, "batch_tokens");
    o = (hearth_engine_options){.max_requests = 100000};
    expect_no_engine(&o, HEARTH_USAGE, "max_requests");
    o = (hearth_engine_options){.step_ms = -1};
    expect_no_engine(&o, HEARTH_USAGE, "step_ms");
    o = (hearth_engine_options){.max_queued = -1};
    expect_no_engine(&o, HEARTH_USAGE, "max_queued");
    o = (hearth_engine_options){.kv = (hearth_kv)9};
    expect_no_engine(&o, HEARTH_USAGE, "kv is 9");
    /* the model's own context is cut to what the memory holds, and says so */
    o = (hearth_engine_options){
        .kv_bytes = engine_kv_bytes(tiny_get("llama"), HEARTH_KV_F16, 128, 512)};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    assert_int_equal(hearth_engine_ctx(g), 128);
    hearth_params p = params_of(1, 128, -1);
    expect_refused(g, &p, HEARTH_NO_FIT, "the context of 128");
    engine_done(g);
}

/* ---- cancelling ---- */

static void cancel_while_queued(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 1);
    hearth_params p = params_of(1, 10, 30);
    hearth_request *a = submit(g, &p);
    p.tag = tag_of(2);
    hearth_request *b = submit(g, &p);
    p.tag = tag_of(3);
    hearth_request *c = submit(g, &p);
    sem_wait(&heard.held);
    hearth_cancel(b);
    hearth_request_free(c); /* a client that leaves without a word */
    sem_post(&heard.go);
    answer_read(&got, b);
    assert_int_equal(got.last, 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_CANCELLED);
    answer_read(&got, a);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
    engine_done(g);
    for (int i = 1; i <= 3; i++) assert_int_equal(heard.of[i].settled, 1);
    assert_int_equal(heard.of[3].usage.finish, HEARTH_FINISH_CANCELLED);
    assert_int_equal(heard.of[1].order, 3); /* the others did not wait for it */
    assert_false(heard.broken);
}

static void cancel_while_prefilling(void **state) {
    (void)state;
    heard.hold = HOLD_PREFILL;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(1, 0);
    hearth_params p = params_of(1, 200, 30);
    hearth_request *a = submit(g, &p);
    sem_wait(&heard.held);
    hearth_cancel(a);
    hearth_cancel(a);
    sem_post(&heard.go);
    answer_read(&got, a);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_CANCELLED);
    assert_int_equal(got.n, 0);
    engine_done(g);
    assert_int_equal(heard.of[1].prefilled, 1);
    assert_int_equal(heard.of[1].settled, 1);
    assert_false(heard.broken);
}

static void cancel_while_decoding(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 20, 200);
    hearth_request *a = submit(g, &p);
    p.tag = tag_of(2);
    hearth_request *b = submit(g, &p);
    sem_wait(&heard.held);
    hearth_cancel(a);
    sem_post(&heard.go);
    answer_read(&got, a);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_CANCELLED);
    assert_int_equal(got.n, 2);
    assert_int_equal(got.usage.n_generated, 2);
    answer_read(&other, b);
    assert_int_equal(other.usage.finish, HEARTH_FINISH_LENGTH);
    assert_memory_equal(got.id, other.id, 2 * sizeof *got.id);
    engine_done(g);
    assert_false(heard.broken);
}

/* Text that waits for a stop string to be decided is not lost. */
static void cancel_hands_out_what_was_held(void **state) {
    (void)state;
    int32_t *id;
    size_t n;
    hearth_err e = {0};
    assert_true(hearth_tokenize(tiny_get("llama"), "a", 1, 0, &id, &n, &e));
    assert_int_equal(n, 1);
    hearth_bias only = {id[0], 1e6f};
    hearth_free(id);
    const char *const stop[] = {"aaaaaaaab", NULL};
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 20, 100);
    p.bias = &only;
    p.n_bias = 1;
    p.stop = stop;
    hearth_request *r = submit(g, &p);
    sem_wait(&heard.held);
    hearth_cancel(r);
    sem_post(&heard.go);
    hearth_token t;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hearth_next(r, &t, &e), 1);
        assert_int_equal(t.id, only.token);
        assert_int_equal(t.text_len, 0);
    }
    assert_int_equal(hearth_next(r, &t, &e), 1);
    assert_int_equal(t.id, -1);
    assert_string_equal(t.text, "aa");
    assert_int_equal(hearth_next(r, &t, &e), 0);
    hearth_request_free(r);
    engine_done(g);
}

/* The flag is noticed in the middle of a step that only this request is in. */
static void cancel_within_a_step(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    for (int i = 1; i <= 30; i++) {
        hearth_params p = params_of(i, 250, 5);
        p.owner = i % 2 ? "a" : "b";
        hearth_request *r = submit(g, &p);
        if (i % 3 == 0) hearth_request_usage(r, &got.usage);
        hearth_cancel(r);
        answer_read(&got, r);
        assert_true(got.usage.finish == HEARTH_FINISH_CANCELLED ||
                    got.usage.finish == HEARTH_FINISH_LENGTH);
    }
    hearth_params p = params_of(31, 250, 5); /* and what is left behind is sound */
    answer_get(&got, g, &p);
    p.tag = tag_of(32);
    p.owner = "fresh";
    answer_get(&other, g, &p);
    answer_same(&other, &got, "after many that were cancelled");
    engine_done(g);
    assert_int_equal(heard.n_settled, 32);
    assert_false(heard.broken);
}

static void an_engine_that_goes_cancels(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 1);
    hearth_params p = params_of(1, 20, 200);
    hearth_request *a = submit(g, &p);
    p.tag = tag_of(2);
    hearth_request *b = submit(g, &p);
    sem_wait(&heard.held);
    hearth_request_free(a);
    hearth_request_free(b);
    sem_post(&heard.go);
    hearth_engine_free(g);
    assert_int_equal(heard.of[1].usage.finish, HEARTH_FINISH_CANCELLED);
    assert_int_equal(heard.of[2].usage.finish, HEARTH_FINISH_CANCELLED);
    assert_false(heard.broken);
}

/* ---- turns and times ---- */

static void owners_take_turns(void **state) {
    (void)state;
    static const char *const owners[] = {"ann", "ann", "ann", "ann", "bea", "bea", "cat"};
    static const int order[] = {1, 5, 7, 2, 6, 3, 4}; /* requests in the order in which they end */
    enum { COUNT = 7 };
    hearth_request *r[COUNT];
    heard.hold = HOLD_OPENED;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 1);
    for (int i = 0; i < COUNT; i++) {
        hearth_params p = params_of(i + 1, 10, 5);
        p.owner = owners[i];
        r[i] = submit(g, &p);
        if (i == 0) sem_wait(&heard.held);
    }
    sem_post(&heard.go);
    for (int i = 0; i < COUNT; i++) answer_read(&got, r[i]);
    engine_done(g);
    /* ann's first is admitted alone; then whoever has had least, and of equals who came first */
    for (int i = 0; i < COUNT; i++)
        if (heard.of[order[i]].order != i + 1)
            fail_msg("request %d ended as number %d, not %d", order[i], heard.of[order[i]].order,
                     i + 1);
}

/* Within an owner the shortest is first; but whoever is passed over again and again by those who
 * came later grows old, and is first in the end. */
static void short_ones_first_but_not_for_ever(void **state) {
    (void)state;
    enum { COUNT = 8, LONG = 2, LAST = 8 };
    hearth_request *r[COUNT + 1];
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine_options o = {.max_requests = 1,
                               .n_threads = 1,
                               .no_prefix_reuse = true,
                               .no_speculation = true,
                               .hooks = notes_hooks(&heard)};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    hearth_params p = params_of(1, 60, 3);
    r[1] = submit(g, &p);
    sem_wait(&heard.held);
    p = params_of(LONG, 200, 3);
    r[LONG] = submit(g, &p);
    for (int i = LONG + 1; i <= COUNT; i++) { /* one by one, while the one before runs */
        p = params_of(i, 60, 3);
        r[i] = submit(g, &p);
        heard.hold = i < LAST ? HOLD_DECODE : HOLD_NEVER;
        heard.hold_tag = i;
        sem_post(&heard.go);
        if (i < LAST) sem_wait(&heard.held);
    }
    for (int i = 1; i <= COUNT; i++) answer_read(&got, r[i]);
    engine_done(g);
    /* five times 60 tokens went before it: 2 * 200 - 300 is less than 2 * 60 */
    assert_int_equal(heard.of[LONG].order, COUNT - 1);
    assert_int_equal(heard.of[LAST].order, COUNT);
}

/* Both places are one owner's: when another comes, the younger gives way, and says later what it
 * would have said. */
static void nobody_waits_for_all_of_another(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 2;
    hearth_engine *g = engine_with(0, 2);
    hearth_params p = params_of(1, 70, 150);
    p.owner = "ann";
    hearth_request *a = submit(g, &p);
    p.tag = tag_of(2);
    p.seed = 9;
    hearth_request *b = submit(g, &p);
    sem_wait(&heard.held);
    hearth_params q = params_of(3, 20, 5);
    q.owner = "bea";
    hearth_request *c = submit(g, &q);
    sem_post(&heard.go);
    answer_read(&got, c);
    answer_read(&got, a);
    answer_read(&other, b);
    assert_int_equal(heard.of[3].order, 1);
    assert_int_equal(engine_preemptions(g), 1);
    p.tag = tag_of(4);
    answer_get(&got, g, &p);
    answer_same(&got, &other, "gave way");
    engine_done(g);
    assert_false(heard.broken);
}

static void the_queue_has_an_end(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine_options o = {.max_requests = 1, .max_queued = 2, .hooks = notes_hooks(&heard)};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    hearth_params p = params_of(1, 20, 30);
    hearth_request *r[4];
    r[0] = submit(g, &p);
    sem_wait(&heard.held); /* it runs: it is in the queue no longer */
    for (int i = 1; i < 3; i++) {
        p.tag = tag_of(i + 1);
        r[i] = submit(g, &p);
    }
    for (int i = 0; i < 3; i++) expect_refused(g, &p, HEARTH_BUSY, "2 requests are waiting");
    hearth_request_free(r[2]); /* who has left makes room */
    sem_post(&heard.go);
    answer_read(&got, r[0]);
    answer_read(&got, r[1]);
    p.tag = tag_of(4);
    r[3] = submit(g, &p);
    answer_read(&got, r[3]);
    assert_int_equal(got.n, 30);
    engine_done(g);
    assert_int_equal(heard.n_settled, 4);
}

static void waiting_has_a_limit(void **state) {
    (void)state;
    heard.hold = HOLD_OPENED;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 10, 3);
    hearth_request *r = submit(g, &p);
    hearth_token t;
    hearth_err e = {0};
    sem_wait(&heard.held);
    assert_int_equal(hearth_next_timeout(r, &t, 5, &e), 2);
    assert_int_equal(hearth_next_timeout(r, &t, 0, &e), 2);
    sem_post(&heard.go);
    int n = 0, last;
    while ((last = hearth_next_timeout(r, &t, 60000, &e)) == 1) n++;
    assert_int_equal(last, 0);
    assert_int_equal(n, 3);
    assert_int_equal(hearth_next(r, &t, &e), 0); /* and stays at the end */
    hearth_request_free(r);
    engine_done(g);
}

static void usage_adds_up(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 100, 20);
    answer_get(&got, g, &p);
    const hearth_usage *u = &got.usage;
    assert_int_equal(u->n_prompt, 100);
    assert_int_equal(u->n_generated, 20);
    assert_true(u->n_accepted <= u->n_drafted);
    assert_true(u->queued_s >= 0 && u->prefill_s > 0 && u->decode_s > 0);
    engine_done(g);
    assert_memory_equal(u, &heard.of[1].usage, sizeof *u);
    assert_int_equal(heard.of[1].n_prompt, 100);
    assert_int_equal(heard.of[1].prefilled, 100);
    assert_int_equal(heard.of[1].generated, 20);
}

/* A client that never waits in hearth_next: it reads until there is nothing, then sleeps until it
 * is told. A wake-up that is lost would let it sleep for ever; the limit only makes that a
 * failure. */
static void being_told_is_enough(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_request *r[3];
    hearth_err e = {0};
    hearth_token t;
    int last[3] = {2, 2, 2}, n[3] = {0}, open = 3;
    for (int i = 0; i < 3; i++) {
        hearth_params p = params_of(i + 1, 20 + 50 * i, 30);
        r[i] = submit(g, &p);
    }
    while (open > 0) {
        struct timespec limit;
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += 120;
        if (sem_timedwait(&heard.news, &limit) != 0) fail_msg("nobody said that there is more");
        for (int i = 0; i < 3; i++) {
            if (last[i] == 0) continue;
            while ((last[i] = hearth_next_timeout(r[i], &t, 0, &e)) == 1) n[i] += t.id >= 0;
            open -= last[i] == 0;
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(n[i], 30);
        int told = atomic_load(&heard.of[i + 1].ready);
        assert_true(told >= 2 && told <= 31); /* once a step, and once for the end */
        hearth_request_free(r[i]);
        assert_int_equal(atomic_load(&heard.of[i + 1].ready), told);
    }
    engine_done(g);
}

/* Who has left is told of nothing. */
static void who_left_is_not_told(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 0);
    hearth_params p = params_of(1, 20, 100);
    hearth_request *r = submit(g, &p);
    sem_wait(&heard.held);
    hearth_request_free(r);
    int told = atomic_load(&heard.of[1].ready);
    sem_post(&heard.go);
    hearth_engine_free(g);
    assert_int_equal(atomic_load(&heard.of[1].ready), told);
    assert_int_equal(heard.of[1].settled, 1);
}

static void figures_add_up(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_with(0, 1);
    hearth_stats s;
    hearth_params p = params_of(1, 100, 20);
    hearth_request *a = submit(g, &p);
    p = params_of(2, 100, 20);
    hearth_request *b = submit(g, &p);
    sem_wait(&heard.held);
    hearth_engine_stats(g, &s);
    assert_int_equal(s.n_running, 1);
    assert_int_equal(s.n_waiting, 1);
    assert_true(s.kv_used_bytes > 0 && s.kv_pages_used > 0 && s.kv_pages_used <= s.kv_pages);
    sem_post(&heard.go);
    answer_read(&got, a);
    answer_read(&other, b);
    hearth_engine_stats(g, &s);
    assert_int_equal(s.n_running + s.n_waiting, 0);
    assert_int_equal(s.kv_used_bytes, 0);
    assert_int_equal(s.kv_pages_used, 0);
    assert_true(s.kv_kept_bytes > 0 && s.kv_pages_kept > 0);
    assert_int_equal(s.n_settled, 2);
    assert_int_equal(s.n_decoded, 40);
    assert_int_equal(s.n_prefilled + s.n_cached, 200);
    assert_int_equal(s.n_cached, other.usage.n_cached);
    assert_int_equal(s.n_drafted, got.usage.n_drafted + other.usage.n_drafted);
    assert_int_equal(s.n_preempted, 0);
    uint64_t n = 0;
    for (int i = 0; i < HEARTH_STEP_CLASSES; i++) n += s.step_class[i];
    assert_int_equal(n, s.n_steps);
    assert_true(s.n_steps > 0 && s.step_s > 0 && s.n_rows >= s.n_prefilled);
    engine_done(g);
}

/* ---- damage ---- */

/* A model with one broken row of its embedding: who uses that token fails, its neighbours do not
 * notice. */
static void only_the_guilty_fail(void **state) {
    (void)state;
    enum { BROKEN = 255 };
    err e = {0};
    hearth_err he = {0};
    buf bytes;
    buf_init(&bytes, 64u << 20);
    assert_true(tiny_model_build("llama-untied", QUANT_F32, &bytes, &e));
    gguf *file = gguf_open_memory(bytes.data, bytes.len, "broken", &e);
    assert_non_null(file);
    const gguf_tensor *embd = gguf_tensor_find(file, "token_embd.weight");
    assert_non_null(embd);
    float *row = (float *)(void *)(bytes.data + embd->file_offset) + BROKEN * embd->ne[0];
    for (uint64_t i = 0; i < embd->ne[0]; i++) row[i] = NAN;
    gguf_close(file);
    hearth_model *m = hearth_model_open_memory(bytes.data, bytes.len, "broken", NULL, &he);
    if (!m) fail_msg("%s", he.msg);
    heard.hold = HOLD_OPENED;
    heard.hold_tag = 1;
    hearth_engine_options o = {.n_threads = 2, .hooks = notes_hooks(&heard)};
    hearth_engine *g = engine_get(m, &o);
    hearth_bias ban = {BROKEN, -INFINITY};
    int32_t bad[100];
    memcpy(bad, prompt, sizeof bad);
    bad[50] = BROKEN;
    hearth_request *r[3];
    for (int i = 0; i < 3; i++) {
        hearth_params p = params_of(i + 1, 100, 20);
        p.bias = &ban;
        p.n_bias = 1;
        if (i == 1) p.prompt = bad;
        r[i] = submit(g, &p);
        if (i == 0) sem_wait(&heard.held);
    }
    sem_post(&heard.go);
    answer_read(&other, r[0]);
    assert_int_equal(other.usage.finish, HEARTH_FINISH_LENGTH);
    answer_read(&got, r[1]);
    assert_int_equal(got.last, -1);
    assert_int_equal(got.usage.finish, HEARTH_FINISH_ERROR);
    assert_true(got.e.msg[0] != 0);
    answer_read(&got, r[2]);
    answer_same(&other, &got, "beside a request that failed");
    engine_done(g);
    assert_int_equal(heard.n_settled, 3);
    assert_false(heard.broken);
    hearth_model_close(m);
    buf_deinit(&bytes);
}

static void all_banned_is_an_error(void **state) {
    (void)state;
    hearth_engine *g = engine_with(0, 0);
    hearth_bias ban[272];
    for (int32_t i = 0; i < 272; i++) ban[i] = (hearth_bias){i, -INFINITY};
    hearth_params p = params_of(1, 10, 5);
    p.bias = ban;
    p.n_bias = 272;
    answer_get(&got, g, &p);
    assert_int_equal(got.last, -1);
    assert_non_null(strstr(got.e.msg, "every token is banned"));
    engine_done(g);
}

/* ---- a crowd ---- */

typedef struct crowd {
    hearth_engine *g;
    int who;
} crowd;

enum { CLIENTS = 4, EACH = 12 };

static void *client(void *ud) {
    crowd *c = ud;
    static const char *const owners[] = {"a", "b", NULL};
    for (int i = 0; i < EACH; i++) {
        uint64_t dice = rng_u64(11, (uint64_t)c->who, (uint64_t)i);
        hearth_params p = params_of(1 + c->who * EACH + i, 1 + (int32_t)(dice % 150),
                                    (int32_t)(dice % 40));
        p.owner = owners[dice % 3];
        hearth_err e = {0};
        hearth_request *r = hearth_submit(c->g, &p, &e);
        if (!r) abort();
        hearth_token t;
        hearth_usage u;
        int n = 0, leave = dice % 5 == 0 ? (int)(dice % 7) : 1000;
        while (n < leave && hearth_next(r, &t, &e) == 1) n++;
        if (dice % 2) hearth_cancel(r);
        hearth_request_usage(r, &u);
        hearth_request_free(r);
    }
    return NULL;
}

static void a_crowd_comes_and_goes(void **state) {
    (void)state;
    hearth_model *m = tiny_get("llama");
    hearth_engine_options o = {
        .n_threads = 2, .max_requests = 3, .batch_tokens = 48, .hooks = notes_hooks(&heard)};
    o.kv_bytes = engine_kv_bytes(m, o.kv, CTX, 48) * 3 / 2;
    hearth_engine *g = engine_get(m, &o);
    pthread_t thread[CLIENTS];
    crowd c[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (crowd){g, i};
        assert_int_equal(pthread_create(&thread[i], NULL, client, &c[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(thread[i], NULL);
    hearth_engine_free(g); /* some are still to be settled: it waits for them */
    assert_int_equal(heard.n_settled, CLIENTS * EACH);
    assert_false(heard.broken);
    for (int i = 1; i <= CLIENTS * EACH; i++) assert_int_equal(heard.of[i].settled, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, heard_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(length_ends),
        T(the_end_token_ends),
        T(stop_strings_end),
        T(logprobs_come_when_asked),
        T(bad_requests_are_refused),
        T(bad_engines_are_refused),
        T(cancel_while_queued),
        T(cancel_while_prefilling),
        T(cancel_while_decoding),
        T(cancel_hands_out_what_was_held),
        T(cancel_within_a_step),
        T(an_engine_that_goes_cancels),
        T(owners_take_turns),
        T(short_ones_first_but_not_for_ever),
        T(nobody_waits_for_all_of_another),
        T(the_queue_has_an_end),
        T(waiting_has_a_limit),
        T(usage_adds_up),
        T(being_told_is_enough),
        T(who_left_is_not_told),
        T(figures_add_up),
        T(only_the_guilty_fail),
        T(all_banned_is_an_error),
        T(a_crowd_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
