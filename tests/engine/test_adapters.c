/* Requests with adapters: the same answers in any company, prefixes shared with the same adapters
 * only, and what is refused. */
#include "support/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_test.h"
#include "quant/quant.h"
#include "support/tiny.h"

static int32_t prompt[130];
static hearth_lora *lora[TINY_LORAS];

/* The tiny model's adapters, opened from files that the tests write. */
static int setup(void **state) {
    (void)state;
    prompt_make(prompt, 130, 1);
    for (int i = 0; i < TINY_LORAS; i++) {
        err e = {0};
        hearth_err he = {0};
        char path[] = "/tmp/hearth-adapter-XXXXXX";
        buf b;
        buf_init(&b, 64u << 20);
        if (!tiny_lora_build("llama-untied", i + 1, QUANT_F16, &b, NULL, &e)) fail_msg("%s", e.msg);
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, b.data, b.len) == (ssize_t)b.len);
        close(fd);
        lora[i] = hearth_lora_open(tiny_get("llama-untied"), path, &he);
        if (!lora[i]) fail_msg("%s", he.msg);
        unlink(path); /* it stays there while it is open */
        buf_deinit(&b);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < TINY_LORAS; i++) hearth_lora_close(lora[i]);
    return 0;
}

static hearth_params params_of(const hearth_lora_use *use, size_t n) {
    hearth_params p = hearth_params_default();
    p.prompt = prompt;
    p.n_prompt = 130;
    p.max_tokens = 24;
    p.ignore_eos = true;
    p.temperature = 0;
    p.lora = use;
    p.n_lora = n;
    return p;
}

static hearth_engine *engine_of(int threads, int32_t batch, int32_t requests) {
    hearth_engine_options o = {
        .n_threads = threads, .n_ctx = 256, .batch_tokens = batch, .max_requests = requests};
    return engine_get(tiny_get("llama-untied"), &o);
}

/* Four ways to be adapted, each alone, then all at once in small steps. */
static void same_answers_in_any_company(void **state) {
    (void)state;
    hearth_lora_use both[] = {{lora[0], 0.5f}, {lora[1], -0.75f}};
    hearth_lora_use turned[] = {both[1], both[0]}, weak[] = {{lora[0], 0.25f}};
    hearth_params p[] = {params_of(both, 2), params_of(NULL, 0), params_of(weak, 1),
                         params_of(turned, 2)};
    static answer alone[4], among;
    for (int i = 0; i < 4; i++) {
        hearth_engine *g = engine_of(1, 512, 1);
        answer_get(&alone[i], g, &p[i]);
        assert_int_equal(alone[i].n, 24);
        engine_done(g);
    }
    answer_same(&alone[0], &alone[3], "the order in which adapters are named");
    assert_memory_not_equal(alone[0].id, alone[1].id, sizeof(int32_t) * 24);
    assert_memory_not_equal(alone[2].id, alone[1].id, sizeof(int32_t) * 24);
    hearth_engine *g = engine_of(2, 24, 4);
    hearth_request *r[4];
    for (int i = 0; i < 4; i++) {
        hearth_err e = {0};
        if (!(r[i] = hearth_submit(g, &p[i], &e))) fail_msg("%s", e.msg);
    }
    for (int i = 0; i < 4; i++) {
        answer_read(&among, r[i]);
        answer_same(&alone[i], &among, "alone, and among others");
    }
    engine_done(g);
}

