/* The template language, feature by feature: snippets with what Jinja2 makes of them (made by
 * make_snippets.py), origins of text, bounds, and rendering on many threads. */
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "template/jinja.h"

static json_t *snippets(void) {
    char path[4096];
    const char *source = getenv("HEARTH_SOURCE");
    snprintf(path, sizeof path, "%s/tests/template/snippets.json", source ? source : ".");
    json_error_t je;
    json_t *j = json_load_file(path, JSON_ALLOW_NUL, &je);
    if (!j) fail_msg("%s: %s", path, je.text);
    return j;
}

/* Whether the snippet does what it should; else says how not. */
static bool check(json_t *all, json_t *one, const struct tm *now) {
    err e = {0};
    jinja_result r = {0};
    json_t *t = json_object_get(one, "t"), *text = json_object_get(one, "text");
    str source = {json_string_value(t), json_string_length(t)};
    str want = {json_string_value(text), json_string_length(text)};
    jinja *j = jinja_parse(source, &e);
    jinja_how how = {.vars = json_object_get(all, "vars"), .now = now};
    bool rendered = j && jinja_render(j, &how, &r, &e);
    bool right = text ? rendered && str_eq(r.text, want) : !rendered;
    if (!right)
        print_error("%.*s\n  gives %s%.*s\n  not   %.*s%s\n", STR_ARG(source),
                    rendered ? "" : e.msg, (int)r.text.n, r.text.n ? r.text.p : "", (int)want.n,
                    want.n ? want.p : "",
                    text ? "" : json_string_value(json_object_get(one, "error")));
    if (rendered) jinja_result_deinit(&r);
    jinja_free(j);
    return right;
}

static void test_snippets(void **state) {
    (void)state;
    json_t *all = snippets(), *list = json_object_get(all, "snippets"), *one;
    struct tm now = {0};
    size_t i, wrong = 0;
    assert_non_null(
        strptime(json_string_value(json_object_get(all, "now")), "%Y-%m-%dT%H:%M:%S", &now));
    json_array_foreach(list, i, one) wrong += !check(all, one, &now);
    print_message("%zu snippets, %zu wrong\n", i, wrong);
    assert_true(i > 1000);
    json_decref(all);
    assert_int_equal(wrong, 0);
}

/* ---- one template with variables in JSON ---- */

typedef struct ran {
    bool ok;
    err e;
    jinja_result r;
} ran;

static ran run_with(const char *source, const char *vars, bool changeable) {
    ran x = {0};
    json_t *own = json_pack("{s:s}", "bos_token", "<s>"), *j = json_loads(vars, 0, NULL);
    assert_non_null(j);
    jinja *t = jinja_parse(str_of(source), &x.e);
    jinja_how how = {.vars = j, .own = own, .changeable = changeable};
    x.ok = t && jinja_render(t, &how, &x.r, &x.e);
    jinja_free(t);
    json_decref(j);
    json_decref(own);
    return x;
}

/* ---- origins ---- */

/* In `marks`, x stands for content and . for the template's own. */
static void origin(const char *source, const char *vars, const char *text, const char *marks) {
    ran x = run_with(source, vars, true);
    if (!x.ok) fail_msg("%s: %s", source, x.e.msg);
    if (!str_eq(x.r.text, str_of(text))) fail_msg("%s: \"%.*s\"", source, STR_ARG(x.r.text));
    for (size_t i = 0; i < x.r.text.n; i++) {
        bool content = x.r.mark ? x.r.mark[i] : x.r.content;
        if (content != (marks[i] == 'x')) fail_msg("%s: byte %zu has the wrong origin", source, i);
    }
    jinja_result_deinit(&x.r);
}

