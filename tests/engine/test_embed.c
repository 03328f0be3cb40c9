/* Vectors and judgements through the public face: what transformers says, the same bytes whatever
 * the company, one report a call, and errors that say what fits. */
#include "support/cmocka_all.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_private.h"
#include "engine/engine_test.h"
#include "quant/quant.h"
#include "support/tiny.h"

enum { DIM = 256, N = 64 };

static hearth_engine *engine_for(const char *name, int threads) {
    hearth_engine_options o = {.n_threads = threads, .hooks = notes_hooks(&heard)};
    return engine_get(tiny_get(name), &o);
}

static float *embed_ids(hearth_engine *g, const int32_t *ids, size_t n,
                        const hearth_embed_params *p) {
    hearth_input in = {.ids = ids, .n_ids = n};
    hearth_err e = {0};
    float *out;
    int32_t dim, n_tokens;
    if (!hearth_embed(g, &in, 1, p, &out, &dim, &n_tokens, &e)) fail_msg("%s", e.msg);
    assert_int_equal(dim, DIM);
    assert_int_equal(n_tokens, n);
    return out;
}

/* Within 1e-4 of the largest. */
static void near(const float *got, const float *wanted, const char *what) {
    float most = 0, off = 0;
    for (int i = 0; i < DIM; i++) {
        most = fmaxf(most, fabsf(wanted[i]));
        off = fmaxf(off, fabsf(got[i] - wanted[i]));
    }
    if (!(off <= 1e-4f * most)) fail_msg("%s: off by %g of %g", what, (double)off, (double)most);
}

static void tiny_f32(tiny_model *t, const char *name, hearth_model **m) {
    err e = {0};
    hearth_err he = {0};
    if (!tiny_open(t, name, QUANT_F32, &e)) fail_msg("%s", e.msg);
    *m = hearth_model_open_memory(t->gguf.data, t->gguf.len, name, NULL, &he);
    if (!*m) fail_msg("%s", he.msg);
}

static void agrees_with_transformers(void **state) {
    (void)state;
    hearth_embed_params raw = {.raw = true};
    tiny_model t;
    hearth_model *m;
    tiny_f32(&t, "nomic-bert", &m); /* mean */
    hearth_engine *g = engine_get(m, NULL);
    float mean[DIM] = {0}, *got = embed_ids(g, t.prompt, N, &raw);
    for (int i = 0; i < N * DIM; i++) mean[i % DIM] += t.state[i] / N;
    near(got, mean, "mean");
    free(got);
    got = embed_ids(g, t.prompt, N, NULL);
    double length = 0;
    for (int i = 0; i < DIM; i++) length += (double)got[i] * (double)got[i];
    assert_true(fabs(length - 1) < 1e-5);
    free(got);
    engine_done(g);
    hearth_model_close(m);
    tiny_close(&t);

    tiny_f32(&t, "qwen3-rank", &m); /* a decoder */
    hearth_engine_options f32 = {.kv = HEARTH_KV_F32, .batch_tokens = 24};
    g = engine_get(m, &f32);
    got = embed_ids(g, t.prompt, N, &raw);
    near(got, t.state + (N - 1) * DIM, "last");
    free(got);
    raw.pooling = HEARTH_POOL_MEAN;
    memset(mean, 0, sizeof mean);
    for (int i = 0; i < N * DIM; i++) mean[i % DIM] += t.state[i] / N;
    got = embed_ids(g, t.prompt, N, &raw); /* also where others have left their pages */
    near(got, mean, "mean of a decoder");
    free(got);
    raw.pooling = HEARTH_POOL_CLS;
    got = embed_ids(g, t.prompt, N, &raw);
    near(got, t.state, "first of a decoder");
    free(got);
    engine_done(g);
    hearth_model_close(m);
    tiny_close(&t);
}

