/* Answers taken apart: samples of every format, cut everywhere, cut short everywhere, and held
 * against the grammar that the format gives; and what each template of the shared collection
 * writes for an answer, read back. */
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "answer/answer.h"
#include "base/file.h"
#include "grammar/grammar.h"
#include "template/jinja.h"

/* ---- an answer's events, joined ---- */

typedef struct heard {
    json_t *list; /* ["text", s], ["reasoning", s], ["call", name, arguments, id, "broken"?] */
    buf text, args, id;
    answer_kind kind;
    bool bad; /* events out of order, or arguments that are no JSON */
} heard;

static void heard_init(heard *h) {
    *h = (heard){.list = json_array()};
    buf_init(&h->text, 1 << 24);
    buf_init(&h->args, 1 << 24);
    buf_init(&h->id, 1 << 24);
}

static void heard_deinit(heard *h) {
    json_decref(h->list);
    buf_deinit(&h->text);
    buf_deinit(&h->args);
    buf_deinit(&h->id);
}

static void settle(heard *h) {
    if (h->text.len > 0)
        json_array_append_new(h->list,
                              json_pack("[s, s%]", h->kind == ANSWER_TEXT ? "text" : "reasoning",
                                        h->text.data, h->text.len));
    buf_clear(&h->text);
}

static void take(void *ud, const answer_event *ev) {
    heard *h = ud;
    json_t *args;
    switch (ev->kind) {
    case ANSWER_TEXT:
    case ANSWER_REASONING:
        if (h->kind != ev->kind) settle(h);
        h->kind = ev->kind;
        buf_put_str(&h->text, ev->text);
        break;
    case ANSWER_CALL_BEGIN:
        settle(h);
        buf_clear(&h->args);
        buf_clear(&h->id);
        buf_put_str(&h->id, ev->id);
        json_array_append_new(h->list, json_pack("[s, s%]", "call", ev->name.p, ev->name.n));
        break;
    case ANSWER_CALL_ARGS: buf_put_str(&h->args, ev->text); break;
    case ANSWER_CALL_END:
        if (h->text.len > 0) h->bad = true;
        args = json_loadb(h->args.data ? h->args.data : "", h->args.len, JSON_DECODE_INT_AS_REAL,
                          NULL);
        json_decref(args);
        args = json_loadb(h->args.data ? h->args.data : "", h->args.len, 0, NULL);
        if (!json_is_object(args)) {
            h->bad = true;
            print_error("arguments: %.*s\n", STR_ARG(buf_str(&h->args)));
        }
        json_t *call = json_array_get(h->list, json_array_size(h->list) - 1);
        if (h->id.len == 0) buf_put_str(&h->id, ev->id);
        json_array_append_new(call, args ? args : json_null());
        if (h->id.len > 0 || ev->broken)
            json_array_append_new(call, json_stringn(h->id.data ? h->id.data : "", h->id.len));
        if (ev->broken) json_array_append_new(call, json_string("broken"));
        break;
    }
}

typedef struct asked {
    const answer_format *format;
    str tail;
    const json_t *tools;
    bool whole; /* thoughts stay in the text */
} asked;

/* Reads s, cut before the bytes at..; the events as JSON, owned. */
static json_t *read_cut(const asked *q, str s, const size_t *cut, size_t n, char *warning) {
    err e = {0};
    heard h;
    heard_init(&h);
    answer *a = answer_new(&(answer_how){.format = q->format,
                                         .prompt_tail = q->tail,
                                         .tools = q->tools,
                                         .split_thought = !q->whole},
                           &e);
    assert_non_null(a);
    size_t from = 0;
    for (size_t i = 0; i <= n; i++) {
        size_t to = i < n ? cut[i] : s.n;
        assert_true(answer_push(a, (str){s.p + from, to - from}, take, &h));
        from = to;
    }
    assert_true(answer_finish(a, take, &h));
    settle(&h);
    if (h.bad) print_error("%s: %.*s\n", answer_format_name(q->format), STR_ARG(s));
    assert_false(h.bad);
    if (warning) snprintf(warning, 300, "%s", answer_warning(a) ? answer_warning(a) : "");
    answer_free(a);
    json_t *list = json_incref(h.list);
    heard_deinit(&h);
    return list;
}

static json_t *read_whole(const asked *q, str s, char *warning) {
    return read_cut(q, s, NULL, 0, warning);
}