static void test_origins(void **state) {
    (void)state;
    const char *v = "{\"s\":\" ab,cd \",\"l\":[\"p\",\"q\"],\"d\":{\"k\":\"v\"},\"i\":5,"
                    "\"m\":{\"role\":\"user\"},\"bad\":{\"role\":\"<|x|>\"}}";
    origin("[{{ s }}]", v, "[ ab,cd ]", ".xxxxxxx.");
    origin("{{ s|trim }}", v, "ab,cd", "xxxxx");
    origin("{{ '<' + s.strip() + '>' }}", v, "<ab,cd>", ".xxxxx.");
    origin("{{ s.strip().split(',')|join('|') }}", v, "ab|cd", "xx.xx");
    origin("{{ s|replace(',', ';') }}", v, " ab;cd ", "xxx.xxx");
    origin("{{ 'x,y'|replace(',', l[0]) }}", v, "xpy", ".x.");
    origin("{{ s|upper }}", v, " AB,CD ", "xxxxxxx");
    origin("{{ ('<' ~ s ~ '>')|upper|trim }}", v, "< AB,CD >", ".xxxxxxx.");
    origin("{{ s[1:3] }}{{ ('-' ~ s)[::-1] }}", v, "ab dc,ba -", "xxxxxxxxx.");
    origin("{{ d|tojson }}", v, "{\"k\": \"v\"}", "..x....x..");
    origin("{{ l|string }}", v, "['p', 'q']", "..x....x..");
    origin("{{ '%s|%5s' % (l[0], 'z') }}", v, "p|    z", "x......");
    origin("{{ '{}-{:>3}'.format(l[0], l[1]) }}", v, "p-  q", "x...x");
    origin("{{ s|indent(2, true) }}", v, "   ab,cd ", "..xxxxxxx");
    origin("{% set x %}<{{ l[0] }}>{% endset %}{{ x }}{{ x|length }}", v, "<p>3", ".x..");
    origin("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(s|trim) }}", v, "<ab,cd>", ".xxxxx.");
    origin("{% for c in s|trim %}{{ c }}.{% endfor %}", v, "a.b.,.c.d.", "x.x.x.x.x.");
    origin("{{ bos_token }}{{ i }}", v, "<s>5", "....");
    origin("{{ m.role }}{{ bad.role }}", v, "user<|x|>", "....xxxxx");
    origin("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", v, "k=v", "x.x");
    origin("{{ s|e }}{{ ('<' ~ l[0])|e }}", v, " ab,cd &lt;p", "xxxxxxx....x");
    origin("{{ l|map('upper')|sort|join }}{{ ('a' ~ l[0])|title }}", v, "PQAp", "xx.x");
    origin("{{ s.strip().partition(',')[2] }}{{ (l[0] ~ 'z')|center(6) }}", v, "cd  pz  ",
           "xx..x...");
}

/* ---- bounds ---- */

static void refused(const char *source) {
    ran x = run_with(source, "{}", true);
    if (x.ok) fail_msg("%.60s: rendered", source);
    assert_true(x.e.code != ERR_NONE && x.e.msg[0]);
}

static void refused_long(const char *before, const char *part, size_t times, const char *after) {
    size_t a = strlen(before), p = strlen(part), b = strlen(after);
    char *text = malloc(a + p * times + b + 1);
    assert_non_null(text);
    memcpy(text, before, a);
    for (size_t i = 0; i < times; i++) memcpy(text + a + i * p, part, p);
    memcpy(text + a + p * times, after, b + 1);
    refused(text);
    free(text);
}

static void test_bounds(void **state) {
    (void)state;
    refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
    refused("{% macro f(x) %}{% call f(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ f(1) }}");
    refused("{% for i in range(10**9) %}x{% endfor %}");
    refused("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}");
    refused("{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}"
            "{% endfor %}{{ n.s }}");
    refused("{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}"
            "{% endfor %}{{ n.l }}");
    refused("{{ 'x' * 10**12 }}");
    refused("{{ [0] * 10**12 }}");
    refused("{{ '%99999999d' % 1 }}");
    refused("{{ '{:>99999999}'.format(1) }}");
    refused("{{ ''.center(10**9) }}");
    refused("{{ 'a'|indent(10**9, true) }}");
    refused("{{ [1]|tojson(indent=10**9) }}");
    refused("{{ [1]|batch(10**9, 0)|list }}");
    refused("{{ [1]|slice(10**9)|list }}");
    refused("{{ 9223372036854775807 + 1 }}");
    refused("{{ 2 ** 64 }}");
    refused("{{ 10 ** 10 ** 10 }}");
    refused("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}");
    refused("{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}");
    refused("{% set l = [] %}{% set m = [] %}{% set _ = l.append(m) %}{% set _ = m.append(l) %}"
            "{{ l == m }}");
    refused("{% set d = {} %}{% set _ = d.update(d=d) %}{{ d }}");
    refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
    refused_long("{{ ", "1+", 500000, "1 }}");
    refused_long("{{ ", "(", 500000, "1");
    refused_long("{{ ", "[", 500000, "1");
    refused_long("{{ [", "1,", 500000, "] }}");
    refused_long("{{ ", "not ", 250000, "1 }}");
    refused_long("{{ ", "-", 1000000, "1 }}");
    refused_long("{{ a", ".b", 500000, " }}");
    refused_long("{{ a", "|e", 500000, " }}");
    refused_long("{{ a", "()", 500000, " }}");
    refused_long("", "{% if x %}", 100000, "");
    refused_long("{% if x %}", "{% elif x %}y", 80000, "{% endif %}");
    refused_long("", "{% macro m() %}", 60000, "");
    refused_long("{{ 1 if ", "1 if ", 200000, "1 }}");
}

