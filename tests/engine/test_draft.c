/* Drafts: what is guessed, and that guessing changes nothing but the number of steps. */
#include "engine/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/engine_test.h"
#include "support/cmocka_all.h"

/* ---- the guesses ---- */

static int32_t guess[DRAFT_MOST];
static cost steps = {.coef = {1, 0.03, 0, 0}, .fixed = true}; /* a row costs little */

static void nothing_repeats_nothing_is_guessed(void **state) {
    (void)state;
    draft d = {0};
    int32_t text[100];
    for (int32_t i = 0; i < 100; i++) text[i] = i;
    for (int32_t n = 1; n <= 100; n++)
        assert_int_equal(draft_guess(&d, text, n, DRAFT_MOST, 0, &steps, guess), 0);
    draft_deinit(&d);
}

static void what_followed_is_guessed(void **state) {
    (void)state;
    draft d = {0};
    static const int32_t text[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 90, 1, 2, 3, 4, 5};
    int32_t n = (int32_t)(sizeof text / sizeof *text);
    /* One token is little of a clue. */
    assert_in_range(draft_guess(&d, text, n - 4, DRAFT_MOST, 0, &steps, guess), 1, 2);
    assert_int_equal(guess[0], 2);
    int32_t got = draft_guess(&d, text, n, DRAFT_MOST, 0, &steps, guess);
    assert_in_range(got, 1, DRAFT_MOST);
    for (int32_t i = 0; i < got; i++) assert_int_equal(guess[i], 6 + i);
    assert_int_equal(draft_guess(&d, text, n, 2, 0, &steps, guess), 2);
    assert_int_equal(draft_guess(&d, text, n, 0, 0, &steps, guess), 0);
    draft_deinit(&d);
}

/* 7 8 was followed by 20, later by 30; but 1 2 3 7 8 by 20 alone. */
static void longest_first_then_latest(void **state) {
    (void)state;
    static const int32_t text[] = {0, 1, 2, 3, 7, 8, 20, 50, 60, 7, 8, 30, 70, 7, 8};
    static const int32_t other[] = {0, 1, 2, 3, 7, 8, 20, 50, 60, 7, 8, 30, 1, 2, 3, 7, 8};
    draft d = {0};
    assert_true(draft_guess(&d, text, 15, 1, 0, &steps, guess) == 1 && guess[0] == 30);
    draft_deinit(&d);
    assert_true(draft_guess(&d, other, 17, 1, 0, &steps, guess) == 1 && guess[0] == 20);
    draft_deinit(&d);
}

static void loops_go_on(void **state) {
    (void)state;
    draft d = {0};
    int32_t text[40];
    for (int32_t i = 0; i < 40; i++) text[i] = i % 3;
    int32_t got = draft_guess(&d, text, 40, DRAFT_MOST, 0, &steps, guess);
    assert_true(got > 3);
    for (int32_t i = 0; i < got; i++) assert_int_equal(guess[i], (40 + i) % 3);
    draft_deinit(&d);
}

/* ---- a text that is written again with changes ---- */

enum { SOURCE = 60, CHANGED = 30 }; /* the source: 100, 101 ...; where its copy differs */

/* Copies the source behind itself, with n_new other tokens where n_old were, and asks and learns
 * as a request does. Returns the tokens behind the change that were not guessed; into_change: the
 * most guesses that were made between its tokens. */
static int32_t copy_with_change(draft *d, int32_t n_old, int32_t n_new, int32_t *into_change) {
    int32_t text[2 * SOURCE + 20], n_text = 0, n_missed = 0;
    for (int32_t i = 0; i < SOURCE; i++) text[n_text++] = 100 + i;
    for (int32_t i = 0; i < CHANGED; i++) text[n_text++] = 100 + i;
    const int32_t from = n_text, behind = from + n_new;
    for (int32_t i = 0; i < n_new; i++) text[n_text++] = 1000 + i;
    for (int32_t i = CHANGED + n_old; i < SOURCE; i++) text[n_text++] = 100 + i;
    *into_change = 0;
    for (int32_t n = SOURCE + 1; n < n_text;) {
        int32_t got_n = draft_guess(d, text, n, DRAFT_MOST, 0, &steps, guess), right = 0;
        while (right < got_n && n + right < n_text && guess[right] == text[n + right]) right++;
        if (n > from && n < behind && got_n > *into_change) *into_change = got_n;
        draft_learn(d, got_n, right);
        n += right + 1;
        if (n > behind) n_missed++; /* the last one was drawn */
    }
    return n_missed;
}

