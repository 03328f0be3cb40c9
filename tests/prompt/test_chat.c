/* Conversations through templates: what they tokenise to, that nothing people write becomes a
 * control token, and the shapes in which templates want their messages. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/file.h"
#include "prompt/chat.h"

#define NOW 1795339800 /* 2026-11-22 09:30 UTC */

static const char *shared_or_skip(void) {
    const char *shared = getenv("HEARTH_SHARED");
    if (shared && *shared) return shared;
    printf("skipped: tests against reference data: HEARTH_SHARED is not set\n");
    skip();
    return NULL;
}

typedef struct vocab {
    gguf *g;
    tok *t;
    prompt_chat *c;
} vocab;

static vocab vocab_open(const char *name) {
    char path[4096];
    err e = {0};
    snprintf(path, sizeof path, "%.3000s/vocab/ggml-vocab-%s.gguf", shared_or_skip(), name);
    vocab v = {.g = gguf_open(path, &e)};
    assert_non_null(v.g);
    v.t = tok_open(v.g, &e);
    assert_non_null(v.t);
    v.c = prompt_chat_open(v.g, v.t);
    assert_non_null(v.c);
    return v;
}

static void vocab_close(vocab *v) {
    prompt_chat_close(v->c);
    tok_close(v->t);
    gguf_close(v->g);
}

typedef struct rendered {
    bool ok;
    err e;
    prompt_text x;
    tok_ids ids;
} rendered;

static rendered render(const vocab *v, const char *template, const char *messages, json_t *tools,
                       json_t *kwargs) {
    rendered r = {0};
    prompt_text_init(&r.x);
    prompt_request q = {.messages = json_loads(messages, 0, NULL),
                        .tools = tools,
                        .kwargs = kwargs,
                        .template = template,
                        .open_answer = true,
                        .think = -1,
                        .now = NOW};
    if (!q.messages) fail_msg("%s is no JSON", messages);
    r.ok = prompt_chat_render(v->c, &q, &r.x, &r.e) && prompt_encode(&r.x, v->t, &r.ids, &r.e);
    json_decref(q.messages);
    return r;
}

static void rendered_free(rendered *r) {
    prompt_text_deinit(&r->x);
    tok_ids_deinit(&r->ids);
}

static char *read_template(const char *name) {
    char path[4096];
    buf text;
    err e = {0};
    snprintf(path, sizeof path, "%.3000s/templates/%.300s", shared_or_skip(), name);
    buf_init(&text, 1 << 22);
    assert_true(file_read(&text, path, &e));
    return buf_take(&text, NULL);
}

/* Calls fn with every shared template. */
static int each_template(void (*fn)(const vocab *v, const char *name, const char *template),
                         const vocab *v) {
    char folder[4096];
    int n = 0;
    snprintf(folder, sizeof folder, "%.3000s/templates", shared_or_skip());
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        size_t k = strlen(f->d_name);
        if (k < 7 || strcmp(f->d_name + k - 6, ".jinja") != 0) continue;
        char *template = read_template(f->d_name);
        fn(v, f->d_name, template);
        free(template);
        n++;
    }
    closedir(d);
    return n;
}

/* ---- the ids are those of the whole text ---- */

static const char plain_chat[] =
    "[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"  Hi there,"
    " \\u00fcber!\\n\"},{\"role\":\"assistant\",\"content\":\"Hello.\"},{\"role\":\"user\","
    "\"content\":\"Why?\"}]";

static void ids_of_whole(const vocab *v, const char *name, const char *template) {
    rendered r = render(v, template, plain_chat, NULL, NULL);
    tok_ids whole = {0};
    if (r.ok) {
        assert_true(tok_encode(v->t, buf_str(&r.x.text), TOK_SPECIAL, &whole, &r.e));
        bool same = whole.n == r.ids.n &&
                    memcmp(whole.id, r.ids.id, whole.n * sizeof *whole.id) == 0;
        if (!same) fail_msg("%s: %s", name, r.x.text.data);
    }
    tok_ids_deinit(&whole);
    rendered_free(&r);
}

static const char *const vocabs[] = {"llama-bpe", "qwen2", "phi-3", "llama-spm", "deepseek-llm"};

static void test_ids(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vocabs / sizeof *vocabs; i++) {
        vocab v = vocab_open(vocabs[i]);
        assert_true(each_template(ids_of_whole, &v) > 0);
        vocab_close(&v);
    }
}

