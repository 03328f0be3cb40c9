#include "engine/engine_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/engine_private.h"
#include "quant/quant.h"
#include "support/cmocka_all.h"
#include "support/tiny.h"

/* ---- models ---- */

typedef struct opened {
    const char *name;
    buf bytes;
    hearth_model *m;
} opened;

static opened models[24];

static void models_close(void) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        hearth_model_close(models[i].m);
        buf_deinit(&models[i].bytes);
    }
}

hearth_model *tiny_get(const char *name) {
    size_t i = 0;
    for (; i < sizeof models / sizeof *models && models[i].name; i++)
        if (strcmp(models[i].name, name) == 0) return models[i].m;
    assert_true(i < sizeof models / sizeof *models);
    if (i == 0) atexit(models_close);
    err e = {0};
    hearth_err he = {0};
    buf_init(&models[i].bytes, 64u << 20);
    if (!tiny_model_build(name, QUANT_Q8_0, &models[i].bytes, &e)) fail_msg("%s", e.msg);
    models[i].m = hearth_model_open_memory(models[i].bytes.data, models[i].bytes.len, name, NULL,
                                           &he);
    if (!models[i].m) fail_msg("%s", he.msg);
    models[i].name = name;
    return models[i].m;
}

void answer_by_parts(hearth_engine *g, hearth_params p, int32_t keep, int32_t *out) {
    static answer part;
    int32_t tokens[MAX_OUT], ctx = hearth_engine_ctx(g), n = (int32_t)p.n_prompt, done = 0;
    const int32_t all = p.max_tokens;
    assert_true(ctx <= MAX_OUT);
    memcpy(tokens, p.prompt, p.n_prompt * sizeof *tokens);
    p.context_shift = false;
    while (done < all) {
        p.prompt = tokens;
        p.n_prompt = (size_t)n;
        p.max_tokens = all - done < ctx - n ? all - done : ctx - n;
        answer_get(&part, g, &p);
        assert_int_equal(part.n, p.max_tokens);
        memcpy(out + done, part.id, (size_t)part.n * sizeof *out);
        memcpy(tokens + n, part.id, (size_t)part.n * sizeof *tokens);
        done += part.n;
        n += part.n;
        int32_t drop = (n - keep + 1) / 2;
        memmove(tokens + keep, tokens + keep + drop, (size_t)(n - keep - drop) * sizeof *tokens);
        n -= drop;
    }
}