/* Other tokens in place of some, as many or not; some put in; some left out: what was not guessed
 * is the first token that agrees again, and one at the end of each draft. */
static void drafts_resume(void **state) {
    (void)state;
    for (int32_t n_old = 0; n_old <= 8; n_old++)
        for (int32_t n_new = 0; n_new <= 8; n_new++) {
            draft d = {0};
            int32_t into, missed = copy_with_change(&d, n_old, n_new, &into);
            if (missed > 6) fail_msg("%d for %d: %d tokens not guessed", n_new, n_old, missed);
            /* One for one needs nothing that agrees: the draft goes on right behind it. */
            if (n_old == 1 && n_new == 1) assert_true(d.pace[DRAFT_ALONG].rate > 0.5);
            assert_in_range(into, 0, DRAFT_MOST);
            draft_deinit(&d);
        }
}

/* Behind the change a token agrees that has also been said elsewhere, and later: what is near the
 * place that is followed goes before that. */
static void near_goes_before_elsewhere(void **state) {
    (void)state;
    draft d = {0};
    int32_t text[100], n = 0;
    for (int32_t i = 0; i < 30; i++) text[n++] = 100 + i;
    text[n++] = 119, text[n++] = 50; /* elsewhere */
    for (int32_t i = 0; i < 8; i++) text[n++] = 100 + i;
    assert_true(draft_guess(&d, text, n, 10, 0, &steps, guess) == 10 && guess[9] == 117);
    draft_learn(&d, 10, 8);
    for (int32_t i = 108; i < 116; i++) text[n++] = i;
    for (int32_t i = 0; i < 2; i++) text[n++] = 60 + i; /* in place of three */
    text[n++] = 119;
    assert_true(draft_guess(&d, text, n, 4, 0, &steps, guess) >= 1);
    assert_int_equal(guess[0], 120);
    assert_int_equal(d.used, DRAFT_NEAR);
    draft_deinit(&d);
    /* Who has followed nothing takes the latest. */
    assert_true(draft_guess(&d, text, n, 4, 0, &steps, guess) >= 1);
    assert_int_equal(guess[0], 50);
    draft_deinit(&d);
}

/* A place is followed as long as something of it comes. */
static void places_are_left(void **state) {
    (void)state;
    draft d = {0};
    int32_t text[200], n = 0, guessed = 0;
    for (int32_t i = 0; i < 60; i++) text[n++] = 100 + i;
    for (int32_t i = 0; i < 20; i++) text[n++] = 100 + i;
    assert_true(draft_guess(&d, text, n, 8, 0, &steps, guess) == 8 && guess[0] == 120);
    draft_learn(&d, 8, 8);
    for (int32_t i = 0; i < 8; i++) text[n++] = guess[i];
    for (int32_t i = 0; i < 60; i++) { /* nothing that was ever said */
        text[n++] = 1000 + i;
        int32_t got_n = draft_guess(&d, text, n, DRAFT_MOST, 0, &steps, guess);
        if (got_n > 0) assert_int_equal(d.used, DRAFT_ALONG);
        guessed += got_n > 0;
        assert_true(i < 5 || got_n == 0);
        draft_learn(&d, got_n, 0);
    }
    assert_in_range(guessed, 1, 4);
    draft_deinit(&d);
}

