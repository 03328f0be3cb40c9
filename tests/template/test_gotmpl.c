/* The Go templates of old models: expectations follow Go's text/template and Ollama's way of giving
 * it conversations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "template/gotmpl.h"

static const char vars_text[] =
    "{\"S\":\"text\",\"E\":\"\",\"N\":3,\"T\":true,\"L\":[\"a\",\"b\",\"c\"],\"M\":{\"z\":1,\"b\":"
    "\"x\"},\"O\":{\"Inner\":{\"deep_value\":\"d\"}},\"Html\":\"<b>&\",\"X\":null}";

static void gives(const char *source, const char *want) {
    err e = {0};
    jinja_result r;
    struct tm now = {.tm_year = 126, .tm_mon = 2, .tm_mday = 1};
    json_t *vars = json_loads(vars_text, 0, NULL);
    gotmpl *t = gotmpl_parse(str_of(source), &e);
    bool ok = t && gotmpl_render(t, &(jinja_how){.vars = vars, .now = &now}, &r, &e);
    if (!want && ok) fail_msg("%s: \"%.*s\"", source, STR_ARG(r.text));
    if (!want) assert_true(e.code != ERR_NONE && e.msg[0]);
    if (want && !ok) fail_msg("%s: %s", source, e.msg);
    if (want && !str_eq(r.text, str_of(want))) fail_msg("%s: \"%.*s\"", source, STR_ARG(r.text));
    if (ok) jinja_result_deinit(&r);
    gotmpl_free(t);
    json_decref(vars);
}

static void test_language(void **state) {
    (void)state;
    gives("plain } text { here", "plain } text { here");
    gives("{{ .S }}|{{.N}}|{{ .T }}|{{ .E }}|{{ .X }}|{{ .None }}", "text|3|true|||");
    gives("a {{- .S -}} b", "atextb");
    gives("a {{- /* comment */ -}} b{{/* c */}}c", "abc");
    gives("{{ if .S }}yes{{ else }}no{{ end }}{{ if .E }}yes{{ else }}no{{ end }}", "yesno");
    gives("{{ if .E }}1{{ else if .X }}2{{ else if .T }}3{{ else }}4{{ end }}!", "3!");
    gives("{{ range .L }}[{{ . }}]{{ end }}", "[a][b][c]");
    gives("{{ range $i, $v := .L }}{{ $i }}{{ $v }}{{ $.N }} {{ end }}", "0a3 1b3 2c3 ");
    gives("{{ range $v := .L }}{{ $v }}{{ end }}", "abc");
    gives("{{ range $k, $v := .M }}{{ $k }}={{ $v }};{{ end }}", "b=x;z=1;");
    gives("{{ range .E2 }}x{{ else }}none{{ end }}", "none");
    gives("{{ range .L }}{{ if eq . \"b\" }}{{ continue }}{{ end }}{{ . }}{{ end }}", "ac");
    gives("{{ range .L }}{{ if eq . \"b\" }}{{ break }}{{ end }}{{ . }}{{ end }}", "a");
    gives("{{ with .O }}{{ .Inner.DeepValue }}{{ end }}{{ with .E }}x{{ else }}y{{ end }}", "dy");
    gives("{{ with $x := .S }}{{ $x }}{{ . }}{{ end }}", "texttext");
    gives("{{ $x := 1 }}{{ if .T }}{{ $x = 2 }}{{ $y := 5 }}{{ end }}{{ $x }}", "2");
    gives("{{ if and .S .T }}1{{ end }}{{ if or .E .X }}2{{ end }}{{ if not .E }}3{{ end }}", "13");
    gives("{{ and .S .E .T }}|{{ or .E .S .T }}", "|text");
    gives("{{ if and (eq .N 3) (ne .S \"x\") }}ok{{ end }}", "ok");
    gives("{{ eq .S \"a\" \"text\" }}{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge .N 4 }}",
          "truetruetruefalsefalse");
    gives("{{ len .L }}{{ len .S }}{{ len .M }}{{ .L | len }}", "3423");
    gives("{{ index .L 1 }}{{ index .M \"b\" }}{{ index .L 0 | printf \"<%s>\" }}", "bx<a>");
    gives("{{ slice .L 1 }}{{ slice .S 1 3 }}{{ (slice .L 1 2) }}", "[\"b\",\"c\"]ex[\"b\"]");
    gives("{{ json .M }}{{ json .S }}{{ json .Html }}{{ .O }}",
          "{\"z\":1,\"b\":\"x\"}\"text\"\"\\u003cb\\u003e\\u0026\"{\"Inner\":{\"deep_value\":\"d\"}"
          "}");
    gives("{{ printf \"%s-%d-%v%%\" .S .N .T }}{{ print .S 1 2 }}{{ println .S }}",
          "text-3-true%text1 2text\n");
    gives("{{ \"q\\n\\\"\" }}{{ `raw\\n` }}{{ 1.5 }}{{ -2 }}{{ true }}", "q\n\"raw\\n1.5-2true");
    gives("{{ (index .L 0) }}{{ (.O).Inner.DeepValue }}", "ad");
    gives("{{ $.S }}{{ range .L }}{{ $.O.Inner.DeepValue }}{{ end }}", "textddd");
    gives("{{ currentDate }} {{ yesterdayDate }}", "2026-03-01 2026-02-28");
    gives("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .S }}{{ template \"t\" .N }}",
          "<text><3>");
    gives("{{- range $i, $_ := .L }}{{- $last := eq (len (slice $.L $i)) 1 }}{{ if $last }}{{ . }}"
          "{{ end }}{{- end }}",
          "c");
}

