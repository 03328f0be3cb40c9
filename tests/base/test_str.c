#include "base/err.h"
#include "base/str.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static void test_views(void **state) {
    (void)state;
    assert_true(str_eq(STR("abc"), str_of("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(str_of(NULL), STR("")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_true(str_starts(STR("abc"), STR("abc")));
    assert_false(str_starts(STR("abc"), STR("abcd")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_false(str_ends(STR("abc"), STR("ab")));
    assert_true(str_ends((str){NULL, 0}, (str){NULL, 0}));
}

static void test_find(void **state) {
    (void)state;
    static const struct {
        const char *hay, *needle;
        size_t from, at;
    } cases[] = {
        {"abcabc", "abc", 0, 0},  {"abcabc", "abc", 1, 3}, {"abcabc", "abc", 4, (size_t)-1},
        {"abc", "", 0, 0},        {"abc", "", 3, 3},       {"abc", "", 4, (size_t)-1},
        {"", "a", 0, (size_t)-1}, {"", "", 0, 0},          {"abc", "abcd", 0, (size_t)-1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(str_find(str_of(cases[i].hay), str_of(cases[i].needle), cases[i].from),
                         cases[i].at);
    assert_int_equal(str_find((str){"a\0b", 3}, (str){"\0b", 2}, 0), 1);
}

static void test_trim(void **state) {
    (void)state;
    assert_true(str_eq(str_trim(STR(" \t\r\n\v\fx y\n ")), STR("x y")));
    assert_true(str_eq(str_trim(STR("   ")), STR("")));
    assert_true(str_eq(str_trim((str){NULL, 0}), STR("")));
    assert_true(str_eq(str_trim(STR("\xc2\xa0x")), STR("\xc2\xa0x"))); /* ASCII white space only */
}

static void test_to_u64(void **state) {
    (void)state;
    uint64_t v = 7;
    assert_true(str_to_u64(STR("0"), &v) && v == 0);
    assert_true(str_to_u64(STR("007"), &v) && v == 7);
    assert_true(str_to_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
    v = 42;
    static const char *const bad[] = {
        "",  "18446744073709551616", "99999999999999999999", "-1", "+1", " 1", "1 ", "1.0", "0x1",
        "1a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(str_to_u64(str_of(bad[i]), &v));
        assert_int_equal(v, 42);
    }
    assert_false(str_to_u64((str){"1\0", 2}, &v));
}

static void test_to_f64(void **state) {
    (void)state;
    double v = 0;
    assert_true(str_to_f64(STR("0.1"), &v) && v == 0.1);
    assert_true(str_to_f64(STR("-1e-3"), &v) && v == -1e-3);
    assert_true(str_to_f64(STR("+.5"), &v) && v == 0.5);
    assert_true(str_to_f64(STR("5."), &v) && v == 5.0);
    assert_true(str_to_f64(STR("1e-999"), &v) && v == 0.0); /* too small is zero, not an error */
    v = 42;
    static const char *const bad[] = {
        "",    ".",  "+",  "e5",    "1e",  "1e+", "1e999", "nan",  "inf",   "-inf", "0x10",
        "1,5", " 1", "1 ", "1.2.3", "--1", "1f",  "1d",    "1e5x", "1e1.5", "1_0",  "\xd9\xa1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(str_to_f64(str_of(bad[i]), &v));
        assert_true(v == 42);
    }
    assert_true(str_to_f64((str){"1.5999", 3}, &v) && v == 1.5); /* a view need not end in NUL */
    char longest[600];
    memset(longest, '1', sizeof longest);
    assert_false(str_to_f64((str){longest, sizeof longest}, &v));
}

static void test_to_f64_ignores_locale(void **state) {
    (void)state;
    if (!scratch_set_comma_locale()) skip_because("no locale with a decimal comma can be made");
    assert_true(strtod("1,5", NULL) == 1.5);
    double v = 0;
    bool ok = str_to_f64(STR("1.5"), &v);
    setlocale(LC_ALL, "C");
    assert_true(ok && v == 1.5);
}

/* Unicode 15, table 3-7, its edges from both sides; -1: needs more bytes, 0: never valid. */
static const struct {
    const char *bytes;
    size_t n;
    int len;
    uint32_t cp;
} utf8_cases[] = {
    {"", 0, -1, 0},
    {"\0", 1, 1, 0},
    {"\x7f", 1, 1, 0x7f},
    {"\x80", 1, 0, 0},
    {"\xbf\x80", 2, 0, 0},
    {"\xc0\x80", 2, 0, 0}, /* overlong */
    {"\xc1\xbf", 2, 0, 0},
    {"\xc2\x80", 2, 2, 0x80},
    {"\xc2", 1, -1, 0},
    {"\xc2\x7f", 2, 0, 0},
    {"\xc2\xc0", 2, 0, 0},
    {"\xdf\xbf", 2, 2, 0x7ff},
    {"\xe0\x9f\xbf", 3, 0, 0}, /* overlong */
    {"\xe0\x9f", 2, 0, 0},
    {"\xe0\xa0\x80", 3, 3, 0x800},
    {"\xe0\xa0", 2, -1, 0},
    {"\xe0", 1, -1, 0},
    {"\xe2\x82\xac", 3, 3, 0x20ac},
    {"\xe2\x82\x28", 3, 0, 0},
    {"\xed\x9f\xbf", 3, 3, 0xd7ff},
    {"\xed\xa0\x80", 3, 0, 0}, /* surrogate */
    {"\xed\xa0", 2, 0, 0},
    {"\xee\x80\x80", 3, 3, 0xe000},
    {"\xef\xbf\xbf", 3, 3, 0xffff},
    {"\xf0\x8f\xbf\xbf", 4, 0, 0}, /* overlong */
    {"\xf0\x90\x80\x80", 4, 4, 0x10000},
    {"\xf0\x90\x80", 3, -1, 0},
    {"\xf0\x9f\x98\x80!", 5, 4, 0x1f600},
    {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
    {"\xf4\x90\x80\x80", 4, 0, 0}, /* past the end */
    {"\xf5\x80\x80\x80", 4, 0, 0},
    {"\xff", 1, 0, 0},
};

static void test_utf8_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof utf8_cases / sizeof *utf8_cases; i++) {
        uint32_t cp = 12345;
        int len = utf8_cases[i].len;
        assert_int_equal(utf8_len(utf8_cases[i].bytes, utf8_cases[i].n), len);
        assert_int_equal(utf8_decode(utf8_cases[i].bytes, utf8_cases[i].n, &cp), len > 0 ? len : 0);
        assert_int_equal(cp, len > 0 ? utf8_cases[i].cp : 12345);
    }
}

static void test_utf8_every_code_point(void **state) {
    (void)state;
    for (uint32_t cp = 0; cp <= 0x110000; cp++) {
        char bytes[4];
        int n = utf8_encode(cp, bytes);
        bool valid = cp < 0x110000 && !(cp >= 0xd800 && cp <= 0xdfff);
        uint32_t back = 0;
        if (utf8_decode(bytes, (size_t)n, &back) != n || back != (valid ? cp : 0xfffd))
            fail_msg("U+%04X becomes U+%04X in %d bytes", (unsigned)cp, (unsigned)back, n);
        for (int cut = 0; cut < n; cut++)
            if (utf8_len(bytes, (size_t)cut) != -1) fail_msg("U+%04X cut at %d", (unsigned)cp, cut);
    }
    char bytes[4];
    assert_int_equal(utf8_encode(UINT32_MAX, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
}

static void test_printable(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain \xc3\xa9 \xe2\x82\xac", "plain \xc3\xa9 \xe2\x82\xac"},
        {"a\nb\rc\td", "a\\nb\\rc\\td"},
        {"\x1b[31m\x07\x7f", "\\x1b[31m\\x07\\x7f"},
        {"\xff\xc3(", "\\xff\\xc3("},
        {"\xc2\x85", "\\u0085"}, /* C1: some terminals obey it */
        {"a\xe2\x80\xae"
         "b",
         "a\\u202eb"},               /* right-to-left override */
        {"\xe2\x80\xa8", "\\u2028"}, /* line separator */
        {"\xe2\x82", "\\xe2\\x82"},
        {"", ""},
    };
    char dst[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(str_printable(str_of(cases[i].in), dst, sizeof dst), cases[i].out);
    assert_string_equal(str_printable((str){"a\0b", 3}, dst, sizeof dst), "a\\x00b");
}

static void test_printable_cut(void **state) {
    (void)state;
    char dst[16];
    assert_string_equal(str_printable(STR("abcdef"), dst, 7), "abcdef"); /* just fits */
    assert_string_equal(str_printable(STR("abcdef"), dst, 6), "ab...");
    assert_string_equal(str_printable(STR("ab\xe2\x82\xac"
                                          "cd"),
                                      dst, 7),
                        "ab...");
    assert_string_equal(str_printable(STR("ab\n\n\n"), dst, 8), "ab\\n...");
    assert_string_equal(str_printable(STR("abcdef"), dst, 3), "..");
    assert_string_equal(str_printable(STR("abcdef"), dst, 1), "");
    dst[0] = 'x';
    str_printable(STR("abc"), dst, 0);
    assert_int_equal(dst[0], 'x');
}

static void test_err(void **state) {
    (void)state;
    err e = {0};
    assert_false(err_set(&e, ERR_DAMAGED, "byte %d\nis\tbad", 7));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_string_equal(e.msg, "byte 7 is bad");
    assert_false(err_wrap(&e, "%s", "model.gguf"));
    assert_int_equal(e.code, ERR_DAMAGED);
    assert_string_equal(e.msg, "model.gguf: byte 7 is bad");
    err_set(&e, ERR_FAILED, "again: %s", e.msg); /* its own message as an argument */
    assert_string_equal(e.msg, "again: model.gguf: byte 7 is bad");
    assert_false(err_set(NULL, ERR_FAILED, "nobody asks"));
    assert_false(err_wrap(NULL, "nobody asks"));
}

static void test_err_long(void **state) {
    (void)state;
    char text[2048];
    for (size_t i = 0; i + 3 < sizeof text; i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
    for (int shift = 0; shift < 4; shift++) { /* the cut falls on each byte of a character once */
        err e = {0};
        err_set(&e, ERR_FAILED, "%.*s%s", shift, "xxx", text);
        size_t n = strlen(e.msg);
        assert_in_range(n, sizeof e.msg - 4, sizeof e.msg - 1);
        for (size_t i = 0; i < n;) {
            int len = utf8_len(e.msg + i, n - i);
            assert_true(len > 0);
            i += (size_t)len;
        }
        err_wrap(&e, "%s", text);
        assert_true(strlen(e.msg) < sizeof e.msg);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),      cmocka_unit_test(test_find),
        cmocka_unit_test(test_trim),       cmocka_unit_test(test_to_u64),
        cmocka_unit_test(test_to_f64),     cmocka_unit_test(test_to_f64_ignores_locale),
        cmocka_unit_test(test_utf8_table), cmocka_unit_test(test_utf8_every_code_point),
        cmocka_unit_test(test_printable),  cmocka_unit_test(test_printable_cut),
        cmocka_unit_test(test_err),        cmocka_unit_test(test_err_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