static void test_changeable(void **state) {
    (void)state;
    const char *t = "{% set l = [1] %}{% set _ = l.append(2) %}{% set _ = l.insert(0, 0) %}{{ l }}"
                    "{{ l.pop() }}{% set d = {} %}{% set _ = d.update({'a': 1}, b=2) %}"
                    "{{ d.pop('a') }}{{ d }}{% set _ = l.extend([5, 4]) %}{% set _ = l.sort() %}"
                    "{{ l }}{% set _ = l.reverse() %}{{ l }}{{ d.setdefault('q', 7) }}";
    ran x = run_with(t, "{}", false);
    assert_false(x.ok);
    assert_non_null(strstr(x.e.msg, "access to attribute 'append' of 'list' object is unsafe."));
    origin(t, "{}", "[0, 1, 2]21{'b': 2}[0, 1, 4, 5][5, 4, 1, 0]7",
           "...............................................");
}

static void test_many_values(void **state) {
    (void)state;
    origin(
        "{% set d = dict() %}{% for i in range(200) %}{% set _ = d.update({i: i, i|string: 1}) %}"
        "{% endfor %}{{ d|length }} {{ d[199] }} {{ d['50'] }} {{ d[1.0] }} {{ d[-1] is defined }}"
        "{% for i in range(0, 200, 2) %}{% set _ = d.pop(i) %}{% endfor %} {{ d|length }} {{ d[7] "
        "}}",
        "{}", "400 199 1 1 False 300 7", "........................");
}

static void test_raised_is_usage(void **state) {
    (void)state;
    ran x = run_with("a\n{{ raise_exception('not like this') }}", "{}", false);
    assert_false(x.ok);
    assert_int_equal(x.e.code, ERR_USAGE);
    assert_string_equal(x.e.msg, "not like this (line 2 of the template)");
    x = run_with("{{ x.y }}", "{}", false);
    assert_int_equal(x.e.code, ERR_FAILED);
    assert_string_equal(x.e.msg, "'x' is undefined (line 1 of the template)");
    x = run_with("{% if %}", "{}", false);
    assert_int_equal(x.e.code, ERR_DAMAGED);
}

/* ---- threads ---- */

typedef struct shared_render {
    const jinja *t;
    json_t *vars;
} shared_render;

static void *render_often(void *ud) {
    shared_render *s = ud;
    size_t right = 0;
    for (int i = 0; i < 200; i++) {
        jinja_result r;
        err e = {0};
        if (!jinja_render(s->t, &(jinja_how){.vars = s->vars}, &r, &e)) break;
        right += str_eq(r.text, STR("[1][2][3]<deep>"));
        jinja_result_deinit(&r);
    }
    return right == 200 ? s : NULL;
}

static void test_threads(void **state) {
    (void)state;
    err e = {0};
    pthread_t thread[4];
    shared_render s = {
        .t = jinja_parse(STR("{% macro m(x) %}[{{ x }}]{% endmacro %}{% for i in l %}{{ m(i) }}"
                             "{% endfor %}<{{ d.c['x'] }}>"),
                         &e),
        .vars = json_loads("{\"l\":[1,2,3],\"d\":{\"c\":{\"x\":\"deep\"}}}", 0, NULL)};
    assert_non_null(s.t);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, render_often, &s), 0);
    for (int i = 0; i < 4; i++) {
        void *right;
        pthread_join(thread[i], &right);
        assert_non_null(right);
    }
    jinja_free((jinja *)s.t);
    json_decref(s.vars);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snippets),    cmocka_unit_test(test_origins),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_changeable),
        cmocka_unit_test(test_many_values), cmocka_unit_test(test_raised_is_usage),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