static json_t *read_bytewise(const asked *q, str s) {
    size_t *cut = calloc(s.n + 1, sizeof *cut);
    for (size_t i = 0; i < s.n; i++) cut[i] = i;
    json_t *list = read_cut(q, s, cut, s.n, NULL);
    free(cut);
    return list;
}

static bool same(const json_t *want, json_t *got, const char *what, str s) {
    bool ok = json_equal(want, got);
    if (!ok) {
        char *a = json_dumps(want, JSON_COMPACT), *b = json_dumps(got, JSON_COMPACT);
        print_error("%s: %.*s\n  want %s\n  got  %s\n", what, (int)(s.n < 400 ? s.n : 400), s.p, a,
                    b);
        free(a);
        free(b);
    }
    json_decref(got);
    return ok;
}

/* Byte by byte, every cut, and every pair of cuts of what is short. */
static bool cuts_do_not_matter(const asked *q, str s, const char *what) {
    json_t *want = read_whole(q, s, NULL);
    bool ok = same(want, read_bytewise(q, s), what, s);
    for (size_t i = 0; ok && i < s.n; i++) ok = same(want, read_cut(q, s, &i, 1, NULL), what, s);
    if (s.n <= 90)
        for (size_t i = 0; ok && i < s.n; i++)
            for (size_t k = i + 1; ok && k < s.n; k++)
                ok = same(want, read_cut(q, s, (size_t[]){i, k}, 2, NULL), what, s);
    json_decref(want);
    return ok;
}

/* However short it is cut, arguments are JSON (read_cut sees to it) and the cuts do not matter. */
static bool may_end_anywhere(const asked *q, str s, const char *what) {
    bool ok = true;
    for (size_t n = 0; ok && n < s.n; n++) {
        str part = {s.p, n};
        json_t *want = read_whole(q, part, NULL);
        ok = same(want, read_bytewise(q, part), what, part);
        json_decref(want);
    }
    return ok;
}

/* ---- samples ---- */

static json_t *load_samples(void) {
    char path[4096];
    json_error_t je;
    snprintf(path, sizeof path, "%s/tests/answer/answers.json", getenv("HEARTH_SOURCE"));
    json_t *j = json_load_file(path, 0, &je);
    if (!j) print_error("%s: %s\n", path, je.text);
    assert_non_null(j);
    return j;
}

static str text_of(const json_t *j, const char *key) {
    const json_t *v = json_object_get(j, key);
    return v ? (str){json_string_value(v), json_string_length(v)} : (str){"", 0};
}

static asked asked_of(const json_t *sample, const json_t *all) {
    asked q = {.format = answer_format_find(text_of(sample, "format").p),
               .tail = text_of(sample, "tail"),
               .tools = json_object_get(sample, "tools"),
               .whole = json_is_true(json_object_get(sample, "whole"))};
    if (!q.format) print_error("no format %s\n", text_of(sample, "format").p);
    assert_non_null(q.format);
    if (!q.tools) q.tools = json_object_get(all, "tools");
    if (json_is_null(q.tools)) q.tools = NULL;
    return q;
}

static void test_samples(void **state) {
    (void)state;
    json_t *all = load_samples(), *sample;
    size_t i;
    int wrong = 0;
    json_array_foreach(json_object_get(all, "samples"), i, sample) {
        asked q = asked_of(sample, all);
        str input = text_of(sample, "input");
        const char *name = text_of(sample, "format").p;
        char warning[300];
        json_t *got = read_whole(&q, input, warning);
        wrong += !same(json_object_get(sample, "want"), got, name, input);
        const char *warn = text_of(sample, "warning").p;
        if (!!*warn != !!*warning || !strstr(warning, warn)) {
            print_error("%s: %.*s\n  warned \"%s\"\n", name, STR_ARG(input), warning);
            wrong++;
        }
        wrong += !cuts_do_not_matter(&q, input, name);
        wrong += !may_end_anywhere(&q, input, name);
    }
    assert_true(i > 60);
    json_decref(all);
    assert_int_equal(wrong, 0);
}

static void test_every_format_has_a_sample(void **state) {
    (void)state;
    json_t *all = load_samples(), *sample;
    size_t i;
    for (const char *const *name = answer_format_names(); *name; name++) {
        bool found = false;
        json_array_foreach(json_object_get(all, "samples"), i, sample) {
            found = found || (strcmp(text_of(sample, "format").p, *name) == 0 &&
                              json_object_get(sample, "rules"));
        }
        if (!found) print_error("no sample with rules for %s\n", *name);
        assert_true(found);
        assert_string_equal(answer_format_name(answer_format_find(*name)), *name);
    }
    assert_null(answer_format_find("nobody"));
    json_decref(all);
}

