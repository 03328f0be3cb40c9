/* The client's parts that need no wire: addresses, lines, what is private. */
#include "base/buf.h"
#include "net/client_private.h"
#include "support/cmocka_all.h"

#include <stdlib.h>

static void test_url(void **state) {
    (void)state;
    err e = {0};
    url u, next;
    assert_true(url_parse(&u, "HTTPS://Example.NET/a/../b%20c?d=e#f", &e));
    assert_string_equal(u.scheme, "https");
    assert_string_equal(u.host, "example.net");
    assert_string_equal(u.path, "/b%20c");
    assert_string_equal(u.query, "d=e");
    assert_int_equal(u.port, 443);
    static const struct {
        const char *reference, *text;
        bool same;
    } rows[] = {
        {"/x", "https://example.net/x", true},
        {"x?y", "https://example.net/x?y", true},
        {"//other.net/", "https://other.net/", false},
        {"https://example.net:443/z", "https://example.net:443/z", true},
        {"https://example.net:444/z", "https://example.net:444/z", false},
        {"http://example.net/z", "http://example.net/z", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!url_join(&next, &u, rows[i].reference, &e)) fail_msg("%s", e.msg);
        assert_string_equal(next.text, rows[i].text);
        assert_int_equal(url_same_origin(&u, &next), rows[i].same);
        url_deinit(&next);
    }
    assert_false(url_join(&next, &u, "javascript:x", &e));
    assert_false(url_join(&next, &u, "/a b", &e));
    url_deinit(&u);
    buf b;
    buf_init(&b, 100);
    url_quote(&b, STR("a/b c~\xc3\xa4"));
    assert_string_equal(b.data, "a%2Fb%20c~%C3%A4");
    buf_deinit(&b);
}

static void test_private(void **state) {
    (void)state;
    static const char *const yes[] = {"127.0.0.1",
                                      "10.1.2.3",
                                      "172.16.0.1",
                                      "172.31.255.255",
                                      "192.168.1.1",
                                      "169.254.169.254",
                                      "100.64.0.1",
                                      "0.0.0.0",
                                      "::1",
                                      "::",
                                      "fe80::1",
                                      "fd00::1",
                                      "::ffff:10.0.0.1",
                                      "x"};
    static const char *const no[] = {"8.8.8.8",     "172.32.0.1",     "172.15.0.1", "100.128.0.1",
                                     "2001:db8::1", "::ffff:8.8.8.8", "11.0.0.1"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!http_address_is_private(yes[i])) fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (http_address_is_private(no[i])) fail_msg("%s", no[i]);
}

static bool join(void *ud, str line) {
    buf *b = ud;
    buf_put_str(b, line);
    buf_putc(b, '|');
    return !str_eq(line, STR("end"));
}

/* The same lines, however the bytes are cut. */
static void test_lines(void **state) {
    (void)state;
    static const char text[] = "one\r\n\ntwo\nthree\r\nlast";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        buf seen;
        buf_init(&seen, 100);
        http_lines l = {.line = join, .ud = &seen};
        buf_init(&l.rest, 10);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t left = sizeof text - 1 - at;
            assert_true(http_lines_feed(&l, text + at, left < piece ? left : piece));
        }
        assert_true(http_lines_end(&l));
        assert_string_equal(seen.data, "one||two|three|last|");
        buf_deinit(&l.rest);
        buf_deinit(&seen);
    }
    buf seen;
    buf_init(&seen, 100);
    http_lines l = {.line = join, .ud = &seen};
    buf_init(&l.rest, 10);
    assert_false(http_lines_feed(&l, "end\nmore\n", 9)); /* the caller has had enough */
    assert_string_equal(seen.data, "end|");
    assert_true(http_lines_feed(&l, "0123456789", 10));
    assert_false(http_lines_feed(&l, "0123456789", 10)); /* longer than a line may be */
    buf_deinit(&l.rest);
    buf_deinit(&seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