static void drafts_grow_while_right(void **state) {
    (void)state;
    draft d = {0};
    int32_t text[60], first = 0, got = 0;
    for (int32_t i = 0; i < 60; i++) text[i] = i % 20;
    cost dear = {.coef = {1, 0.1, 0, 0}, .fixed = true};
    for (int32_t n = 40; n < 50; n++) {
        got = draft_guess(&d, text, n, DRAFT_MOST, 0, &dear, guess);
        if (!first) first = got;
        draft_learn(&d, got, got);
    }
    assert_in_range(first, 1, DRAFT_MOST - 1);
    assert_int_equal(got, DRAFT_MOST);
    for (int i = 0; i < 5; i++) draft_learn(&d, got, 1);
    int32_t fewer = draft_guess(&d, text, 50, DRAFT_MOST, 0, &dear, guess);
    assert_in_range(fewer, 1, DRAFT_MOST - 1);
    /* Where rows cost nearly nothing more are worth it; and who knows better may ask for more. */
    assert_true(draft_guess(&d, text, 50, DRAFT_MOST, 0, &steps, guess) > fewer);
    assert_int_equal(draft_guess(&d, text, 50, DRAFT_MOST, 0.99, &steps, guess), 0);
    draft_deinit(&d);
}

/* Two tokens in every order: something is always found, and nothing of it is ever right. */
static void drafts_rest_when_wrong(void **state) {
    (void)state;
    enum { N = 8000 };
    draft d = {0};
    int32_t *text = malloc(N * sizeof *text), tried[2] = {0};
    for (int32_t i = 0; i < N; i++) text[i] = (int32_t)(rng_u64(1, 2, (uint64_t)i) % 2);
    for (int32_t n = 20; n < N; n++) {
        int32_t got = draft_guess(&d, text, n, DRAFT_MOST, 0, &steps, guess);
        draft_learn(&d, got, 0);
        tried[n >= N / 2] += got;
    }
    assert_true(tried[0] > 0);
    assert_in_range(tried[1], 1, N / 2 / 20);
    assert_true(tried[1] < tried[0]);
    draft_deinit(&d);
    free(text);
}

/* Longer than the tables: old places are forgotten, late ones found, and each find is true. */
static void long_texts(void **state) {
    (void)state;
    enum { N = 150000 };
    draft d = {0};
    int32_t *text = malloc(N * sizeof *text), n_found = 0;
    for (int32_t i = 0; i < N; i++)
        text[i] = i % 1000 < 500 ? 10000 + i : 10000 + i - 500; /* each half is said twice */
    for (int32_t n = 1; n < N; n += 1 + n % 7) {
        int32_t got = draft_guess(&d, text, n, 1, 0, &steps, guess);
        if (got == 0) continue;
        bool true_find = false;
        for (int32_t end = n > 1000 ? n - 1000 : 2; end < n; end++)
            true_find |= end >= 2 && text[end] == guess[0] && text[end - 1] == text[n - 1] &&
                         (d.used == DRAFT_LENGTHS - 1 || text[end - 2] == text[n - 2]);
        assert_true(true_find);
        n_found++;
    }
    assert_true(n_found > N / 20);
    draft_deinit(&d);
    free(text);
}

/* ---- the engine ---- */

enum { KINDS = 8, CTX = 256, N_GEN = 60 };

static const int32_t lengths[KINDS] = {1, 63, 130, 40, 62, 129, 20, 131};
static int32_t prompts[KINDS][CTX];
static answer wanted[KINDS], got;
static hearth_bias bias[3] = {{70, 200}, {71, 200}, {72, 200}};
static char stop[4];
static const char *stops[2] = {stop, NULL};
static int drafted, accepted;

/* Three tokens are likelier than all others: a text that keeps repeating itself, and never quite.
 */
static hearth_params params_of(int i) {
    hearth_params p = hearth_params_default();
    p.prompt = prompts[i];
    p.n_prompt = (size_t)lengths[i];
    p.max_tokens = N_GEN + i;
    p.ignore_eos = true;
    p.bias = bias;
    p.n_bias = i == 3 ? 1 : 3;
    p.temperature = i == 0 || i == 3 ? 0.0f : 0.9f;
    p.top_k = i % 2 ? 0 : 40;
    p.repeat_penalty = i == 4 ? 1.001f : 1.0f;
    p.frequency_penalty = i == 4 ? 0.02f : 0.0f;
    p.dry_multiplier = i == 5 ? 0.05f : 0.0f;
    p.xtc_probability = i == 7 ? 0.3f : 0.0f;
    p.mirostat = i == 2 ? 2 : 0;
    p.seed = (uint64_t)i;
    p.n_logprobs = i == 1 ? 3 : -1;
    p.stop = i == 6 ? stops : NULL;
    return p;
}