/* ---- the grammar ---- */

static grammar *rules_of(const asked *q, const answer_demand *d) {
    err e = {0};
    buf rules;
    buf_init(&rules, 1 << 24);
    answer_how how = {
        .format = q->format, .prompt_tail = q->tail, .tools = q->tools, .split_thought = true};
    bool ok = answer_rules(&how, d, &rules, &e);
    grammar *g = ok && rules.len > 0 ? grammar_rules(buf_str(&rules), &e) : NULL;
    if (!g)
        print_error("%s: %s\n%.*s\n", answer_format_name(q->format), e.msg,
                    STR_ARG(buf_str(&rules)));
    buf_deinit(&rules);
    return g;
}

static bool accepts(grammar *g, str s) {
    err e = {0};
    grammar_state *state = grammar_state_new(g, NULL, &e);
    assert_non_null(state);
    bool ok = grammar_state_accept_bytes(state, s) && grammar_state_may_end(state);
    grammar_state_free(state);
    return ok;
}

static bool check_rules(const asked *q, const answer_demand *d, str input, bool want,
                        const char *what) {
    grammar *g = rules_of(q, d);
    if (!g) return false;
    bool ok = accepts(g, input) == want;
    if (!ok)
        print_error("%s, %s: should be %s: %.*s\n", answer_format_name(q->format), what,
                    want ? "accepted" : "refused", STR_ARG(input));
    grammar_free(g);
    return ok;
}

/* A copy of s with the first `from` replaced. */
static char *replaced(str s, str from, str to) {
    size_t at = str_find(s, from, 0);
    if (at == (size_t)-1) return NULL;
    char *out = calloc(1, s.n + to.n + 1);
    memcpy(out, s.p, at);
    memcpy(out + at, to.p, to.n);
    memcpy(out + at + to.n, s.p + at + from.n, s.n - at - from.n);
    return out;
}

/* "rules" of a sample: "auto" (text around calls), "calls" (nothing but calls, maybe a thought). */
static void test_rules(void **state) {
    (void)state;
    json_t *all = load_samples(), *sample;
    size_t i;
    int wrong = 0;
    json_array_foreach(json_object_get(all, "samples"), i, sample) {
        const char *kind = json_string_value(json_object_get(sample, "rules"));
        if (!kind) continue;
        asked q = asked_of(sample, all);
        str input = text_of(sample, "input");
        const json_t *last = json_array_get(json_object_get(sample, "want"),
                                            json_array_size(json_object_get(sample, "want")) - 1);
        const char *name = json_string_value(json_array_get(last, 1));
        bool one = json_is_true(json_object_get(sample, "one"));
        answer_demand d = {.parallel = !one};
        wrong += !check_rules(&q, &d, input, true, "auto");
        d.choice = ANSWER_CHOICE_REQUIRED;
        wrong += !check_rules(&q, &d, input, strcmp(kind, "calls") == 0, "required");
        d.choice = ANSWER_CHOICE_NAMED;
        d.name = name;
        wrong += one && strcmp(kind, "calls") == 0 && !check_rules(&q, &d, input, true, "named");
        char *other = replaced(input, str_of(name), STR("get_whether"));
        assert_non_null(other);
        d = (answer_demand){.parallel = !one};
        wrong += !check_rules(&q, &d, str_of(other), false, "unknown name");
        free(other);
        json_t *bad = json_object_get(sample, "bad"), *pair;
        size_t k;
        json_array_foreach(bad, k, pair) {
            other = replaced(input, str_of(json_string_value(json_array_get(pair, 0))),
                             str_of(json_string_value(json_array_get(pair, 1))));
            if (!other) print_error("%s: nothing to replace\n", text_of(sample, "format").p);
            assert_non_null(other);
            wrong += !check_rules(&q, &d, str_of(other), false, "bad argument");
            free(other);
        }
    }
    json_decref(all);
    assert_int_equal(wrong, 0);
}

