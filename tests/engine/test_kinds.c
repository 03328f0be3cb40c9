/* Every architecture that there is: the same bytes alone, in company, pushed out and back again,
 * with prefixes from memory and from disk, with guesses, and over the end of the context. One table
 * of models and one of ways; a new tiny model takes part by its name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/engine_private.h"
#include "engine/engine_test.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"
#include "support/tiny.h"

enum { N = 4, MOST_CTX = 256, SHIFT_CTX = 96, SHIFT_PROMPT = 20, SHIFT_LONG = 160, CHUNK = 32 };

/* The last begins as the second does, for a page and one token. */
static const int32_t lengths[N] = {3, 65, 40, 100};
static int32_t prompts[N][MOST_CTX];
static answer wanted[N], got;
/* Three tokens are likelier than all others: texts that repeat themselves, and never quite. */
static const hearth_bias bias[3] = {{70, 200}, {71, 200}, {72, 200}};
/* A row more costs little, whatever the machine does: guesses go as far each time. */
static const cost cheap = {.coef = {1, 0.03, 0, 0}, .fixed = true};

/* Otherwise a way that has two is gone in one of them. */
static bool nightly;
/* What must have happened at least once with each model, or a row proves nothing. */
static int n_drafted, n_accepted;

static hearth_params params_of(int i) {
    hearth_params p = hearth_params_default();
    p.prompt = prompts[i];
    p.n_prompt = (size_t)lengths[i];
    p.max_tokens = -1; /* to the end of the context */
    p.ignore_eos = true;
    p.bias = bias;
    p.n_bias = 3;
    p.temperature = i == 2 ? 0.0f : 0.9f;
    p.top_k = i % 2 ? 0 : 40;
    p.repeat_penalty = i == 1 ? 1.001f : 1.0f;
    p.mirostat = i == 3 ? 2 : 0;
    p.seed = (uint64_t)i;
    return p;
}

static hearth_engine_options plain(void) {
    return (hearth_engine_options){.n_threads = 1, .no_prefix_reuse = true, .no_speculation = true};
}

static hearth_engine_options busy(void) {
    return (hearth_engine_options){.n_threads = 2, .batch_tokens = CHUNK, .step_ms = LIMIT_STEP_MS};
}

static hearth_engine *engine_of(const char *name, const hearth_engine_options *o) {
    hearth_engine *g = engine_get(tiny_get(name), o);
    if (!o->no_speculation) g->cost = cheap; /* its thread sleeps until there is a request */
    return g;
}

static void check(const char *name, const char *how, int i) {
    char what[80];
    snprintf(what, sizeof what, "%s, %s, request %d", name, how, i);
    answer_same(&wanted[i], &got, what);
    n_drafted += got.usage.n_drafted;
    n_accepted += got.usage.n_accepted;
}

/* Alone, afresh, one thread, one token at a time. */
static void want(const char *name) {
    hearth_engine_options o = plain();
    hearth_engine *g = engine_of(name, &o);
    for (int i = 0; i < N; i++) {
        hearth_params p = params_of(i);
        answer_get(&wanted[i], g, &p);
        assert_int_equal(wanted[i].n + lengths[i], hearth_engine_ctx(g));
    }
    engine_done(g);
}

static void together(hearth_engine *g, const char *name, const char *how) {
    hearth_request *r[N];
    hearth_err e = {0};
    for (int i = 0; i < N; i++) {
        hearth_params p = params_of(i);
        if (!(r[i] = hearth_submit(g, &p, &e))) fail_msg("%s", e.msg);
    }
    for (int i = 0; i < N; i++) {
        answer_read(&got, r[i]);
        check(name, how, i);
    }
}

/* ---- ways ---- */

static void in_company(const char *name) {
    hearth_engine_options o = busy();
    hearth_engine *g = engine_of(name, &o);
    together(g, name, "in company");
    together(g, name, "with prefixes from memory");
    hearth_params p = params_of(3);
    answer_get(&got, g, &p);
    check(name, "alone with a prefix from memory", 3);
    assert_in_range(got.usage.n_cached, 64, lengths[3] - 1);
    engine_done(g);
}

static void from_disk(const char *name) {
    for (int again = 0; again < 2; again++) {
        hearth_engine_options o = busy();
        o.cache_disk = scratch_path(name);
        hearth_engine *g = engine_of(name, &o);
        hearth_params p = params_of(3);
        answer_get(&got, g, &p);
        check(name, again ? "with a prefix from disk" : "onto disk", 3);
        if (again) assert_int_equal(got.usage.n_cached, 64);
        hearth_engine_free(g); /* waits until everything is written */
    }
}