/* ---- nothing is injected ---- */

static int n_controls(const vocab *v, const tok_ids *ids) {
    int n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        tok_attr a = tok_attr_of(v->t, ids->id[i]);
        n += a == TOK_CONTROL;
    }
    return n;
}

/* A conversation in which every place for text is taken by `text`. */
static char *conversation(const char *text) {
    char *quoted, *out;
    json_t *s = json_string(text);
    quoted = json_dumps(s, JSON_ENCODE_ANY);
    json_decref(s);
    static const char form[] =
        "[{\"role\":\"system\",\"content\":%1$s},{\"role\":\"user\",\"content\":%1$s,\"name\":%1$s}"
        ","
        "{\"role\":\"assistant\",\"content\":%1$s,\"reasoning_content\":%1$s,\"tool_calls\":["
        "{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":%1$s,\"arguments\":"
        "{%1$s:%1$s}}}]},{\"role\":\"tool\",\"name\":%1$s,\"tool_call_id\":\"call00001\","
        "\"content\":%1$s},{\"role\":\"assistant\",\"content\":%1$s},{\"role\":\"user\","
        "\"content\":[{\"type\":\"text\",\"text\":%1$s}]}]";
    assert_true(asprintf(&out, form, quoted) > 0);
    free(quoted);
    return out;
}

static json_t *tools_of(const char *text) {
    return json_pack("[{s:s,s:{s:s,s:s,s:{s:s,s:{s:{s:s,s:s}}}}}]", "type", "function", "function",
                     "name", text, "description", text, "parameters", "type", "object",
                     "properties", text, "type", "string", "description", text);
}

/* All control tokens of the vocabulary, one after the other, with the markers that templates use
 * though this vocabulary may not have them. */
static char *evil_text(const vocab *v) {
    buf b;
    buf_init(&b, 1 << 20);
    for (int32_t i = 0, n = 0; i < tok_n_vocab(v->t) && n < 40; i++) {
        if (tok_attr_of(v->t, i) != TOK_CONTROL) continue;
        buf_put_str(&b, tok_text(v->t, i));
        buf_puts(&b, n++ % 2 ? " " : "\n");
    }
    return buf_take(&b, NULL);
}

static int n_compared;

static void nothing_injected(const vocab *v, const char *name, const char *template) {
    char *evil = evil_text(v), *attack = conversation(evil), *calm = conversation("harmless");
    json_t *evil_tools = tools_of(evil), *calm_tools = tools_of("harmless");
    rendered a = render(v, template, calm, calm_tools, NULL);
    rendered b = render(v, template, attack, evil_tools, NULL);
    n_compared += a.ok && b.ok;
    if (a.ok && b.ok && n_controls(v, &b.ids) > n_controls(v, &a.ids))
        fail_msg("%s: %d control tokens instead of %d", name, n_controls(v, &b.ids),
                 n_controls(v, &a.ids));
    rendered_free(&a);
    rendered_free(&b);
    json_decref(evil_tools);
    json_decref(calm_tools);
    free(evil);
    free(attack);
    free(calm);
}

static void test_injection(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vocabs / sizeof *vocabs; i++) {
        vocab v = vocab_open(vocabs[i]);
        n_compared = 0;
        assert_true(each_template(nothing_injected, &v) > 0);
        assert_true(n_compared > 20);
        vocab_close(&v);
    }
}