/* Text without calls, a thought before it, values instead of text, and what is refused. */
static void test_rules_of_text(void **state) {
    (void)state;
    json_t *all = load_samples(), *schema = json_pack("{s:s}", "type", "integer");
    const json_t *tools = json_object_get(all, "tools");
    for (const char *const *name = answer_format_names(); *name; name++) {
        answer_how how = {
            .format = answer_format_find(*name), .prompt_tail = STR(""), .tools = tools};
        asked q = {.format = how.format, .tail = how.prompt_tail, .tools = tools};
        bool harmony = strcmp(*name, "gpt-oss") == 0, solar = strcmp(*name, "solar") == 0;
        bool r7b = strcmp(*name, "command-r7b") == 0, v32 = strcmp(*name, "functionary-v3.2") == 0;
        const char *head = harmony ? "<|channel|>final<|message|>"
                           : solar ? "<|content|>"
                           : r7b   ? "<|START_RESPONSE|>"
                           : v32   ? "all\n"
                                   : "";
        char text[200];
        answer_demand d = {.parallel = true};
        snprintf(text, sizeof text, "%sIt is {7} [now].", head);
        assert_true(check_rules(&q, &d, str_of(text), true, "text"));
        answer_thought_info info;
        if (!harmony && !solar && answer_thought(how.format, STR(""), &info)) {
            snprintf(text, sizeof text, "%s\nWell, <b>.\n%s\n\n%sSeven.", info.begin, info.end,
                     head);
            assert_true(check_rules(&q, &d, str_of(text), true, "thought"));
            snprintf(text, sizeof text, "%s\nWell, <b>.\n", info.begin);
            d.schema = schema;
            assert_true(check_rules(&q, &d, str_of(text), false, "a thought without an end"));
            snprintf(text, sizeof text, "\nWell.\n%s%s7", info.end, head);
            q.tail = (str){info.begin, strlen(info.begin)};
            assert_true(check_rules(&q, &d, str_of(text), true, "an open thought"));
            q.tail = how.prompt_tail;
        }
        d.schema = schema;
        const char *foot = r7b ? "<|END_RESPONSE|>" : "";
        snprintf(text, sizeof text, "%s12%s", head, foot);
        assert_true(check_rules(&q, &d, str_of(text), true, "a value"));
        snprintf(text, sizeof text, "%stwelve%s", head, foot);
        assert_true(check_rules(&q, &d, str_of(text), false, "no value"));
        d = (answer_demand){.any_json = true};
        q.tools = NULL;
        snprintf(text, sizeof text, "%s{\"a\": 1}%s", head, foot);
        assert_true(check_rules(&q, &d, str_of(text), true, "any JSON"));
    }
    json_decref(schema);
    json_decref(all);
}