static void want(hearth_model *m) {
    hearth_engine_options o = {
        .n_threads = 1, .n_ctx = CTX, .no_prefix_reuse = true, .no_speculation = true};
    hearth_engine *g = engine_get(m, &o);
    for (int i = 0; i < KINDS; i++) prompt_make(prompts[i], CTX, (uint64_t)i);
    memcpy(prompts[7], prompts[2], 130 * sizeof(int32_t));
    memset(stop, 1, sizeof stop - 1); /* comes nowhere */
    for (int i = 0; i < KINDS; i++) {
        hearth_params p = params_of(i);
        answer_get(&wanted[i], g, &p);
        assert_int_equal(wanted[i].n, N_GEN + i);
        assert_int_equal(wanted[i].usage.n_drafted, 0);
    }
    memcpy(stop, wanted[6].text + 30, sizeof stop - 1);
    hearth_params p = params_of(6);
    answer_get(&wanted[6], g, &p);
    assert_int_equal(wanted[6].usage.finish, HEARTH_FINISH_STOP);
    engine_done(g);
}

static void check(int i, const char *what) {
    answer_same(&wanted[i], &got, what);
    assert_memory_equal(wanted[i].logprob, got.logprob, (size_t)got.n * sizeof *got.logprob);
    assert_int_equal(got.usage.n_generated, got.n);
    assert_in_range(got.usage.n_accepted, 0, got.usage.n_drafted);
    drafted += got.usage.n_drafted;
    accepted += got.usage.n_accepted;
}