/* Keys and values of other adapters, or of another scale, are never taken. */
static void prefixes_know_their_adapters(void **state) {
    (void)state;
    static answer a;
    hearth_lora_use one[] = {{lora[0], 0.5f}}, other[] = {{lora[1], 0.5f}};
    hearth_lora_use louder[] = {{lora[0], 0.75f}}, none[] = {{lora[0], 0}};
    hearth_params none_p = params_of(NULL, 0), zero = params_of(none, 1), same = params_of(one, 1);
    hearth_params p[] = {none_p, same, params_of(other, 1), params_of(louder, 1)};
    hearth_engine *g = engine_of(2, 512, 4);
    for (int i = 0; i < 4; i++) {
        answer_get(&a, g, &p[i]);
        assert_int_equal(a.usage.n_cached, 0);
    }
    answer_get(&a, g, &same);
    assert_int_equal(a.usage.n_cached, 129);
    answer_get(&a, g, &zero); /* a scale of 0 is no adapter */
    assert_int_equal(a.usage.n_cached, 129);
    engine_done(g);
}

/* What is published serves those with the adapters that it was computed with. */
static void published_prefixes_know_their_adapters(void **state) {
    (void)state;
    static answer a;
    hearth_err e = {0};
    hearth_lora_use one[] = {{lora[0], 0.5f}}, other[] = {{lora[0], 1}};
    hearth_params plain = params_of(NULL, 0), adapted = params_of(one, 1);
    hearth_params louder = params_of(other, 1);
    for (int with = 0; with < 2; with++) {
        hearth_engine *g = engine_of(2, 512, 4);
        if (!hearth_engine_pin(g, prompt, 128, one, with ? 1 : 0, &e)) fail_msg("%s", e.msg);
        answer_get(&a, g, &louder);
        assert_int_equal(a.usage.n_cached, 0);
        answer_get(&a, g, &adapted);
        assert_int_equal(a.usage.n_cached, with ? 128 : 0);
        answer_get(&a, g, &plain);
        assert_int_equal(a.usage.n_cached, with ? 0 : 128);
        hearth_engine_free(g); /* what is published is held to the end */
    }
}

/* The vectors of texts too. */
static void vectors_have_adapters(void **state) {
    (void)state;
    hearth_err e = {0};
    hearth_engine *g = engine_of(2, 512, 4);
    hearth_lora_use one[] = {{lora[0], 0.5f}}, none[] = {{lora[0], 0}};
    hearth_input in = {.ids = prompt, .n_ids = 40};
    hearth_embed_params p[] = {{0}, {.lora = one, .n_lora = 1}, {.lora = none, .n_lora = 1}};
    float *vec[3];
    int32_t dim = 0;
    for (int i = 0; i < 3; i++)
        if (!hearth_embed(g, &in, 1, &p[i], &vec[i], &dim, NULL, &e)) fail_msg("%s", e.msg);
    assert_memory_not_equal(vec[0], vec[1], (size_t)dim * sizeof(float));
    assert_memory_equal(vec[0], vec[2], (size_t)dim * sizeof(float));
    for (int i = 0; i < 3; i++) hearth_free(vec[i]);
    engine_done(g);
}

static void what_is_refused(void **state) {
    (void)state;
    hearth_err e = {0};
    hearth_lora_use twice[] = {{lora[0], 1}, {lora[0], 1}}, odd[] = {{lora[0], NAN}};
    hearth_params p = params_of(twice, 2);
    hearth_engine *g = engine_of(1, 512, 1);
    assert_null(hearth_submit(g, &p, &e));
    assert_non_null(strstr(e.msg, "twice"));
    p = params_of(odd, 1);
    assert_null(hearth_submit(g, &p, &e));
    assert_non_null(strstr(e.msg, "no number"));
    engine_done(g);
    hearth_engine_options o = {.n_threads = 1};
    g = engine_get(tiny_get("llama"), &o);
    p = params_of(odd, 1);
    assert_null(hearth_submit(g, &p, &e));
    assert_non_null(strstr(e.msg, "another model"));
    engine_done(g);
    assert_null(hearth_lora_open(tiny_get("llama"), "/nowhere/x.gguf", &e));
    assert_int_equal(e.code, HEARTH_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_answers_in_any_company),
        cmocka_unit_test(prefixes_know_their_adapters),
        cmocka_unit_test(published_prefixes_know_their_adapters),
        cmocka_unit_test(vectors_have_adapters),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
