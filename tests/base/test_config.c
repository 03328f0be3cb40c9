/* The configuration file's language: what is read, and what is refused with which line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/config.h"
#include "base/limits.h"
#include "support/cmocka_all.h"

static config parsed(const char *text) {
    config c;
    err e = {0};
    if (!config_parse(&c, str_of(text), "f", &e)) fail_msg("%s", e.msg);
    return c;
}

static void check(const config *c, const char *section, const char *name, config_kind kind,
                  const char *text, int line) {
    const config_item *i = config_find(c, section, name);
    assert_non_null(i);
    assert_int_equal(i->n_values, 1);
    assert_int_equal(i->value->kind, kind);
    assert_string_equal(i->value->text, text);
    assert_int_equal(i->line, line);
}

static void test_values(void **state) {
    (void)state;
    config c = parsed("# first\n"
                      "top = 1\n"
                      "\n"
                      "[serve] # the server\r\n"
                      "\tthreads = 1_000\r\n"
                      "  ratio=+1.5e-3# tight\n"
                      "on = true\n"
                      "off = false\n"
                      "name = \"a # b \\\"c\\\" \\\\ \\t \\u00e9 \\U0001F600\"\n"
                      "raw = 'C:\\new'\n"
                      "empty = \"\"\n"
                      "[run-2]\n"
                      "threads = -0");
    check(&c, "", "top", CONFIG_NUMBER, "1", 2);
    check(&c, "serve", "threads", CONFIG_NUMBER, "1000", 5);
    check(&c, "serve", "ratio", CONFIG_NUMBER, "1.5e-3", 6);
    check(&c, "serve", "on", CONFIG_BOOL, "true", 7);
    check(&c, "serve", "off", CONFIG_BOOL, "false", 8);
    check(&c, "serve", "name", CONFIG_TEXT, "a # b \"c\" \\ \t é 😀", 9);
    check(&c, "serve", "raw", CONFIG_TEXT, "C:\\new", 10);
    check(&c, "serve", "empty", CONFIG_TEXT, "", 11);
    check(&c, "run-2", "threads", CONFIG_NUMBER, "-0", 13);
    assert_null(config_find(&c, "run-2", "on"));
    assert_int_equal(c.n_sections, 2);
    assert_int_equal(c.section_line[1], 12);
    config_deinit(&c);
}

static void test_arrays(void **state) {
    (void)state;
    config c = parsed(
        "a = []\nb = [1, 'two', true]\nc = [ # lines\n\n \"x\" , # one\n \"y\",\n]\nd = 1\n");
    assert_int_equal(config_find(&c, "", "a")->n_values, 0);
    assert_true(config_find(&c, "", "a")->array);
    const config_item *b = config_find(&c, "", "b"), *x = config_find(&c, "", "c");
    assert_int_equal(b->n_values, 3);
    assert_string_equal(b->value[1].text, "two");
    assert_int_equal(x->n_values, 2);
    assert_int_equal(x->value[0].line, 5);
    assert_string_equal(x->value[1].text, "y");
    check(&c, "", "d", CONFIG_NUMBER, "1", 8);
    config_deinit(&c);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } bad[] = {
        {"a = 1\nb = [1,\n2\nc = 3\n", "f:4: ", "comma"},
        {"a = [1,\n\n", "f:1: ", "not closed"},
        {"\n\na = 'x\n'", "f:3: ", "quote"},
        {"a = 1\na = 2", "f:2: ", "\"a\" was set before"},
        {"[s]\n[t]\n[s]\n", "f:3: ", "\"s\" is a section that was there"},
        {"a", "f:1: ", "="},
        {"a =", "f:1: ", "missing"},
        {"a = yes", "f:1: ", "\"yes\" is neither"},
        {"a = 2026-11-23", "f:1: ", "neither"},
        {"a = 012", "f:1: ", "neither"},
        {"a = 1__0", "f:1: ", "neither"},
        {"a = 1_", "f:1: ", "neither"},
        {"a = .5", "f:1: ", "neither"},
        {"a = 5.", "f:1: ", "neither"},
        {"a = 0x1f", "f:1: ", "neither"},
        {"a = inf", "f:1: ", "neither"},
        {"a = 1 2", "f:1: ", "line should end"},
        {"a = \"x\" y", "f:1: ", "line should end"},
        {"[s] a = 1", "f:1: ", "line should end"},
        {"[s", "f:1: ", "]"},
        {"[]", "f:1: ", "name"},
        {"[a.b]", "f:1: ", "]"},
        {"[[a]]", "f:1: ", "[[...]]"},
        {"a.b = 1", "f:1: ", "="},
        {"'a' = 1", "f:1: ", "quotes"},
        {"= 1", "f:1: ", "[section]"},
        {"a = \"\"\"x\"\"\"", "f:1: ", "several lines"},
        {"a = [[1]]", "f:1: ", "inside"},
        {"a = {b = 1}", "f:1: ", "braces"},
        {"a = \"\\q\"", "f:1: ", "escape"},
        {"a = \"\\u12\"", "f:1: ", "hexadecimal"},
        {"a = \"\\ud800\"", "f:1: ", "no such character"},
        {"a = \"\\u0000\"", "f:1: ", "no such character"},
        {"# x\n\xff", "f:2: ", "UTF-8"},
        {"a = 1\x01", "f:1: ", "control"},
        {"a = 1\rb = 2", "f:1: ", "control"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        config c;
        err e = {0};
        if (config_parse(&c, str_of(bad[i].text), "f", &e)) fail_msg("read: %s", bad[i].text);
        assert_int_equal(e.code, ERR_USAGE);
        if (strncmp(e.msg, bad[i].where, strlen(bad[i].where)) != 0 || !strstr(e.msg, bad[i].what))
            fail_msg("%s\ngives: %s", bad[i].text, e.msg);
    }
}

/* Size has limits, and what is below them is read whole. */
static void test_size(void **state) {
    (void)state;
    size_t n = 0, cap = LIMIT_CONFIG_BYTES + 100, k = 0;
    char *text = malloc(cap);
    n += (size_t)snprintf(text, cap, "a = [");
    for (; n < LIMIT_CONFIG_BYTES - 20; k++) n += (size_t)snprintf(text + n, cap - n, "%zu,", k);
    n += (size_t)snprintf(text + n, cap - n, "]");
    config c;
    err e = {0};
    assert_true(config_parse(&c, (str){text, n}, "f", &e));
    assert_int_equal(c.item->n_values, k);
    config_deinit(&c);
    memset(text, '#', LIMIT_CONFIG_BYTES + 1);
    assert_false(config_parse(&c, (str){text, LIMIT_CONFIG_BYTES + 1}, "f", &e));
    assert_true(config_parse(&c, (str){text, LIMIT_CONFIG_BYTES}, "f", &e));
    config_deinit(&c);
    n = 0;
    for (k = 0; k <= LIMIT_CONFIG_ITEMS; k++)
        n += (size_t)snprintf(text + n, cap - n, "a%zu=1\n", k);
    assert_false(config_parse(&c, (str){text, n}, "f", &e));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