hearth_engine *engine_get(hearth_model *m, const hearth_engine_options *o) {
    hearth_err e = {0};
    hearth_engine *g = hearth_engine_new(m, o, &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

void engine_done(hearth_engine *g) {
    err e = {0};
    if (!kv_check(g->kv, &e)) fail_msg("%s", e.msg);
    kv_stats st;
    kv_stats_get(g->kv, &st);
    assert_int_equal(st.n_seqs, 0);
    assert_int_equal(st.used_bytes, st.idle_bytes);
    hearth_engine_free(g);
}

uint64_t engine_preemptions(const hearth_engine *g) {
    return g->stats.n_preempted;
}

uint64_t engine_kv_bytes(hearth_model *m, hearth_kv type, int32_t n, int32_t chunk) {
    kern_kv_type t = type == HEARTH_KV_F32  ? KERN_KV_F32
                     : type == HEARTH_KV_Q8 ? KERN_KV_Q8
                                            : KERN_KV_F16;
    kv_options o = {.n_groups = model_n_kv_groups(m->inner)};
    for (int i = 0; i < o.n_groups; i++) {
        o.page_bytes[i] = model_kv_page_bytes(model_kv_group_at(m->inner, i), t);
        o.window[i] = model_kv_group_at(m->inner, i)->window;
    }
    return kv_need_bytes(&o, n, chunk);
}

/* ---- answers ---- */

void answer_read(answer *a, hearth_request *r) {
    hearth_token t;
    memset(a, 0, sizeof *a);
    if (!r) fail_msg("no request");
    while ((a->last = hearth_next(r, &t, &a->e)) == 1) {
        if (t.id >= 0) {
            assert_true(a->n < MAX_OUT);
            a->logprob[a->n] = t.logprob;
            a->id[a->n++] = t.id;
        }
        assert_true(a->n_text + t.text_len < MAX_TEXT);
        memcpy(a->text + a->n_text, t.text, t.text_len);
        a->n_text += t.text_len;
    }
    hearth_request_usage(r, &a->usage);
    hearth_request_free(r);
}

void answer_get(answer *a, hearth_engine *g, const hearth_params *p) {
    hearth_err e = {0};
    hearth_request *r = hearth_submit(g, p, &e);
    if (!r) fail_msg("%s", e.msg);
    answer_read(a, r);
}

void answers_check(hearth_engine *g, int n, hearth_params (*params_of)(int), answer *got,
                   void (*check)(int i, const char *what), const char *what) {
    hearth_request *r[MAX_COMPANY];
    hearth_err e = {0};
    assert_in_range(n, 1, MAX_COMPANY);
    for (int i = 0; i < n; i++) {
        hearth_params p = params_of(i);
        answer_get(got, g, &p);
        check(i, what);
    }
    for (int i = 0; i < n; i++) {
        hearth_params p = params_of(i);
        if (!(r[i] = hearth_submit(g, &p, &e))) fail_msg("%s", e.msg);
    }
    for (int i = 0; i < n; i++) {
        answer_read(got, r[i]);
        check(i, what);
    }
}

void answer_same(const answer *a, const answer *b, const char *what) {
    if (a->n != b->n || a->usage.finish != b->usage.finish)
        fail_msg("%s: %d tokens, finish %d; wanted %d, %d (%s)", what, b->n, (int)b->usage.finish,
                 a->n, (int)a->usage.finish, b->e.msg);
    for (int i = 0; i < a->n; i++)
        if (a->id[i] != b->id[i])
            fail_msg("%s: token %d is %d, wanted %d", what, i, b->id[i], a->id[i]);
    assert_int_equal(a->n_text, b->n_text);
    assert_memory_equal(a->text, b->text, a->n_text);
}

void prompt_make(int32_t *ids, int32_t n, uint64_t seed) {
    for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)(rng_u64(seed, 77, (uint64_t)i) % 250);
}

/* ---- guesses ahead ---- */

#define GUESSED_KINDS 6

static struct {
    answer wanted[GUESSED_KINDS], got;
    guess_tally count;
} company;

hearth_params guessed_params(int i) {
    static const int32_t lengths[GUESSED_KINDS] = {3, 64, 100, 17, 130, 63};
    static int32_t prompts[GUESSED_KINDS][GUESSED_CTX];
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

static void company_check(int i, const char *what) {
    answer_same(&company.wanted[i], &company.got, what);
    company.count.drafted += company.got.usage.n_drafted;
    company.count.accepted += company.got.usage.n_accepted;
}

guess_tally guessed_check(hearth_model *m, hearth_engine_options o, hearth_params (*params_of)(int),
                          void (*begun)(hearth_engine *g, bool guesses), const char *what) {
    static const int32_t batches[] = {1, 12, 512};
    hearth_engine_options without = {
        .n_threads = 1, .n_ctx = GUESSED_CTX, .no_prefix_reuse = true, .no_speculation = true};
    company.count = (guess_tally){0};
    hearth_engine *g = engine_get(m, &without);
    if (begun) begun(g, false);
    for (int i = 0; i < GUESSED_KINDS; i++) {
        hearth_params p = params_of(i);
        answer_get(&company.wanted[i], g, &p);
        assert_int_equal(company.wanted[i].usage.n_drafted, 0);
    }
    engine_done(g);
    o.n_ctx = GUESSED_CTX;
    for (int k = 0; k < 6; k++) {
        o.batch_tokens = batches[k % 3];
        o.n_threads = 1 + k / 3;
        o.no_prefix_reuse = k % 2;
        o.max_requests = k == 4 ? 2 : 0;
        o.kv_bytes = k == 5 ? engine_kv_bytes(m, o.kv, GUESSED_CTX, o.batch_tokens) : 0;
        g = engine_get(m, &o);
        if (begun) begun(g, true);
        answers_check(g, GUESSED_KINDS, params_of, &company.got, company_check, what);
        engine_done(g);
    }
    return company.count;
}

/* ---- hooks ---- */

void notes_init(notes *n) {
    memset(n, 0, sizeof *n);
    sem_init(&n->held, 0, 0);
    sem_init(&n->go, 0, 0);
    sem_init(&n->news, 0, 0);
}

void notes_deinit(notes *n) {
    sem_destroy(&n->held);
    sem_destroy(&n->go);
    sem_destroy(&n->news);
}

notes heard;

int heard_setup(void **state) {
    (void)state;
    notes_init(&heard);
    return 0;
}

int heard_teardown(void **state) {
    (void)state;
    notes_deinit(&heard);
    return 0;
}

void *tag_of(int i) {
    return (void *)(intptr_t)i;
}

static void hold_here(notes *n, int tag) {
    if (tag != n->hold_tag) return;
    n->hold = HOLD_NEVER;
    sem_post(&n->held);
    sem_wait(&n->go);
}

static void on_opened(void *ud, void *tag, int32_t n_prompt) {
    notes *n = ud;
    note *o = &n->of[(intptr_t)tag];
    n->broken |= o->opened != 0 || o->settled != 0;
    o->opened++;
    o->n_prompt = n_prompt;
    if (n->hold == HOLD_OPENED) hold_here(n, (int)(intptr_t)tag);
}

static void on_progress(void *ud, void *tag, int32_t prefilled, int32_t generated) {
    notes *n = ud;
    note *o = &n->of[(intptr_t)tag];
    n->broken |= o->opened != 1 || o->settled != 0 || generated < o->generated ||
                 prefilled > o->n_prompt;
    o->prefilled = prefilled;
    o->generated = generated;
    if (n->hold == HOLD_PREFILL && generated == 0) hold_here(n, (int)(intptr_t)tag);
    if (n->hold == HOLD_DECODE && generated >= 2) hold_here(n, (int)(intptr_t)tag);
}

static void on_settled(void *ud, void *tag, const hearth_usage *u) {
    notes *n = ud;
    note *o = &n->of[(intptr_t)tag];
    n->broken |= o->opened != 1 || o->settled != 0 || u->finish == HEARTH_FINISH_NONE;
    o->settled++;
    o->usage = *u;
    o->order = ++n->n_settled;
}

static void on_ready(void *ud, void *tag) {
    notes *n = ud;
    atomic_fetch_add(&n->of[(intptr_t)tag].ready, 1);
    sem_post(&n->news);
}

hearth_hooks notes_hooks(notes *n) {
    return (hearth_hooks){.ud = n,
                          .opened = on_opened,
                          .progress = on_progress,
                          .settled = on_settled,
                          .ready = on_ready};
}