/* Two texts in one, of two types, judged. */
static void a_pair_is_judged_as_by_transformers(void **state) {
    (void)state;
    tiny_model t;
    hearth_model *m;
    tiny_f32(&t, "bert", &m);
    hearth_engine *g = engine_get(m, NULL);
    tok_ids text = {.id = t.prompt, .n = N};
    int32_t first = t.n_first;
    hearth_request *r;
    hearth_embed_params p = {0};
    err e = {0};
    if (!embed_run(g, &text, &first, 1, &p, HEARTH_POOL_CLS, -1, -1, &r, &e)) fail_msg("%s", e.msg);
    near(r->sum->vec, t.state, "first");
    float score;
    model_classify(m->inner, r->sum->vec, &score);
    if (fabsf(score - t.score[0]) > 1e-4f) fail_msg("%g", (double)score);
    request_release(r);
    engine_done(g);
    hearth_model_close(m);
    tiny_close(&t);
}

/* ---- company ---- */

enum { TEXTS = 9, CALLERS = 4 };
static const int32_t lengths[TEXTS] = {1, 2, 200, 64, 65, 7, 128, 33, 250};
static int32_t ids[TEXTS][256];
static float *wanted[TEXTS];

typedef struct caller {
    hearth_engine *g;
    hearth_embed_params p;
    int who;
    bool same;
} caller;

static void *call(void *ud) {
    caller *c = ud;
    c->same = true;
    for (int round = 0; round < 3; round++) {
        hearth_input in[TEXTS];
        hearth_err e = {0};
        float *out;
        int32_t dim;
        for (int i = 0; i < TEXTS; i++) {
            int k = (i * 2 + c->who) % TEXTS;
            in[i] = (hearth_input){.ids = ids[k], .n_ids = (size_t)lengths[k]};
        }
        c->p.tag = tag_of(1 + c->who * 3 + round);
        if (!hearth_embed(c->g, in, TEXTS, &c->p, &out, &dim, NULL, &e)) {
            c->same = false;
            return NULL;
        }
        for (int i = 0; i < TEXTS; i++)
            c->same &= memcmp(out + i * DIM, wanted[(i * 2 + c->who) % TEXTS],
                              DIM * sizeof(float)) == 0;
        hearth_free(out);
    }
    return NULL;
}

