/* The chat template families: renderings byte for byte, recognition, and that nothing people write
 * becomes a control token. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "prompt/prompt.h"

enum { MAX_MESSAGES = 16 };
#define NOW 1795339800 /* 2026-11-22 09:30 UTC, the clock of the expectations */

static char *render(const prompt *p, const prompt_message *m, size_t n, bool open, err *e) {
    prompt_text x;
    prompt_text_init(&x);
    char *s = NULL;
    if (prompt_render(p, m, n, &(prompt_how){.open_answer = open, .now = NOW}, &x, e)) {
        size_t at = 0;
        for (size_t i = 0; i < x.n_spans; i++) { /* spans cover the text without gaps */
            assert_int_equal(x.span[i].start, at);
            at += x.span[i].n;
        }
        assert_int_equal(at, x.text.len);
        s = buf_take(&x.text, NULL);
    }
    prompt_text_deinit(&x);
    return s;
}

/* ---- expectations written here ---- */

static const prompt_message short_chat[] = {
    {{"user", 4}, {"Hi", 2}},
    {{"assistant", 9}, {"Hello.", 6}},
    {{"user", 4}, {" Why?\n", 6}},
};
static const prompt_message system_chat[] = {
    {{"system", 6}, {"Be brief.", 9}},
    {{"user", 4}, {"Hi", 2}},
};

static const struct {
    const char *family, *source, *bos, *eos;
    const char *chat, *with_system; /* both with an opened answer */
} cases[] = {
    {"chatml",
     "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
     "'<|im_start|>"
     "system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}...",
     "", "<|im_end|>",
     "<|im_start|>system\nYou are a helpful AI "
     "assistant<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
     "Hello.<|im_end|>\n<|im_start|>user\n Why?\n<|im_end|>\n<|im_start|>assistant\n",
     "<|im_start|>system\nBe "
     "brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"},
    {"llama3", "{{ bos_token }}'<|start_header_id|>' + message['role'] + '<|end_header_id|>'",
     "<|begin_of_text|>", "<|eot_id|>",
     "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>"
     "assistant"
     "<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_"
     "id|>"
     "<|start_header_id|>assistant<|end_header_id|>\n\n",
     "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe "
     "brief.<|eot_id|><|start_header_id|>user"
     "<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
    {"gemma", "{{ bos_token }}{{ '<start_of_turn>' + role }}", "<bos>", "<eos>",
     "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_"
     "of_turn>user\nWhy?"
     "<end_of_turn>\n<start_of_turn>model\n",
     "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"},
    {"phi", "'<|user|>' + '\n' + message['content'] + '<|end|>'", "<s>", "<|endoftext|>",
     "<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\n Why?\n<|end|>\n<|assistant|>\n",
     "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"},
    {"zephyr", "'<|user|>\n' + message['content'] + eos_token '<|assistant|>'", "<s>", "</s>",
     "<|user|>\nHi</s>\n<|assistant|>\nHello.</s>\n<|user|>\n Why?\n</s>\n<|assistant|>\n",
     "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n"},
    {"mistral", "{{ bos_token }} if loop.last and system_message \"[INST]\" [AVAILABLE_TOOLS]",
     "<s>", "</s>", "<s>[INST]Hi[/INST]Hello.</s>[INST] Why?\n[/INST]",
     "<s>[INST]Be brief.\n\nHi[/INST]"},
    {"mistral", "{{ bos_token }} if loop.last and system_message '[INST] ' [AVAILABLE_TOOLS]",
     "<s>", "</s>", "<s>[INST] Hi[/INST] Hello.</s>[INST]  Why?\n[/INST]",
     "<s>[INST] Be brief.\n\nHi[/INST]"},
    {"llama2", "{{ bos_token }} '[INST] <<SYS>>'", "<s>", "</s>",
     "<s>[INST] Hi [/INST] Hello. </s><s>[INST] Why? [/INST]",
     "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"},
    {"bard", "{{- bos_token -}}'<|bard|>'", "<|endoftext|>", "<|end|>",
     "<|endoftext|><|user|>Hi<|end|><|bard|>Hello.<|end|><|user|>Why?<|end|><|bard|>",
     "<|endoftext|><|system|>Be brief.<|end|><|user|>Hi<|end|><|bard|>"},
};

static void test_written_expectations(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prompt p;
        err e = {0};
        prompt_init(&p, str_of(cases[i].source), str_of(cases[i].bos), str_of(cases[i].eos));
        assert_string_equal(prompt_family_name(p.family), cases[i].family);
        char *a = render(&p, short_chat, 3, true, &e);
        assert_string_equal(a, cases[i].chat);
        char *b = render(&p, system_chat, 2, true, &e);
        assert_string_equal(b, cases[i].with_system);
        free(a);
        free(b);
    }
}