static void same_bytes(const char *model) {
    static const int32_t batches[] = {1, 2, 5, 64, 512};
    hearth_model *m = tiny_get(model);
    drafted = accepted = 0;
    want(m);
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
        for (int k = 0; k < 4; k++) {
            hearth_engine_options o = {.n_ctx = CTX, .batch_tokens = batches[b]};
            o.n_threads = 1 + k / 2;
            o.no_prefix_reuse = k % 2;
            if (k == 1 || k == 2) o.kv_bytes = engine_kv_bytes(m, o.kv, CTX, batches[b]);
            if (k == 3) o.max_requests = 3;
            hearth_engine *g = engine_get(m, &o);
            answers_check(g, KINDS, params_of, &got, check,
                          k == 1 || k == 2 ? "drafts in little memory" : "drafts");
            engine_done(g);
        }
    /* Some were right, some were wrong: both ways were gone. */
    if (accepted < 1000 || drafted - accepted < 300)
        fail_msg("%s: %d of %d guesses right", model, accepted, drafted);
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

/* Guesses of each kind that an answer gives rise to, where a row costs a tenth of a step. */
static void kinds_count(const hearth_params *p, const answer *a, int32_t n_tried[DRAFT_KINDS]) {
    cost one = {.coef = {1, 0.1, 0, 0}, .fixed = true};
    draft d = {0};
    int32_t text[CTX + MAX_OUT], n_prompt = (int32_t)p->n_prompt, n_text = n_prompt + a->n;
    memcpy(text, p->prompt, p->n_prompt * sizeof *text);
    memcpy(text + n_prompt, a->id, (size_t)a->n * sizeof *text);
    for (int32_t n = n_prompt + 1; n < n_text;) {
        int32_t most = n_text - n - 1 < DRAFT_MOST ? n_text - n - 1 : DRAFT_MOST, right = 0;
        int32_t n_guess = draft_guess(&d, text, n, most, 0, &one, guess);
        while (right < n_guess && guess[right] == text[n + right]) right++;
        if (n_guess > 0) n_tried[d.used] += n_guess;
        draft_learn(&d, n_guess, right);
        n += right + 1;
    }
    draft_deinit(&d);
}

/* The same words again and again with some that are not: drafts that go on behind these are tried,
 * and the answer has the same bits. */
static void resumed_drafts(void **state) {
    (void)state;
    static const char rules[] =
        "root ::= (\"and the same words once more, \" [a-z]{1,3} \"; or in the end \" [0-9]){9}";
    hearth_err e = {0};
    hearth_grammar *by = hearth_grammar_new(HEARTH_GRAMMAR_RULES, rules, strlen(rules), &e);
    if (!by) fail_msg("%s", e.msg);
    int32_t n_tried[DRAFT_KINDS] = {0};
    drafted = accepted = 0;
    for (int seed = 0; seed < 6; seed++) {
        hearth_params p = params_of(1); /* with log-probabilities: no token is put in unseen */
        prompt_make(prompts[1], CTX, (uint64_t)seed);
        p.n_prompt = 10;
        p.bias = NULL;
        p.n_bias = 0;
        p.max_tokens = 240;
        p.temperature = seed % 2 ? 1.5f : 0.0f;
        p.seed = (uint64_t)seed;
        p.grammar = by;
        for (int k = 0; k < 3; k++) {
            hearth_engine_options o = {.n_ctx = CTX,
                                       .no_speculation = k == 0,
                                       .n_threads = k == 0 ? 1 : k,
                                       .batch_tokens = k == 1 ? 6 : 64};
            hearth_engine *g = engine_get(tiny_get("llama"), &o);
            answer_get(k ? &got : &wanted[0], g, &p);
            if (k) check(0, "drafts that go on behind a change");
            else kinds_count(&p, &wanted[0], n_tried);
            engine_done(g);
        }
    }
    hearth_grammar_free(by);
    if (n_tried[DRAFT_NEAR] < 20 || n_tried[DRAFT_ALONG] < 20 || accepted < 100 ||
        drafted - accepted < 20)
        fail_msg("%d near, %d along; %d of %d right", n_tried[DRAFT_NEAR], n_tried[DRAFT_ALONG],
                 accepted, drafted);
}

/* Growing together to the end of the context in memory for fewer: who is pushed out comes back and
 * goes on as if nothing had been. */
static void preempted_between_drafts(void **state) {
    (void)state;
    static const char *const models[] = {"llama", "gemma3"};
    for (int k = 0; k < 4; k++) {
        hearth_model *m = tiny_get(models[k / 2]);
        hearth_engine_options o = {.n_threads = 2, .n_ctx = CTX, .no_prefix_reuse = k % 2};
        hearth_request *r[KINDS];
        hearth_err e = {0};
        want(m);
        o.no_speculation = true;
        o.batch_tokens = 64;
        hearth_engine *g = engine_get(m, &o);
        for (int i = 0; i < 6; i++) {
            hearth_params p = params_of(i);
            p.max_tokens = -1;
            answer_get(&wanted[i], g, &p);
        }
        engine_done(g);
        o.no_speculation = false;
        o.kv_bytes = (k < 2 ? 8 : 6) * engine_kv_bytes(m, o.kv, CTX, 64) / 4;
        g = engine_get(m, &o);
        drafted = accepted = 0;
        for (int i = 0; i < 6; i++) {
            hearth_params p = params_of(i);
            p.max_tokens = -1;
            r[i] = hearth_submit(g, &p, &e);
        }
        for (int i = 0; i < 6; i++) {
            answer_read(&got, r[i]);
            check(i, "preempted between drafts");
        }
        /* Window pages are won back without pushing anybody out. */
        assert_true(k >= 2 || engine_preemptions(g) > 0);
        assert_true(accepted > 50 && accepted < drafted);
        engine_done(g);
    }
}

/* One token for ever: all guesses are right, and the last step must not go too far. */
static void limits_are_exact(void **state) {
    (void)state;
    hearth_engine_options o = {.n_threads = 2, .n_ctx = CTX};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    prompt_make(prompts[3], CTX, 3);
    for (int32_t n = 1; n < 80; n += 3) {
        hearth_params p = params_of(3);
        p.max_tokens = n;
        answer_get(&got, g, &p);
        assert_int_equal(got.n, n);
        assert_int_equal(got.usage.finish, HEARTH_FINISH_LENGTH);
        for (int32_t i = 0; i < n; i++) assert_int_equal(got.id[i], 70);
        if (n > 20) assert_true(got.usage.n_accepted > n / 2);
        p.max_tokens = -1;
        p.n_prompt = (size_t)(CTX - n);
        answer_get(&got, g, &p);
        assert_int_equal(got.n, n);
    }
    engine_done(g);
}

/* What was right is in the tree, and nothing else: a conversation that goes on finds its past. */
static void drafts_are_reused(void **state) {
    (void)state;
    hearth_engine_options o = {.n_threads = 1, .n_ctx = CTX};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    prompt_make(prompts[1], CTX, 1);
    hearth_params p = params_of(1);
    p.max_tokens = 90;
    answer_get(&got, g, &p);
    assert_true(got.usage.n_accepted > 0 && got.usage.n_accepted < got.usage.n_drafted);
    int32_t turn[CTX], n = lengths[1] + got.n;
    memcpy(turn, prompts[1], (size_t)lengths[1] * sizeof *turn);
    memcpy(turn + lengths[1], got.id, (size_t)got.n * sizeof *turn);
    prompt_make(turn + n, 20, 9);
    p.prompt = turn;
    p.n_prompt = (size_t)n + 20;
    p.max_tokens = 40;
    answer_get(&wanted[0], g, &p);
    assert_int_equal(wanted[0].usage.n_cached, n - 1);
    engine_done(g);
    o.no_prefix_reuse = o.no_speculation = true;
    g = engine_get(tiny_get("llama"), &o);
    answer_get(&got, g, &p);
    answer_same(&got, &wanted[0], "on what drafts left");
    engine_done(g);
}

static void the_end_token_ends_a_draft(void **state) {
    (void)state;
    hearth_model *m = tiny_get("llama");
    hearth_model_info info;
    hearth_model_info_get(m, &info);
    hearth_bias ends[3] = {{70, 200}, {71, 200}, {info.eos, 196}};
    int n_right = 0, n_ended = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        hearth_params p = params_of(6);
        p.bias = ends;
        p.stop = NULL;
        p.seed = seed;
        p.temperature = 2;
        p.ignore_eos = false;
        for (int plain = 1; plain >= 0; plain--) {
            hearth_engine_options o = {.n_threads = 1, .n_ctx = CTX, .no_speculation = plain};
            hearth_engine *g = engine_get(m, &o);
            answer_get(plain ? &wanted[0] : &got, g, &p);
            engine_done(g);
        }
        answer_same(&wanted[0], &got, "with an end");
        n_right += got.usage.n_accepted;
        n_ended += got.usage.finish == HEARTH_FINISH_END;
    }
    if (n_right < 20 || n_ended < 5) fail_msg("%d right, %d ended", n_right, n_ended);
}