static void test_errors(void **state) {
    (void)state;
    static const char *const bad[] = {
        "{{",
        "{{ .S",
        "{{ if .S }}",
        "{{ end }}",
        "{{ else }}",
        "{{ nosuch 1 }}",
        "{{ .S.Field }}",
        "{{ index .L 9 }}",
        "{{ index .L -1 }}",
        "{{ slice .L 5 }}",
        "{{ len .N }}",
        "{{ $q }}",
        "{{ $q = 1 }}",
        "{{ break }}",
        "{{ template \"none\" }}",
        "{{ ( }}",
        "{{ | }}",
        "{{ \"a }}",
        "{{ .S .S }}",
        "{{ range 1.5 }}{{ end }}",
        "{{ lt .S 1 }}",
        "{{ printf \"%s\" }}",
        "{{ }}",
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
        "{{ range 99999 }}{{ range 99999 }}x{{ end }}{{ end }}",
        "{{/* x }}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) gives(bad[i], NULL);
    char *deep = malloc(200001 + 8);
    assert_non_null(deep);
    memcpy(deep, "{{ ", 3);
    memset(deep + 3, '(', 200000);
    deep[200003] = 0;
    gives(deep, NULL);
    free(deep);
}

static const char conversation[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":"
    "\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello.\"},{\"role\":\"user\",\"content\":\"Why?"
    "\"}]}";

/* In `marks`, x stands for what people wrote. NULL: not looked at. */
static void chat_gives(const char *source, const char *chat, const char *want) {
    err e = {0};
    jinja_result r;
    json_t *vars = json_loads(chat, 0, NULL);
    assert_non_null(vars);
    gotmpl *t = gotmpl_parse(str_of(source), &e);
    if (!t || !gotmpl_render_chat(t, &(jinja_how){.vars = vars}, &r, &e)) fail_msg("%s", e.msg);
    if (!str_eq(r.text, str_of(want))) fail_msg("%s: \"%.*s\"", source, STR_ARG(r.text));
    for (size_t i = 0; i < r.text.n; i++) {
        bool content = r.mark ? r.mark[i] : r.content;
        bool marker = r.text.p[i] == '<' || r.text.p[i] == '>' || r.text.p[i] == '|';
        assert_false(content && marker);
    }
    jinja_result_deinit(&r);
    gotmpl_free(t);
    json_decref(vars);
}

static void test_conversations(void **state) {
    (void)state;
    chat_gives("{{ if .System }}<|system|>{{ .System }}<|end|>{{ end }}{{ if .Prompt }}<|user|>"
               "{{ .Prompt }}<|end|>{{ end }}<|assistant|>{{ .Response }}<|end|>\n",
               conversation,
               "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>Hello.<|end|>\n"
               "<|user|>Why?<|end|><|assistant|>");
    chat_gives("{{ .System }} USER: {{ .Prompt }} ASSISTANT:", conversation,
               "Be brief. USER: Hi ASSISTANT:Hello. USER: Why? ASSISTANT:");
    chat_gives("{{- if .System }}<|start|>system {{ .System }}<|end|>{{ end }}"
               "{{- range $i, $_ := .Messages }}{{- $last := eq (len (slice $.Messages $i)) 1 -}}"
               "{{- if eq .Role \"user\" }}<|u|>{{ .Content }}{{ else if eq .Role \"assistant\" }}"
               "<|a|>{{ .Content }}{{ end }}{{ if $last }}<|a|>{{ end }}{{ end }}",
               conversation, "<|start|>system Be brief.<|end|><|u|>Hi<|a|>Hello.<|u|>Why?<|a|>");
    chat_gives(
        "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Name }}{{ "
        ".Function.Arguments }}{{ end }}{{ end }}{{ if .Tools }}{{ range .Tools }}{{ "
        ".Function }}{{ end }}{{ end }}",
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":"
        "{\"name\":\"f\",\"arguments\":{\"k\":1}}}]}],\"tools\":[{\"function\":{\"name\":\"f\""
        "}}]}",
        "f{\"k\":1}{\"name\":\"f\"}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_conversations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
