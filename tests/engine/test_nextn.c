/* The model's own layer that guesses ahead: what it proposes is what the reference says; answers
 * are the same bytes with it and without, alone and in company, in little memory, with prefixes
 * from elsewhere and contexts that shift; and it is of use where it is right. */
#include "engine/engine_private.h"
#include "engine_test.h"

#include <stdlib.h>

#include "quant/quant.h"
#include "support/cmocka_all.h"
#include "support/tiny.h"

#define CTX GUESSED_CTX

/* ---- what it proposes ---- */

static int32_t argmax(const float *x, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* The final states of the prompt, and the likeliest token behind it. */
static float *states_of(model *m, team *tm, const int32_t *ids, int n, int32_t *next) {
    err e = {0};
    const model_params *p = model_params_of(m);
    model_exec *x = model_exec_new(m, tm, KERN_KV_F32, n, &e);
    float *states = malloc((size_t)n * (size_t)p->n_embd * sizeof *states);
    float *logits = malloc((size_t)p->n_vocab * sizeof *logits);
    model_row rows[64];
    void *page = aligned_alloc(64, model_kv_page_bytes(model_kv_group_at(m, 0), KERN_KV_F32));
    for (int i = 0; i < n; i++) rows[i] = (model_row){ids[i], i, 0, i == n - 1, 0};
    model_seq seq = {.page = {&page}};
    model_batch b = {&seq, 1, rows, n, NULL};
    assert_int_equal(model_n_kv_groups(m), 1);
    if (!x || !model_exec_run(x, &b, logits, states, &e)) fail_msg("%s", e.msg);
    *next = argmax(logits, p->n_vocab);
    model_exec_free(x);
    free(logits);
    free(page);
    return states;
}

static void proposals(const char *name, int piece, int threads) {
    err e = {0};
    tiny_model t;
    if (!tiny_open(&t, name, QUANT_F32, &e)) fail_msg("%s", e.msg);
    model *m = model_open_memory(t.gguf.data, t.gguf.len, name, NULL, &e);
    if (!m) fail_msg("%s", e.msg);
    team *tm = team_new(threads, &e);
    nextn *x = nextn_new(m, tm, KERN_KV_F32, CTX, 32, 2, &e);
    if (!x) fail_msg("%s", e.msg);
    int n = t.n_prompt;
    size_t n_embd = (size_t)model_params_of(m)->n_embd;
    int32_t text[65], guess[3];
    memcpy(text, t.prompt, (size_t)n * sizeof *text);
    float *states = states_of(m, tm, t.prompt, n, &text[n]);
    hearth_params greedy = hearth_params_default();
    greedy.temperature = 0;
    nextn_seq s = {.sampler = sampler_new(&greedy, t.n_vocab, NULL, NULL, &e)};
    for (int at = 0; at < n; at += piece)
        nextn_follow(x, &s, text, at, states + (size_t)at * n_embd,
                     n - at < piece ? n - at : piece);
    for (int again = 0; again < 2; again++) { /* wrong guesses leave nothing behind */
        nextn_job j = {.s = &s, .tokens = text, .n = n + 1, .most = 3, .guess = guess};
        nextn_run(x, &j, 1);
        assert_int_equal(j.got, 3);
        for (int i = 0; i < 3; i++) {
            const float *row = t.ahead + (size_t)(n - 1 + i) * (size_t)t.n_vocab;
            if (guess[i] != argmax(row, t.n_vocab)) fail_msg("%s: guess %d differs", name, i);
        }
        assert_int_equal(s.n_pending, 0);
        s.n--; /* once more from the last state */
        nextn_follow(x, &s, text, n - 1, states + (size_t)(n - 1) * n_embd, 1);
    }
    nextn_leave(x, &s);
    nextn_free(x);
    team_free(tm);
    model_close(m);
    free(states);
    tiny_close(&t);
}

static void it_proposes_what_the_reference_says(void **state) {
    (void)state;
    static const int pieces[] = {1, 5, 16, 17, 40, 64};
    for (const char *const *name = tiny_ahead; *name; name++)
        for (int i = 0; i < 6; i++) proposals(*name, pieces[i], 1 + i % 2);
}

/* ---- the same bytes ---- */

static hearth_params params_of(int i) {
    hearth_params p = guessed_params(i);
    if (p.temperature > 0) p.temperature = 1.0f;
    p.context_shift = i == 4;
    if (p.context_shift) p.max_tokens = 200; /* past the context */
    return p;
}

static void has_the_layer(hearth_engine *g, bool guesses) {
    assert_int_equal(g->nextn != NULL, guesses);
}

static guess_tally same_bytes(const char *name) {
    return guessed_check(tiny_get(name), (hearth_engine_options){0}, params_of, has_the_layer,
                         name);
}

static void one_that_is_right(void **state) {
    (void)state;
    guess_tally n = same_bytes("qwen3-sure");
    if (n.accepted < 100 || n.accepted < n.drafted / 2)
        fail_msg("%d of %d guesses right", n.accepted, n.drafted);
}

static void ones_that_know_nothing(void **state) {
    (void)state;
    guess_tally n = same_bytes("qwen3-nextn");
    if (n.drafted - n.accepted < 20) fail_msg("%d of %d guesses right", n.accepted, n.drafted);
    same_bytes("glm4moe");
}

/* Another model that guesses takes its place. */
static void a_draft_model_goes_first(void **state) {
    (void)state;
    hearth_engine_options o = {.n_threads = 1, .n_ctx = CTX, .draft = tiny_get("qwen3-sure")};
    hearth_engine *g = engine_get(tiny_get("qwen3-sure"), &o);
    assert_non_null(g->drafter);
    assert_null(g->nextn);
    engine_done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_proposes_what_the_reference_says),
        cmocka_unit_test(one_that_is_right),
        cmocka_unit_test(ones_that_know_nothing),
        cmocka_unit_test(a_draft_model_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