/* Growing together to the end of the context, in memory for one. */
static void in_little_memory(const char *name) {
    hearth_model *m = tiny_get(name);
    for (int no_reuse = !nightly; no_reuse < 2; no_reuse++) {
        hearth_engine_options o = busy();
        o.no_prefix_reuse = no_reuse;
        o.kv_bytes = engine_kv_bytes(m, o.kv, (int32_t)lengths[N - 1] + wanted[N - 1].n, CHUNK);
        hearth_engine *g = engine_of(name, &o);
        together(g, name, no_reuse ? "in little memory, afresh" : "in little memory");
        engine_done(g);
    }
}

/* Two of one owner fill the engine and write; then another owner's request comes. The younger of
 * the two gives way in the middle of its answer, and goes on with it later. */
static void giving_way(const char *name) {
    notes n;
    hearth_request *r[3];
    hearth_err e = {0};
    for (int no_reuse = 0; no_reuse < 1 + nightly; no_reuse++) {
        notes_init(&n);
        n.hold = HOLD_DECODE;
        n.hold_tag = 2;
        hearth_engine_options o = busy();
        o.no_prefix_reuse = no_reuse;
        o.max_requests = 2;
        o.batch_tokens = 128;
        o.hooks = notes_hooks(&n);
        hearth_engine *g = engine_of(name, &o);
        for (int i = 0; i < 3; i++) {
            hearth_params p = params_of(i);
            p.owner = i < 2 ? "alice" : "bob";
            p.tag = tag_of(i + 1);
            if (i == 2) sem_wait(&n.held);
            if (!(r[i] = hearth_submit(g, &p, &e))) fail_msg("%s", e.msg);
        }
        sem_post(&n.go);
        for (int i = 0; i < 3; i++) {
            answer_read(&got, r[i]);
            check(name, "giving way", i);
        }
        assert_true(engine_preemptions(g) > 0);
        assert_false(n.broken);
        engine_done(g);
        notes_deinit(&n);
    }
}

static hearth_params shift_params(const int32_t *ids) {
    hearth_params p = params_of(0);
    p.prompt = ids;
    p.n_prompt = SHIFT_PROMPT;
    p.max_tokens = SHIFT_LONG;
    p.context_shift = true;
    return p;
}

static void over_the_end(const char *name) {
    int32_t ids[SHIFT_PROMPT], want_ids[SHIFT_LONG];
    prompt_make(ids, SHIFT_PROMPT, 3);
    hearth_params p = shift_params(ids), beside = p;
    hearth_engine_options o = plain();
    o.n_ctx = SHIFT_CTX;
    hearth_engine *g = engine_of(name, &o);
    answer_by_parts(g, p, SHIFT_PROMPT, want_ids);
    engine_done(g);
    o = busy();
    o.n_ctx = SHIFT_CTX;
    g = engine_of(name, &o);
    hearth_err e = {0};
    beside.seed = 5;
    hearth_request *other = hearth_submit(g, &beside, &e);
    answer_get(&got, g, &p);
    assert_int_equal(got.n, SHIFT_LONG);
    if (memcmp(got.id, want_ids, sizeof want_ids) != 0) fail_msg("%s: over the end", name);
    answer_read(&got, other);
    engine_done(g);
}

/* ---- the table ---- */

static void all_ways(const char *name) {
    n_drafted = n_accepted = 0;
    want(name);
    in_company(name);
    from_disk(name);
    in_little_memory(name);
    giving_way(name);
    over_the_end(name);
    if (n_accepted == 0 || n_accepted == n_drafted)
        fail_msg("%s: %d of %d guesses right", name, n_accepted, n_drafted);
}

static void every_architecture(void **state) {
    (void)state;
    const char *size = getenv("HEARTH_TEST_SIZE");
    nightly = size && strcmp(size, "nightly") == 0;
    for (int i = 0; i < N; i++) prompt_make(prompts[i], MOST_CTX, (uint64_t)i);
    memcpy(prompts[3], prompts[1], 65 * sizeof(int32_t));
    for (const char *const *name = tiny_names; *name; name++) all_ways(*name);
    for (const char *const *name = tiny_ahead; *name; name++)
        if (strcmp(*name, "glm4moe") != 0) all_ways(*name); /* is among the others */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