/* Schemas of all kinds, in every format, for every choice: the rules compile. */
static void test_rules_compile(void **state) {
    (void)state;
    static const char text[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"plan\",\"parameters\":{\"type\":"
        "\"object\","
        "\"$defs\":{\"step\":{\"type\":\"object\",\"properties\":{\"what\":{\"type\":\"string\","
        "\"minLength\":1},\"then\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
        "step\"}}},\"required\":"
        "[\"what\"]}},\"properties\":{\"first\":{\"$ref\":\"#/$defs/"
        "step\"},\"way\":{\"anyOf\":[{\"type\":"
        "\"string\",\"enum\":[\"a\\\"b\",\"c\\n\"]},{\"type\":\"null\"}]},\"any\":{},\"tags\":{"
        "\"type\":"
        "\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"string\",\"format\":\"regex\"}},"
        "\"map\":{"
        "\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}},\"n\":{\"type\":"
        "\"integer\","
        "\"minimum\":1}},\"required\":[\"n\",\"first\"]}}},{\"type\":\"function\",\"function\":{"
        "\"name\":"
        "\"bare\"}},{\"type\":\"function\",\"function\":{\"name\":\"empty\",\"parameters\":{"
        "\"type\":"
        "\"object\",\"properties\":{},\"additionalProperties\":false}}},{\"type\":\"function\","
        "\"function\":"
        "{\"name\":\"one\",\"strict\":true,\"parameters\":{\"type\":\"object\",\"properties\":{"
        "\"q\":{"
        "\"type\":[\"string\",\"null\"]}},\"required\":[\"q\"],\"additionalProperties\":false}}}]";
    json_t *tools = json_loads(text, 0, NULL);
    assert_non_null(tools);
    for (const char *const *name = answer_format_names(); *name; name++)
        for (int i = 0; i < 12; i++) {
            asked q = {.format = answer_format_find(*name), .tail = STR(""), .tools = tools};
            static const answer_choice choices[] = {ANSWER_CHOICE_AUTO, ANSWER_CHOICE_REQUIRED,
                                                    ANSWER_CHOICE_NAMED};
            answer_demand d = {.choice = choices[i % 3],
                               .name = "plan",
                               .parallel = i / 3 % 2,
                               .any_json = i % 3 == 0 && i > 6,
                               .loose = i > 5};
            grammar *g = rules_of(&q, &d);
            assert_non_null(g);
            grammar_free(g);
        }
    json_decref(tools);
}

/* What a schema asks of a text holds where the text stands as it is, up to its end mark. */
static void test_rules_of_ruled_text(void **state) {
    (void)state;
    static const char tool[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
        "\"$defs\":{\"day\":{\"type\":\"string\",\"format\":\"date\"}},\"properties\":{\"a\":{"
        "\"type\":"
        "\"string\",\"pattern\":\"^[a-z<]+$\",\"maxLength\":4},\"b\":{\"$ref\":\"#/$defs/day\"}},"
        "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}}}]";
    static const struct {
        const char *format, *text; /* with %s for a, then for b */
    } rows[] = {
        {"qwen3-coder",
         "<tool_call>\n<function=f>\n<parameter=a>\n%s\n</parameter>\n<parameter=b>\n%s"
         "\n</parameter>\n</function>\n</tool_call>"},
        {"glm-4.5",
         "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>%s</arg_value>\n<arg_key>b</arg_key>\n"
         "<arg_value>%s</arg_value>\n</tool_call>"},
        {"minimax-m2",
         "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">%s</parameter>\n"
         "<parameter name=\"b\">%s</parameter>\n</invoke>\n</minimax:tool_call>"},
        {"gemma4", "<|tool_call>call:f{a:<|\"|>%s<|\"|>,b:<|\"|>%s<|\"|>}<tool_call|>"},
    };
    static const struct {
        const char *a, *b;
        bool taken;
    } values[] = {
        {"abcd", "2024-02-29", true}, {"a<", "2024-02-29", true}, {"abcde", "2024-02-29", false},
        {"aB", "2024-02-29", false},  {"", "2024-02-29", false},  {"a", "2024-02-30", false},
        {"a", "2024-02-29 ", false},
    };
    json_t *tools = json_loads(tool, 0, NULL);
    assert_non_null(tools);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        asked q = {.format = answer_format_find(rows[i].format), .tail = STR(""), .tools = tools};
        assert_non_null(q.format);
        grammar *g = rules_of(&q,
                              &(answer_demand){.choice = ANSWER_CHOICE_REQUIRED, .strict = true});
        assert_non_null(g);
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            char text[500];
            err e = {0};
            snprintf(text, sizeof text, rows[i].text, values[k].a, values[k].b);
            grammar_state *s = grammar_state_new(g, NULL, &e);
            bool taken = grammar_state_accept_bytes(s, str_of(text)) && grammar_state_may_end(s);
            grammar_state_free(s);
            if (taken != values[k].taken) fail_msg("%s: %s: %d", rows[i].format, text, taken);
        }
        grammar_free(g);
    }
    json_decref(tools);
}

static err rules_error(const char *format, const char *tools, const answer_demand *d) {
    err e = {0};
    buf rules;
    buf_init(&rules, 1 << 20);
    json_t *list = json_loads(tools, 0, NULL);
    assert_non_null(list);
    answer_how how = {.format = answer_format_find(format), .tools = list};
    assert_false(answer_rules(&how, d, &rules, &e));
    assert_int_equal(e.code, ERR_USAGE);
    buf_deinit(&rules);
    json_decref(list);
    return e;
}

static void test_rules_refuse(void **state) {
    (void)state;
    static const char tool[] =
        "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": "
        "\"object\", \"properties\": {\"when\": {\"type\": [\"string\", \"null\"], \"pattern\": "
        "\"[0-9]+\"}}}}}]";
    err e = rules_error("hermes", tool,
                        &(answer_demand){.choice = ANSWER_CHOICE_NAMED, .name = "g"});
    assert_non_null(strstr(e.msg, "\"g\""));
    e = rules_error("qwen3-coder", tool, &(answer_demand){.strict = true});
    assert_non_null(strstr(e.msg, "\"f\""));
    assert_non_null(strstr(e.msg, "pattern"));
    assert_non_null(strstr(e.msg, "when"));
    e = rules_error("hermes", "[]", &(answer_demand){.choice = ANSWER_CHOICE_REQUIRED});
    /* nothing asked: no rules */
    buf rules;
    buf_init(&rules, 1 << 20);
    json_t *tools = json_loads(tool, 0, NULL);
    answer_how how = {.format = answer_format_find("hermes"), .tools = tools};
    assert_true(answer_rules(&how, &(answer_demand){.choice = ANSWER_CHOICE_NONE}, &rules, &e));
    assert_int_equal(rules.len, 0);
    buf_deinit(&rules);
    json_decref(tools);
}