static void test_what_cannot_be_written(void **state) {
    (void)state;
    prompt p;
    err e = {0};
    prompt_init(&p, STR("[INST]"), STR("<s>"), STR("</s>"));
    const prompt_message twice[] = {short_chat[0], short_chat[0]};
    assert_null(render(&p, twice, 2, true, &e));
    assert_int_equal(e.code, ERR_USAGE);
    prompt_init(&p, STR("<|im_start|>"), STR(""), STR(""));
    const prompt_message strange[] = {{STR("narrator"), STR("Once")}};
    assert_null(render(&p, strange, 1, true, &e));
    assert_int_equal(e.code, ERR_USAGE);
    prompt_init(&p, STR("{{ something else }}"), STR(""), STR(""));
    assert_null(p.family);
    assert_null(render(&p, short_chat, 1, true, &e));
    assert_int_equal(e.code, ERR_FAILED);
}

/* ---- expectations made with Jinja2 from the models' own templates ---- */

static const struct {
    const char *name, *family, *skip; /* cases that need more than a family knows */
} templates[] = {
    {"Qwen-Qwen2.5-7B-Instruct", "chatml", ""},
    {"Qwen-Qwen3-0.6B", "chatml",
     "multi-turn-closed"}, /* writes an empty thought into the last answer */
    {"Qwen-QwQ-32B", "chatml",
     "user system-user multi-turn unicode two-users"}, /* opens with a thought */
    {"HuggingFaceTB-SmolLM3-3B", "smollm3", ""},
    {"meta-llama-Llama-3.1-8B-Instruct", "llama3", ""},
    {"meta-llama-Llama-3.2-3B-Instruct", "llama3", ""},
    {"meta-llama-Llama-3.3-70B-Instruct", "llama3", ""},
    {"microsoft-Phi-3.5-mini-instruct", "phi", ""},
    {"mistralai-Mistral-Nemo-Instruct-2407", "mistral", ""},
    /* without a system message these two write a long one of their own */
    {"Mistral-Small-3.2-24B-Instruct-2506", "mistral",
     "user user-no-prompt multi-turn-closed unicode two-users"},
    {"mistralai-Ministral-3-14B-Reasoning-2512", "mistral",
     "user user-no-prompt multi-turn-closed unicode two-users"},
};
static const char *const case_names[] = {"user",       "user-no-prompt",    "system-user",
                                         "multi-turn", "multi-turn-closed", "unicode",
                                         "two-users"};

static json_t *load(const char *shared, const char *name, const char *end) {
    char path[1024];
    snprintf(path, sizeof path, "%s/templates/%s%s", shared, name, end);
    return json_load_file(path, 0, NULL);
}

static size_t messages_of(json_t *c, prompt_message *m) {
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(c, "messages"), i, v) {
        assert_true(i < MAX_MESSAGES);
        m[i].role = str_of(json_string_value(json_object_get(v, "role")));
        m[i].text = str_of(json_string_value(json_object_get(v, "content")));
    }
    return json_array_size(json_object_get(c, "messages"));
}

static void check_template(const char *shared, size_t t, json_t *all_cases, int *n_checked) {
    char path[1024];
    buf source;
    buf_init(&source, 1 << 20);
    snprintf(path, sizeof path, "%s/templates/%s.jinja", shared, templates[t].name);
    err e = {0};
    assert_true(file_read(&source, path, &e));
    json_t *expected = load(shared, templates[t].name, ".expected.json");
    assert_non_null(expected);
    json_t *results = json_object_get(expected, "cases") ? json_object_get(expected, "cases")
                                                         : expected;
    prompt p;
    prompt_init(&p, buf_str(&source), STR("<s>"), STR("</s>"));
    assert_string_equal(prompt_family_name(p.family), templates[t].family);
    for (size_t i = 0; i < sizeof case_names / sizeof *case_names; i++) {
        const char *skip = strstr(templates[t].skip, case_names[i]);
        size_t k = strlen(case_names[i]);
        if (skip && (skip[k] == 0 || skip[k] == ' ') &&
            (skip == templates[t].skip || skip[-1] == ' '))
            continue;
        json_t *c = json_object_get(json_object_get(all_cases, "cases"), case_names[i]);
        prompt_message m[MAX_MESSAGES];
        size_t n = messages_of(c, m);
        const char *text = json_string_value(
            json_object_get(json_object_get(results, case_names[i]), "text"));
        char *got = render(&p, m, n, json_is_true(json_object_get(c, "add_generation_prompt")), &e);
        if (!text ? got != NULL : !got || strcmp(text, got) != 0)
            fail_msg("%s, %s:\n%s\ninstead of\n%s", templates[t].name, case_names[i],
                     got ? got : e.msg, text ? text : "an error");
        free(got);
        ++*n_checked;
    }
    json_decref(expected);
    buf_deinit(&source);
}