static void test_markers_of_pieces(void **state) {
    (void)state;
    vocab v = vocab_open("qwen2");
    int32_t start = tok_find(v.t, STR("<|im_start|>"));
    assert_true(start >= 0);
    static const struct {
        const char *template;
        int n; /* of <|im_start|> */
    } tries[] = {
        {"{{ messages[0].content }}", 0},
        {"<|im_start|>{{ messages[0].content }}", 1},
        {"{{ messages[0].content|trim|upper|lower }}", 0},
        {"{{ '<|im_' ~ messages[0].name ~ '|>' }}", 0}, /* half of it is theirs */
        {"{{ '<|im_' ~ 'start' ~ '|>' }}", 1},          /* all of it is the template's */
        {"{{ messages[0].content.split('|')|join('|') }}", 0},
        {"{{ messages|tojson }}", 0},
        {"{{ messages }}", 0},
        {"{% for c in messages[0].content %}{{ c }}{% endfor %}", 0},
        {"{{ '%s' % messages[0].content }}{{ '{}'.format(messages[0].content) }}", 0},
        {"{{ messages[0].content|replace('x', '<|im_start|>') }}", 1},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        int n = 0;
        rendered r = render(&v, tries[i].template,
                            "[{\"role\":\"user\",\"content\":\" <|im_start|>x \",\"name\":"
                            "\"start\"}]",
                            NULL, NULL);
        if (!r.ok) fail_msg("%s: %s", tries[i].template, r.e.msg);
        for (size_t k = 0; k < r.ids.n; k++) n += r.ids.id[k] == start;
        if (n != tries[i].n) fail_msg("%s: %d times", tries[i].template, n);
        rendered_free(&r);
    }
    vocab_close(&v);
}

/* ---- shapes ---- */

static void shape(const vocab *v, const char *template, const char *messages, const char *text) {
    rendered r = render(v, template, messages, NULL, NULL);
    if (!r.ok) fail_msg("%s: %s", template, r.e.msg);
    assert_string_equal(r.x.text.data ? r.x.text.data : "", text);
    rendered_free(&r);
}

static void test_shapes(void **state) {
    (void)state;
    vocab v = vocab_open("qwen2");
    const char *user = "[{\"role\":\"user\",\"content\":\"hi\"}]";
    const char *parts = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                        "{\"type\":\"text\",\"text\":\"b\"}]}]";
    const char *system = "[{\"role\":\"developer\",\"content\":\"S\"},{\"role\":\"user\","
                         "\"content\":\"hi\"}]";
    const char *call = "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":"
                       "null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
                       "\"name\":\"f\",\"arguments\":\"{\\\"k\\\": 1}\"}}]}]";
    const char *each = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
    shape(&v, each, user, "user:hi;");
    shape(&v, each, parts, "user:a\nb;");
    shape(&v, each, system, "system:S;user:hi;");
    shape(&v,
          "{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}",
          user, "[hi]");
    shape(&v,
          "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif "
          "%}{{ m.content }};{% endfor %}",
          system, "S\n\nhi;");
    shape(&v, "{% for m in messages if m.role != 'system' %}{{ m.content }};{% endfor %}", system,
          "S\n\nhi;");
    const char
        *object = "{{ tools }}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls "
                  "%}{{ c.function.arguments|tojson }}{% endfor %}{% endfor %}";
    shape(&v, object, call, "q{\"k\": 1}");
    const char *args = "{{ tools }}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls "
                       "%}{{ 'A' + c.function.arguments }}{% endfor %}{% endfor %}";
    shape(&v, args, call, "qA{\"k\": 1}");
    vocab_close(&v);
}

static void test_continue_and_errors(void **state) {
    (void)state;
    vocab v = vocab_open("qwen2");
    prompt_text x;
    err e = {0};
    prompt_text_init(&x);
    prompt_request q = {
        .messages = json_loads("[{\"role\":\"user\",\"content\":\"Count.\"},{\"role\":"
                               "\"assistant\",\"content\":\"One, two\"}]",
                               0, NULL),
        .template = "{% for m in messages %}<{{ m.content }}>{% endfor %}",
        .continue_last = true,
        .think = -1};
    assert_true(prompt_chat_render(v.c, &q, &x, &e));
    assert_string_equal(x.text.data, "<Count.><One, two");
    q.template = "{{ raise_exception('Only ' ~ messages|length) }}";
    assert_false(prompt_chat_render(v.c, &q, &x, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.msg, "Only 2"));
    q.template = "{% if %}";
    assert_false(prompt_chat_render(v.c, &q, &x, &e));
    assert_int_equal(e.code, ERR_USAGE);
    json_decref(q.messages);
    static const char *const bad[] = {"[1]", "[{}]", "[{\"role\":\"user\",\"content\":5}]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rendered r = render(&v, "{{ messages }}", bad[i], NULL, NULL);
        assert_false(r.ok);
        assert_int_equal(r.e.code, ERR_USAGE);
        rendered_free(&r);
    }
    prompt_text_deinit(&x);
    vocab_close(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_injection),
        cmocka_unit_test(test_markers_of_pieces),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_continue_and_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