/* ---- the templates of the shared collection ---- */

/* What a template can write: c a call, p several, t text in front of calls, a text behind them,
 * r reasoning in front of text, R in front of a call. */
static const struct {
    const char *name, *format, *writes;
} templates[] = {
    {"Apriel-1.6-15b-Thinker-fixed", "apriel", "cptrR"},
    {"Bielik-11B-v3.0-Instruct", "hermes", "cptrR"},
    {"GLM-4.7-Flash", "glm", "cptrR"},
    {"GigaChat3-10B-A1.8B", "gigachat3", "ct"},
    {"GigaChat3.1-10B-A1.8B", "gigachat3.1", "ct"},
    {"HuggingFaceTB-SmolLM3-3B", "hermes", ""},
    {"Kimi-K2-Thinking", "kimi-k2", "cptR"},
    {"LFM2.5-8B-A1B", "lfm2", "cptrR"},
    {"MiMo-VL", "hermes", "cpt"},
    {"MiniMax-M3", "minimax-m3", "cptrR"},
    {"Mistral-Small-3.2-24B-Instruct-2506", "mistral-v11", "cp"},
    {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "qwen3-coder", "cptrR"},
    {"NVIDIA-Nemotron-Nano-v2", "nemotron-v2", "cp"},
    {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes", "cp"},
    {"Qwen-QwQ-32B", "hermes", "cpt"},
    {"Qwen-Qwen2.5-7B-Instruct", "hermes", "cpt"},
    {"Qwen-Qwen3-0.6B", "hermes", "cptrR"},
    {"Qwen3.5-4B", "qwen3-coder", "cptrR"},
    {"Spark2.5", "glm", "cptrR"},
    {"StepFun3.5-Flash", "qwen3-coder", "cptrR"},
    {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-r1", ""},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-r1", "cp"},
    {"deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1", "cpt"},
    {"fireworks-ai-llama-3-firefunction-v2", "firefunction", "cpt"},
    {"google-gemma-4-31B-it-interleaved", "gemma4", "cpaR"},
    {"ibm-granite-granite-4.0", "hermes", "cpt"},
    {"ibm-granite-granite-4.1", "hermes", "cpt"},
    {"llama-cpp-deepseek-r1", "deepseek-r1", ""}, /* its tools need what is no JSON */
    {"meta-llama-Llama-3.1-8B-Instruct", "llama3", "c"},
    {"meta-llama-Llama-3.2-3B-Instruct", "llama3", "c"},
    {"meta-llama-Llama-3.3-70B-Instruct", "llama3", "c"},
    {"microsoft-Phi-3.5-mini-instruct", "generic", ""},
    {"mistralai-Ministral-3-14B-Reasoning-2512", "mistral-v13", "cpt"},
    {"mistralai-Mistral-Nemo-Instruct-2407", "mistral", "cp"},
    {"moonshotai-Kimi-K2", "kimi-k2", "cpt"},
    {"openbmb-MiniCPM5-1B", "minicpm", "cptrR"},
    {"poolside-Laguna-S-2.1", "glm", "cptrR"},
    {"poolside-Laguna-XS-2.1", "glm-4.5", "cptrR"},
    {"poolside-Laguna-XS.2", "glm-4.5", "cptrR"},
    {"tencent-Hy3", "hunyuan", "cptrR"},
    {"unsloth-Apriel-1.5", "apriel", "cpt"},
    {"upstage-Solar-Open-100B", "solar", "cprR"},
};

static char *render(const jinja *t, const json_t *samples, json_t *answer_, bool open) {
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "UUU");
    if (answer_) json_array_append(messages, answer_);
    json_t *vars = json_pack("{s:o, s:O, s:b, s:s, s:s}", "messages", messages, "tools",
                             json_object_get(samples, "shown"), "add_generation_prompt", open,
                             "datetime", "now", "functions", "[]");
    json_t *own = json_pack("{s:s, s:s}", "bos_token", "<s>", "eos_token", "</s>");
    static const struct tm now = {.tm_year = 126, .tm_mon = 10, .tm_mday = 22};
    err e = {0};
    jinja_result r;
    char *text = NULL;
    if (jinja_render(t, &(jinja_how){.vars = vars, .own = own, .now = &now, .changeable = true}, &r,
                     &e)) {
        text = strndup(r.text.p, r.text.n);
        jinja_result_deinit(&r);
    } else {
        print_error("%s\n", e.msg);
    }
    json_decref(vars);
    json_decref(own);
    return text;
}