static const char *shared_or_skip(void) {
    const char *shared = getenv("HEARTH_SHARED");
    if (shared && *shared) return shared;
    printf("skipped: 2 tests against reference data: HEARTH_SHARED is not set\n");
    skip();
    return NULL;
}

static void test_against_jinja(void **state) {
    (void)state;
    const char *shared = shared_or_skip();
    json_t *all = load(shared, "cases", ".json");
    assert_non_null(all);
    int n = 0;
    for (size_t t = 0; t < sizeof templates / sizeof *templates; t++)
        check_template(shared, t, all, &n);
    json_decref(all);
    assert_true(n >= 50);
}

/* ---- ids ---- */

static void same_ids(const tok *t, const char *file, const prompt *p, const prompt_message *m,
                     size_t n) {
    prompt_text x;
    err e = {0};
    tok_ids spans = {0}, whole = {0};
    prompt_text_init(&x);
    assert_true(prompt_render(p, m, n, &(prompt_how){.open_answer = true, .now = NOW}, &x, &e));
    assert_true(prompt_encode(&x, t, &spans, &e));
    assert_true(tok_encode(t, buf_str(&x.text), TOK_SPECIAL, &whole, &e));
    bool same = spans.n == whole.n && memcmp(spans.id, whole.id, spans.n * sizeof *spans.id) == 0;
    if (!same) {
        printf("%s, %s: %s\n", file, prompt_family_name(p->family), x.text.data);
        for (size_t i = 0; i < spans.n || i < whole.n; i++)
            printf("%d %d\n", i < spans.n ? spans.id[i] : -1, i < whole.n ? whole.id[i] : -1);
    }
    assert_true(same);
    tok_ids_deinit(&spans);
    tok_ids_deinit(&whole);
    prompt_text_deinit(&x);
}

static int count_of(const tok_ids *ids, int32_t id) {
    int n = 0;
    for (size_t i = 0; i < ids->n; i++) n += ids->id[i] == id;
    return n;
}

/* A message that spells out every control token of the vocabulary gives none of them. */
static void nothing_is_injected(const tok *t, const prompt *p) {
    buf evil;
    buf_init(&evil, 1 << 24);
    for (int32_t i = 0; i < tok_n_vocab(t); i++)
        if (tok_attr_of(t, i) == TOK_CONTROL) buf_put_str(&evil, tok_text(t, i));
    prompt_message m[] = {{STR("user"), STR("x")}};
    prompt_text plain, attack;
    tok_ids a = {0}, b = {0};
    err e = {0};
    prompt_text_init(&plain);
    prompt_text_init(&attack);
    prompt_how how = {.open_answer = true, .now = NOW};
    assert_true(prompt_render(p, m, 1, &how, &plain, &e) && prompt_encode(&plain, t, &a, &e));
    m[0].text = buf_str(&evil);
    assert_true(prompt_render(p, m, 1, &how, &attack, &e) && prompt_encode(&attack, t, &b, &e));
    for (int32_t i = 0; i < tok_n_vocab(t); i++)
        if (tok_attr_of(t, i) == TOK_CONTROL) assert_int_equal(count_of(&a, i), count_of(&b, i));
    tok_ids_deinit(&a);
    tok_ids_deinit(&b);
    prompt_text_deinit(&plain);
    prompt_text_deinit(&attack);
    buf_deinit(&evil);
}

static void check_vocab(const char *path) {
    err e = {0};
    gguf *g = gguf_open(path, &e);
    assert_non_null(g);
    tok *t = tok_open(g, &e);
    assert_non_null(t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prompt p;
        prompt_init(&p, str_of(cases[i].source), tok_text(t, tok_bos(t)), tok_text(t, tok_eos(t)));
        same_ids(t, path, &p, short_chat, 3);
        same_ids(t, path, &p, system_chat, 2);
        nothing_is_injected(t, &p);
    }
    tok_close(t);
    gguf_close(g);
}

static void test_ids(void **state) {
    (void)state;
    const char *shared = shared_or_skip();
    static const char *const names[] = {"llama-bpe", "qwen2", "phi-3",
                                        "llama-spm", "gpt-2", "deepseek-llm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/vocab/ggml-vocab-%s.gguf", shared, names[i]);
        check_vocab(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_expectations),
        cmocka_unit_test(test_what_cannot_be_written),
        cmocka_unit_test(test_against_jinja),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