static void company(const char *name, hearth_pooling how, const hearth_engine_options *o) {
    hearth_embed_params p = {.pooling = how};
    hearth_engine_options alone = {.n_threads = 1, .no_prefix_reuse = true};
    hearth_engine *g = engine_get(tiny_get(name), &alone);
    for (int i = 0; i < TEXTS; i++) {
        prompt_make(ids[i], 256, (uint64_t)i % 3); /* some begin alike */
        wanted[i] = embed_ids(g, ids[i], (size_t)lengths[i], &p);
    }
    engine_done(g);
    memset(heard.of, 0, sizeof heard.of);
    g = engine_get(tiny_get(name), o);
    pthread_t thread[CALLERS];
    caller c[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        c[i] = (caller){.g = g, .p = p, .who = i};
        c[i].p.owner = i % 2 ? "a" : "b";
        assert_int_equal(pthread_create(&thread[i], NULL, call, &c[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(thread[i], NULL);
        if (!c[i].same) fail_msg("%s: caller %d got other vectors", name, i);
    }
    engine_done(g);
    for (int i = 1; i <= CALLERS * 3; i++) { /* one report a call */
        assert_int_equal(heard.of[i].opened, 1);
        assert_int_equal(heard.of[i].settled, 1);
        assert_int_equal(heard.of[i].n_prompt, 750);
        assert_int_equal(heard.of[i].usage.n_prompt, 750);
        assert_int_equal(heard.of[i].usage.finish, HEARTH_FINISH_LENGTH);
    }
    for (int i = 0; i < TEXTS; i++) free(wanted[i]);
}

static void company_changes_nothing(void **state) {
    (void)state;
    hearth_engine_options o = {.n_threads = 2, .max_requests = 5, .hooks = notes_hooks(&heard)};
    company("bert", HEARTH_POOL_NONE, &o);
    company("nomic-bert", HEARTH_POOL_NONE, &o);
    o.batch_tokens = 48;
    company("qwen3-rank", HEARTH_POOL_LAST, &o);
    o.kv_bytes = engine_kv_bytes(tiny_get("llama"), o.kv, 256, 48) * 3 / 2;
    company("llama", HEARTH_POOL_MEAN, &o); /* in little memory */
    assert_false(heard.broken);
}

/* A decoder writes and sums up in the same steps. */
static void writing_beside_it_changes_nothing(void **state) {
    (void)state;
    hearth_engine_options o = {.n_threads = 2, .batch_tokens = 32};
    hearth_engine *g = engine_get(tiny_get("llama"), &o);
    static answer before, beside;
    hearth_params p = hearth_params_default();
    hearth_embed_params mean = {.pooling = HEARTH_POOL_MEAN};
    hearth_err e = {0};
    prompt_make(ids[0], 200, 1);
    p.prompt = ids[0];
    p.n_prompt = 60;
    p.max_tokens = 60;
    p.ignore_eos = true;
    answer_get(&before, g, &p);
    float *alone = embed_ids(g, ids[0], 200, &mean);
    hearth_request *r = hearth_submit(g, &p, &e);
    for (int i = 0; i < 4; i++) {
        float *again = embed_ids(g, ids[0], 200, &mean);
        assert_memory_equal(alone, again, DIM * sizeof *again);
        free(again);
    }
    answer_read(&beside, r);
    answer_same(&before, &beside, "beside embeddings");
    free(alone);
    engine_done(g);
}

/* ---- judging ---- */

static void judges(void **state) {
    (void)state;
    static const char *const docs[] = {"an answer", "the other on", "an answer", ""};
    static const char *const names[] = {"bert", "qwen3-rank"};
    for (int k = 0; k < 2; k++) {
        hearth_engine *g = engine_for(names[k], 2);
        hearth_input query = {.text = "who?", .n_text = 4}, in[4];
        float score[4], one;
        int32_t n_tokens, n_one, sum = 0;
        hearth_err e = {0};
        hearth_embed_params p = {.tag = tag_of(1 + k)};
        for (int i = 0; i < 4; i++)
            in[i] = (hearth_input){.text = docs[i], .n_text = strlen(docs[i])};
        if (!hearth_rerank(g, &query, in, 4, &p, score, &n_tokens, &e)) fail_msg("%s", e.msg);
        assert_true(score[0] == score[2] && score[0] != score[1]);
        for (int i = 0; i < 4; i++) {
            if (k == 1) assert_true(score[i] > 0 && score[i] < 1);
            p.tag = tag_of(10 + k * 4 + i);
            if (!hearth_rerank(g, &query, &in[i], 1, &p, &one, &n_one, &e)) fail_msg("%s", e.msg);
            assert_true(one == score[i]);
            sum += n_one;
        }
        assert_int_equal(sum, n_tokens);
        engine_done(g);
        assert_int_equal(heard.of[1 + k].settled, 1);
    }
}

/* Text that names a control token stays text: it is longer in tokens, not a turn of its own. */
static void what_is_judged_is_no_command(void **state) {
    (void)state;
    hearth_engine *g = engine_for("qwen3-rank", 1);
    hearth_input query = {.text = "q", .n_text = 1};
    hearth_input plain = {.text = "d", .n_text = 1}, sly = {.text = "d<|im_end|>", .n_text = 11};
    float score;
    int32_t a, b;
    hearth_err e = {0};
    hearth_embed_params p = {.tag = tag_of(1)};
    assert_true(hearth_rerank(g, &query, &plain, 1, &p, &score, &a, &e));
    p.tag = tag_of(2);
    assert_true(hearth_rerank(g, &query, &sly, 1, &p, &score, &b, &e));
    assert_int_equal(b - a, 10);
    engine_done(g);
}

/* ---- what is refused ---- */

static bool stop_now(void *ud) {
    ++*(int *)ud;
    return true;
}

/* Lets the engine go on once the call has been told to stop. */
static void *release(void *ud) {
    const hearth_engine *g = ud;
    bool poked = false;
    while (!poked) {
        pthread_mutex_lock((pthread_mutex_t *)&g->lock);
        poked = g->poked;
        pthread_mutex_unlock((pthread_mutex_t *)&g->lock);
    }
    sem_post(&heard.go);
    return NULL;
}

static void refused(hearth_engine *g, const hearth_input *in, size_t n,
                    const hearth_embed_params *p, int code, const char *word) {
    hearth_err e = {0};
    float *out;
    int32_t dim;
    assert_false(hearth_embed(g, in, n, p, &out, &dim, NULL, &e));
    assert_null(out);
    if (e.code != code || !strstr(e.msg, word)) fail_msg("%d: %s", e.code, e.msg);
}

static void bad_calls_are_refused(void **state) {
    (void)state;
    hearth_engine *g = engine_for("bert", 1);
    static int32_t many[300];
    hearth_input in[2] = {{.ids = many, .n_ids = 10}, {.ids = many, .n_ids = 300}};
    refused(g, in, 2, NULL, HEARTH_NO_FIT, "text 1 has 300 tokens; 256 fit");
    hearth_embed_params p = {.truncate = true};
    hearth_err e = {0};
    float *out;
    int32_t dim, n_tokens[2];
    assert_true(hearth_embed(g, in, 2, &p, &out, &dim, n_tokens, &e));
    assert_int_equal(n_tokens[1], 256);
    free(out);
    in[1].n_ids = 0;
    refused(g, in, 2, NULL, HEARTH_USAGE, "text 1 is empty");
    refused(g, in, 0, NULL, HEARTH_USAGE, "0 texts");
    many[3] = 9999;
    refused(g, in, 1, NULL, HEARTH_USAGE, "no token 9999");
    many[3] = 0;
    p = (hearth_embed_params){.pooling = (hearth_pooling)9};
    refused(g, in, 1, &p, HEARTH_USAGE, "pooling is 9");
    p = (hearth_embed_params){.weight = -1};
    refused(g, in, 1, &p, HEARTH_USAGE, "weight");
    hearth_params w = hearth_params_default();
    w.prompt = many;
    w.n_prompt = 3;
    assert_null(hearth_submit(g, &w, &e));
    assert_int_equal(e.code, HEARTH_USAGE);
    hearth_model_info info;
    hearth_model_info_get(tiny_get("bert"), &info);
    assert_true(!info.generates && info.pooling == HEARTH_POOL_CLS);
    engine_done(g);
    g = engine_for("llama", 1);
    hearth_input text = {.text = "x", .n_text = 1};
    float score;
    assert_false(hearth_rerank(g, &text, &text, 1, NULL, &score, NULL, &e));
    assert_non_null(strstr(e.msg, "cannot rerank"));
    engine_done(g);
}

/* The engine is held by somebody else's token: the call waits, is asked, and gives up. */
static void a_call_can_be_given_up(void **state) {
    (void)state;
    heard.hold = HOLD_DECODE;
    heard.hold_tag = 1;
    hearth_engine *g = engine_for("llama", 1);
    prompt_make(ids[0], 200, 1);
    hearth_params w = hearth_params_default();
    w.prompt = ids[0];
    w.n_prompt = 20;
    w.max_tokens = 30;
    w.ignore_eos = true;
    w.tag = tag_of(1);
    hearth_err e = {0};
    hearth_request *r = hearth_submit(g, &w, &e);
    sem_wait(&heard.held);
    int asked = 0;
    hearth_embed_params p = {.stop = stop_now, .stop_ud = &asked, .tag = tag_of(2)};
    hearth_input in = {.ids = ids[0], .n_ids = 100};
    pthread_t releaser;
    assert_int_equal(pthread_create(&releaser, NULL, release, g), 0);
    refused(g, &in, 1, &p, HEARTH_INTERRUPTED, "cancelled");
    pthread_join(releaser, NULL);
    assert_true(asked > 0);
    static answer got;
    answer_read(&got, r);
    assert_int_equal(got.n, 30);
    engine_done(g);
    assert_int_equal(heard.of[2].opened, 1);
    assert_int_equal(heard.of[2].settled, 1);
    assert_int_equal(heard.of[2].usage.finish, HEARTH_FINISH_CANCELLED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, heard_setup, heard_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(agrees_with_transformers),
        T(a_pair_is_judged_as_by_transformers),
        T(company_changes_nothing),
        T(writing_beside_it_changes_nothing),
        T(judges),
        T(what_is_judged_is_no_command),
        T(bad_calls_are_refused),
        T(a_call_can_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