/* Without what ends a turn: the model writes that as a token that ends its answer. */
static str without_end(str s) {
    static const char *const ends[] = {"<|im_end|>",
                                       "</s>",
                                       "<|eot_id|>",
                                       "<|end_of_text|>",
                                       "</assistant>",
                                       "[e~[",
                                       "<turn|>",
                                       "<｜end▁of▁sentence｜>",
                                       "<｜Assistant｜>",
                                       "<SPECIAL_12>",
                                       "<|message_sep|>",
                                       "<|end|>",
                                       "<｜hy_eos:opensource｜>",
                                       "<|calls|>",
                                       "<|start_header_id|>assistant<|end_header_id|>"};
    for (bool more = true; more;) {
        more = false;
        s = str_trim(s);
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            if (str_ends(s, str_of(ends[i]))) s.n -= strlen(ends[i]), more = true;
    }
    return s;
}

static json_t *want_of(const char *text, bool behind, const char *reasoning, const json_t *calls) {
    json_t *want = json_array(), *call;
    size_t i;
    if (reasoning) json_array_append_new(want, json_pack("[s, s]", "reasoning", reasoning));
    if (text && !behind) json_array_append_new(want, json_pack("[s, s]", "text", text));
    json_array_foreach((json_t *)calls, i, call) {
        json_t *f = json_object_get(call, "function");
        json_array_append_new(want, json_pack("[s, O, O]", "call", json_object_get(f, "name"),
                                              json_object_get(f, "arguments")));
    }
    if (text && behind) json_array_append_new(want, json_pack("[s, s]", "text", text));
    return want;
}

/* Ids are the template's business. */
static void drop_ids(json_t *list) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (json_array_size(item) == 4) json_array_remove(item, 3);
}

/* The answer as the template writes it, read back. */
static bool round_trip(const jinja *t, const json_t *samples, size_t row, const char *text,
                       bool behind, const char *reasoning, const json_t *calls) {
    json_t *m = json_pack("{s:s, s:s}", "role", "assistant", "content", text ? text : "");
    static const char *const keys[] = {"reasoning_content", "reasoning", "thinking"};
    for (int i = 0; reasoning && i < 3; i++)
        json_object_set_new(m, keys[i], json_string(reasoning));
    if (calls) json_object_set(m, "tool_calls", (json_t *)calls);
    char *prompt = render(t, samples, NULL, true), *full = render(t, samples, m, false);
    json_decref(m);
    if (!prompt || !full) {
        print_error("%s does not render\n", templates[row].name);
        free(prompt), free(full);
        return false;
    }
    size_t n = 0;
    while (prompt[n] && prompt[n] == full[n]) n++;
    /* the prompt went on otherwise: back to before that marker */
    if (prompt[n])
        while (n > 0 && prompt[n - 1] != '>' && prompt[n - 1] != '\n' && prompt[n - 1] != ']') n--;
    asked q = {.format = answer_format_find(templates[row].format),
               .tail = {prompt, n},
               .tools = json_object_get(samples, "tools")};
    answer_thought_info info;
    if (reasoning && answer_thought(q.format, str_of(prompt), &info) && info.open)
        q.tail = str_of(prompt);
    str answer_ = without_end(str_of(full + n));
    json_t *want = want_of(text, behind, reasoning, calls), *got = read_whole(&q, answer_, NULL);
    drop_ids(got);
    bool ok = same(want, got, templates[row].name, answer_);
    ok = ok && cuts_do_not_matter(&q, answer_, templates[row].name);
    json_decref(want);
    free(prompt);
    free(full);
    return ok;
}

