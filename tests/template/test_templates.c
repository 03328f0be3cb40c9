/* Every template of the shared collection with every case: byte for byte what Jinja2 renders in
 * the environment of the transformers library, or an error where it raises. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/file.h"
#include "template/jinja.h"

typedef struct shared_cases {
    const char *folder;
    json_t *root;
    struct tm now;
    int n_templates, n_cases, n_wrong;
} shared_cases;

static json_t *load(const char *folder, const char *name, const char *suffix) {
    char path[4096];
    snprintf(path, sizeof path, "%.3000s/%.300s%s", folder, name, suffix);
    json_error_t je;
    return json_load_file(path, JSON_ALLOW_NUL, &je);
}

static jinja *parse(const char *folder, const char *name, err *e) {
    char path[4096];
    buf text;
    snprintf(path, sizeof path, "%s/%s.jinja", folder, name);
    buf_init(&text, 16 << 20);
    jinja *t = file_read(&text, path, e) ? jinja_parse(buf_str(&text), e) : NULL;
    buf_deinit(&text);
    return t;
}

static bool as_expected(const jinja *t, const shared_cases *s, json_t *input, json_t *expected,
                        err *e) {
    jinja_result r;
    json_t *own = json_object_get(s->root, "variables"), *text = json_object_get(expected, "text");
    if (!jinja_render(t, &(jinja_how){.vars = input, .own = own, .now = &s->now}, &r, e))
        return text == NULL;
    str want = {json_string_value(text), json_string_length(text)};
    bool same = text && str_eq(r.text, want);
    if (!same) {
        size_t at = 0;
        while (at < r.text.n && at < want.n && r.text.p[at] == want.p[at]) at++;
        err_set(e, ERR_FAILED, "differs at byte %zu: \"%.60s\" for \"%.60s\"", at,
                at < r.text.n ? r.text.p + at : "", text && at < want.n ? want.p + at : "");
    }
    jinja_result_deinit(&r);
    return same;
}

static void try_template(shared_cases *s, const char *name) {
    err e = {0};
    const char *label;
    json_t *input, *all = load(s->folder, name, ".expected.json");
    jinja *t = parse(s->folder, name, &e);
    if (!t) print_error("%s: %s\n", name, e.msg);
    assert_non_null(all);
    assert_non_null(t);
    s->n_templates++;
    json_object_foreach(json_object_get(s->root, "cases"), label, input) {
        e = (err){0};
        s->n_cases++;
        json_t *expected = json_object_get(all, label);
        assert_non_null(expected);
        if (as_expected(t, s, input, expected, &e)) continue;
        s->n_wrong++;
        print_error("%s, %s: %s\n", name, label, e.msg);
    }
    jinja_free(t);
    json_decref(all);
}

static void test_shared_templates(void **state) {
    (void)state;
    char folder[4096];
    const char *shared = getenv("HEARTH_SHARED");
    snprintf(folder, sizeof folder, "%s/templates", shared ? shared : "");
    shared_cases s = {.folder = folder};
    DIR *d = shared && *shared ? opendir(folder) : NULL;
    if (!d) skip();
    s.root = load(folder, "cases", ".json");
    assert_non_null(s.root);
    assert_non_null(
        strptime(json_string_value(json_object_get(s.root, "now")), "%Y-%m-%dT%H:%M:%S", &s.now));
    for (struct dirent *f; (f = readdir(d));) {
        char name[300];
        size_t n = strlen(f->d_name);
        if (n < 7 || n >= sizeof name || strcmp(f->d_name + n - 6, ".jinja") != 0) continue;
        memcpy(name, f->d_name, n - 6);
        name[n - 6] = 0;
        try_template(&s, name);
    }
    closedir(d);
    json_decref(s.root);
    print_message("%d templates, %d renderings\n", s.n_templates, s.n_cases);
    assert_true(s.n_templates > 0);
    assert_int_equal(s.n_wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared_templates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