/* The client goes away in the middle. */
static void cancelled_between_drafts(void **state) {
    (void)state;
    hearth_engine_options o = {.n_threads = 2, .n_ctx = CTX};
    hearth_engine *g = engine_get(tiny_get("gemma3"), &o);
    prompt_make(prompts[3], CTX, 3);
    for (int k = 0; k < 20; k++) {
        hearth_params p = params_of(3);
        hearth_err e = {0};
        hearth_token t;
        p.max_tokens = -1;
        hearth_request *r = hearth_submit(g, &p, &e);
        for (int i = 0; i < 3 * k; i++) assert_int_equal(hearth_next(r, &t, &e), 1);
        hearth_cancel(r);
        answer_read(&got, r);
        for (int i = 0; i < got.n; i++) assert_int_equal(got.id[i], 70);
    }
    engine_done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_repeats_nothing_is_guessed),
        cmocka_unit_test(what_followed_is_guessed),
        cmocka_unit_test(longest_first_then_latest),
        cmocka_unit_test(loops_go_on),
        cmocka_unit_test(drafts_resume),
        cmocka_unit_test(near_goes_before_elsewhere),
        cmocka_unit_test(places_are_left),
        cmocka_unit_test(drafts_grow_while_right),
        cmocka_unit_test(drafts_rest_when_wrong),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(full_attention),
        cmocka_unit_test(sliding_windows),
        cmocka_unit_test(sinks_and_experts),
        cmocka_unit_test(resumed_drafts),
        cmocka_unit_test(preempted_between_drafts),
        cmocka_unit_test(limits_are_exact),
        cmocka_unit_test(drafts_are_reused),
        cmocka_unit_test(the_end_token_ends_a_draft),
        cmocka_unit_test(cancelled_between_drafts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
