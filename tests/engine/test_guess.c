/* Drawn answers with guesses: each token's log-probability and those of the likeliest are the same
 * bits with guesses and without, whoever guesses; and guesses are right while dice decide. */
#include "engine/engine_private.h"
#include "engine_test.h"

#include "support/cmocka_all.h"

#define CTX 256
#define N_TOP 5
#define MOST 80
#define KINDS 4

typedef struct said {
    int n;
    int32_t id[MOST];
    float logprob[MOST];
    int n_top[MOST];
    hearth_logprob top[MOST][N_TOP];
    hearth_usage usage;
} said;

static said wanted[KINDS], got;
/* A row more costs little, whatever the machine does: guesses go as far each time. */
static const cost cheap = {.coef = {1, 0.03, 0, 0}, .fixed = true};

static hearth_params params_of(int i) {
    static int32_t ids[KINDS][40];
    hearth_params p = hearth_params_default();
    prompt_make(ids[i], 40, (uint64_t)(7 + i));
    p.prompt = ids[i];
    p.n_prompt = 40;
    p.max_tokens = MOST - i;
    p.ignore_eos = true;
    p.temperature = 0.5f + 0.3f * (float)i;
    p.top_k = i == 1 ? 20 : 0;
    p.repeat_penalty = i == 2 ? 1.2f : 1.0f;
    p.seed = (uint64_t)(11 * i);
    p.n_logprobs = i == 3 ? 0 : N_TOP;
    return p;
}

static void read_all(said *s, hearth_request *r) {
    hearth_token t;
    hearth_err e = {0};
    memset(s, 0, sizeof *s);
    if (!r) fail_msg("no request");
    while (hearth_next(r, &t, &e) == 1) {
        if (t.id < 0) continue;
        assert_true(s->n < MOST && t.n_top <= N_TOP);
        s->id[s->n] = t.id;
        s->logprob[s->n] = t.logprob;
        s->n_top[s->n] = t.n_top;
        for (int k = 0; k < t.n_top; k++) {
            s->top[s->n][k].token = t.top[k].token;
            s->top[s->n][k].logprob = t.top[k].logprob;
        }
        s->n++;
    }
    if (e.code) fail_msg("%s", e.msg);
    hearth_request_usage(r, &s->usage);
    hearth_request_free(r);
}

static void check(int i, const char *what) {
    const said *w = &wanted[i];
    if (got.n != w->n) fail_msg("%s: %d tokens, wanted %d", what, got.n, w->n);
    for (int k = 0; k < w->n; k++) {
        if (got.id[k] != w->id[k]) fail_msg("%s: token %d differs", what, k);
        assert_memory_equal(&got.logprob[k], &w->logprob[k], sizeof(float));
        assert_int_equal(got.n_top[k], i == 3 ? 0 : N_TOP);
        for (int j = 0; j < got.n_top[k]; j++) {
            assert_int_equal(got.top[k][j].token, w->top[k][j].token);
            assert_memory_equal(&got.top[k][j].logprob, &w->top[k][j].logprob, sizeof(float));
        }
    }
}

/* Returns how many guesses were right. */
static int same_bits(const char *name, const char *by) {
    hearth_engine_options o = {.n_threads = 2, .n_ctx = CTX, .no_speculation = true};
    hearth_model *m = tiny_get(name);
    hearth_request *r[KINDS];
    hearth_err e = {0};
    int right = 0;
    hearth_engine *g = engine_get(m, &o);
    for (int i = 0; i < KINDS; i++) {
        hearth_params p = params_of(i);
        read_all(&wanted[i], hearth_submit(g, &p, &e));
        assert_int_equal(wanted[i].usage.n_drafted, 0);
    }
    engine_done(g);
    o.no_speculation = false;
    o.draft = by ? tiny_get(by) : NULL;
    g = engine_get(m, &o);
    g->cost = cheap; /* its thread sleeps until there is a request */
    for (int i = 0; i < KINDS; i++) {
        hearth_params p = params_of(i);
        read_all(&got, hearth_submit(g, &p, &e));
        check(i, name);
        right += got.usage.n_accepted;
    }
    for (int i = 0; i < KINDS; i++) {
        hearth_params p = params_of(i);
        r[i] = hearth_submit(g, &p, &e);
    }
    for (int i = 0; i < KINDS; i++) {
        read_all(&got, r[i]);
        check(i, name);
    }
    engine_done(g);
    return right;
}

static void from_the_past(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "gemma3", "gpt-oss", "glm4moe"};
    for (int i = 0; i < 4; i++) same_bits(names[i], NULL);
}

static void by_a_draft_model(void **state) {
    (void)state;
    int right = same_bits("llama", "llama");
    if (right < 100) fail_msg("%d guesses right", right);
    same_bits("qwen3", "llama");
}

static void by_the_next_n_layer(void **state) {
    (void)state;
    int right = same_bits("qwen3-sure", NULL);
    if (right < 50) fail_msg("%d guesses right", right);
    same_bits("qwen3-nextn", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_past),
        cmocka_unit_test(by_a_draft_model),
        cmocka_unit_test(by_the_next_n_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
