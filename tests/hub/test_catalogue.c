/* The catalogue: the form of data/models.csv, files of another form, what is proposed. */
#include "hub/catalogue.h"

#include <stdio.h>

#include "base/data.h"
#include "hub/names.h"
#include "support/cmocka_all.h"

static void test_the_file(void **state) {
    (void)state;
    size_t n;
    const hub_catalogue_row *r = hub_catalogue(&n);
    assert_true(n >= 8);
    for (size_t i = 0; i < n; i++) {
        hub_name name;
        err e = {0};
        if (!hub_name_parse(&name, str_of(r[i].name), &e)) fail_msg("%s", e.msg);
        assert_int_equal(name.kind, HUB_NAME);
        assert_true(strlen(r[i].name) <= 32 && strlen(r[i].license) <= 24); /* run's columns */
        assert_true(strlen(r[i].good_for) <= 60);
        assert_true(r[i].fetch_gb > 0.1 && r[i].fetch_gb < 100 && r[i].token_gb <= r[i].fetch_gb);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(r[i].name, r[k].name);
    }
    const data_file *f = data_find("models.csv");
    assert_non_null(f);
    str text = data_text(f);
    size_t lines = 0;
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n';
    assert_int_equal(lines, n + 1); /* every line is a row, after the names */
}

static void test_other_files(void **state) {
    (void)state;
    static const char *const bad[] = {
        "name,fetch_gb\nm,1\n",
        "name,fetch_gb,token_gb,license,good_for\n,1,1,free,chat\n",
        "name,fetch_gb,token_gb,license,good_for\nm,1,1,,chat\n",
        "name,fetch_gb,token_gb,license,good_for\nm,1,1,free,\n",
        "name,fetch_gb,token_gb,license,good_for\nm,much,1,free,chat\n",
        "name,fetch_gb,token_gb,license,good_for\nm,1,2,free,chat\n",
        "name,fetch_gb,token_gb,license,good_for\nm,1,0,free,chat\n",
        "name,fetch_gb,token_gb,license,good_for\nm,1,1,free\n",
    };
    csv c;
    hub_catalogue_row *row;
    size_t n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = {0};
        if (hub_catalogue_read(&c, str_of(bad[i]), &row, &n, &e)) fail_msg("taken: %s", bad[i]);
        assert_true(e.code != ERR_NONE && strstr(e.msg, "models.csv"));
    }
    err e = {0};
    str good = STR("license,name,good_for,token_gb,fetch_gb\nfree,m,chat,0.5,1\n");
    assert_true(hub_catalogue_read(&c, good, &row, &n, &e));
    assert_int_equal(n, 1);
    assert_string_equal(row->name, "m");
    assert_true(row->fetch_gb == 1 && row->token_gb == 0.5);
    csv_deinit(&c);
}

/* Whatever the memory: what is proposed fits, and the faster ones are as much faster as is said. */
static void test_proposals(void **state) {
    (void)state;
    int best = 0, three = 0;
    for (uint64_t gb = 0; gb < 64; gb++) {
        hub_proposal p;
        hub_catalogue_propose(gb * 1000000000u, &p);
        const hub_catalogue_row *row[] = {p.fast, p.balanced, p.best};
        for (int i = 0; i < 3; i++)
            if (row[i]) assert_true(row[i]->fetch_gb < (double)gb);
        assert_true(p.best || !p.balanced);
        assert_true(p.balanced || !p.fast);
        if (p.balanced) assert_true(p.balanced->token_gb * 2 <= p.best->token_gb);
        if (p.fast) assert_true(p.fast->token_gb * 2 <= p.balanced->token_gb);
        best += p.best != NULL;
        three += p.fast != NULL;
    }
    assert_true(best > 50 && three > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_proposals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