static int try_template(const char *folder, size_t row, const json_t *samples) {
    char path[4096];
    buf source;
    err e = {0};
    buf_init(&source, 1 << 20);
    snprintf(path, sizeof path, "%.3000s/%s.jinja", folder, templates[row].name);
    if (!file_read(&source, path, &e)) {
        print_error("%s\n", e.msg);
        buf_deinit(&source);
        return 1;
    }
    const char *writes = templates[row].writes, *arch = strstr(path, "SmolLM3") ? "smollm3" : "";
    const answer_format *f = answer_format_of(buf_str(&source), str_of(arch));
    int wrong = strcmp(answer_format_name(f), templates[row].format) != 0;
    if (wrong) print_error("%s: taken for %s\n", templates[row].name, answer_format_name(f));
    jinja *t = jinja_parse(buf_str(&source), &e);
    assert_non_null(t);
    const json_t *one = json_object_get(samples, "one_call"),
                 *two = json_object_get(samples, "two_calls");
    if (strchr(writes, 'c')) wrong += !round_trip(t, samples, row, NULL, false, NULL, one);
    if (strchr(writes, 'p')) wrong += !round_trip(t, samples, row, NULL, false, NULL, two);
    if (strchr(writes, 't')) wrong += !round_trip(t, samples, row, "TTT.", false, NULL, one);
    if (strchr(writes, 'a')) wrong += !round_trip(t, samples, row, "TTT.", true, NULL, one);
    if (strchr(writes, 'r'))
        wrong += !round_trip(t, samples, row, "TTT.", false, "RRR,\nRR.", NULL);
    if (strchr(writes, 'R')) wrong += !round_trip(t, samples, row, NULL, false, "RRR.", one);
    jinja_free(t);
    buf_deinit(&source);
    return wrong;
}

static void test_shared_templates(void **state) {
    (void)state;
    char folder[4096];
    const char *shared = getenv("HEARTH_SHARED");
    snprintf(folder, sizeof folder, "%s/templates", shared ? shared : "");
    DIR *d = shared && *shared ? opendir(folder) : NULL;
    if (!d) skip();
    json_t *samples = load_samples();
    int wrong = 0, n = 0;
    for (struct dirent *f; (f = readdir(d));) {
        const char *dot = strstr(f->d_name, ".jinja");
        if (!dot) continue;
        size_t row = 0, rows = sizeof templates / sizeof templates[0];
        while (row < rows &&
               (strncmp(templates[row].name, f->d_name, (size_t)(dot - f->d_name)) != 0 ||
                templates[row].name[dot - f->d_name]))
            row++;
        if (row == rows) print_error("%s is not in the table\n", f->d_name);
        wrong += row == rows ? 1 : try_template(folder, row, samples);
        n++;
    }
    closedir(d);
    json_decref(samples);
    print_message("%d templates\n", n);
    assert_true(n > 0);
    assert_int_equal(wrong, 0);
}

/* ---- the rest ---- */

static void test_recognised(void **state) {
    (void)state;
    static const char *const known[][3] = {
        {"", "gpt-oss", "gpt-oss"},
        {"", "qwen3", "hermes"},
        {"", "", "generic"},
        {"nothing of the kind", "llama", "generic"},
        {"<function={{ f }}> <|python_tag|>", "llama", "functionary-v3.1"},
        {"x <|START_ACTION|> y", "", "command-r7b"},
        {"Action:\n```json\n [{\"tool_name\"", "", "command-r"},
        {"<|tool_call|> and <|/tool_call|>", "", "phi4-mini"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_string_equal(
            answer_format_name(answer_format_of(str_of(known[i][0]), str_of(known[i][1]))),
            known[i][2]);
}

static void test_thoughts(void **state) {
    (void)state;
    answer_thought_info info;
    const answer_format *f = answer_format_find("hermes");
    assert_true(answer_thought(f, STR("<|im_start|>assistant\n<think>\n"), &info));
    assert_true(info.open);
    assert_string_equal(info.begin, "<think>");
    assert_string_equal(info.end, "</think>");
    assert_string_equal(info.close, "\n</think>\n\n");
    answer_thought(f, STR("<|im_start|>assistant\n<think>\nhalf of it"), &info);
    assert_true(info.open);
    answer_thought(f, STR("<|im_start|>assistant\n<think>\n\n</think>\n\n"), &info);
    assert_false(info.open);
    answer_thought(f, STR("say <think><|im_end|>\n<|im_start|>assistant\n"), &info);
    assert_false(info.open); /* a person wrote it */
    answer_thought(answer_format_find("mistral-v13"), STR("[/INST][THINK]"), &info);
    assert_true(info.open);
    assert_string_equal(info.end, "[/THINK]");
    assert_false(answer_thought(answer_format_find("functionary-v3.2"), STR(""), &info));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples),
                                       cmocka_unit_test(test_every_format_has_a_sample),
                                       cmocka_unit_test(test_rules),
                                       cmocka_unit_test(test_rules_of_text),
                                       cmocka_unit_test(test_rules_of_ruled_text),
                                       cmocka_unit_test(test_rules_refuse),
                                       cmocka_unit_test(test_rules_compile),
                                       cmocka_unit_test(test_shared_templates),
                                       cmocka_unit_test(test_recognised),
                                       cmocka_unit_test(test_thoughts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
