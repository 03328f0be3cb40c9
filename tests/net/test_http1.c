/* The request reader: what it takes, what it refuses and with which status, and that the pieces in
 * which bytes arrive change nothing. */
#include "net/http1.h"

#include "base/limits.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_BODY 1000

/* Everything that came out of one series of bytes, as text. */
static void describe(buf *out, const http1_request *r) {
    buf_printf(out, "%s %s %s |", r->head.data + r->method, r->path, r->is_http10 ? "1.0" : "1.1");
    for (const char *p = r->query; p < r->query_end;) {
        const char *value = p + strlen(p) + 1;
        buf_printf(out, " %s=%s", p, value);
        p = value + strlen(value) + 1;
    }
    buf_puts(out, " |");
    for (int i = 0; i < r->n_fields; i++)
        buf_printf(out, " %s:%s", r->head.data + r->fields[i].name,
                   r->head.data + r->fields[i].value);
    buf_printf(out, " |%s%s%s %zu ", r->keep_alive ? "k" : "", r->chunked ? "c" : "",
               r->expects_continue ? "e" : "", r->body.len);
    buf_put_str(out, buf_str(&r->body));
    buf_puts(out, "\n");
}

/* Feeds data in two pieces cut at `cut`, then each of those in steps of `step` (0: whole). The
 * result is what the server would do: requests, then "more" or "bad STATUS REASON". */
static char *run_pieces(const char *data, size_t n, size_t cut, size_t step) {
    http1 p;
    buf out;
    buf_init(&out, 1 << 20);
    http1_init(&p, MAX_BODY);
    size_t at = 0;
    while (at < n && p.state != HTTP1_BAD) {
        size_t end = at < cut ? cut : n;
        size_t len = step && step < end - at ? step : end - at;
        char *exact = malloc(len); /* so that a sanitizer sees any read past it */
        memcpy(exact, data + at, len);
        size_t used = http1_feed(&p, exact, len);
        free(exact);
        assert_true(used <= len);
        if (used == 0 && p.state != HTTP1_BAD) fail_msg("nothing used at %zu", at);
        at += used;
        if (p.state == HTTP1_DONE) {
            http1_request r;
            http1_take(&p, &r);
            describe(&out, &r);
            http1_request_deinit(&r);
        }
    }
    if (p.state == HTTP1_BAD) buf_printf(&out, "bad %d %s", p.bad_status, p.bad_reason);
    else buf_puts(&out, p.state == HTTP1_IDLE ? "idle" : "more");
    http1_deinit(&p);
    return buf_take(&out, NULL);
}

static void check(const char *data, size_t n, const char *want) {
    char *whole = run_pieces(data, n, n, 0);
    if (strncmp(whole, want, strlen(want)) != 0)
        fail_msg("\n%.*s\ngave  %s\nnot   %s", (int)n, data, whole, want);
    for (size_t cut = 0; cut <= n; cut++) {
        char *again = run_pieces(data, n, cut, 0);
        if (strcmp(whole, again) != 0)
            fail_msg("\n%.*s\nsplit at %zu gave  %s\nnot   %s", (int)n, data, cut, again, whole);
        free(again);
    }
    for (size_t step = 1; step < 4; step++) {
        char *again = run_pieces(data, n, n, step);
        assert_string_equal(whole, again);
        free(again);
    }
    free(whole);
}

#define CHECK(data, want) check("" data, sizeof(data) - 1, want)
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST /p HTTP/1.1\r\nHost: h\r\n"

static void test_takes(void **state) {
    (void)state;
    CHECK("", "idle");
    CHECK(GET "\r\n", "GET / 1.1 | | Host:h |k 0 \nidle");
    CHECK("\r\n" GET "\r\n", "GET / 1.1 | | Host:h |k 0 \nidle");
    CHECK("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 | | | 0 \nidle");
    CHECK("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
          "GET / 1.0 | | Connection:Keep-Alive |k 0 \nidle");
    CHECK(GET "Connection: close\r\n\r\n", "GET / 1.1 | | Host:h Connection:close | 0 \nidle");
    CHECK(GET "Connection: keep-alive, TE\r\nConnection:foo,  CLOSE ,\r\n\r\n",
          "GET / 1.1 | | Host:h Connection:keep-alive, TE Connection:foo,  CLOSE , | 0 \nidle");
    CHECK(GET "A:\r\nB: \r\nC:\t x y\t \r\nD:\xc3\xa9\r\n\r\n",
          "GET / 1.1 | | Host:h A: B: C:x y D:\xc3\xa9 |k 0 \nidle");
    CHECK("GET /a%20b%2fc/%C3%A9?x=1&y=%26+%2B&z&&=v&x=2&w=a%0Ab HTTP/1.1\r\nHost:\r\n\r\n",
          "GET /a b/c/\xc3\xa9 1.1 | x=1 y=& + z= =v x=2 w=a\nb | Host: |k 0 \nidle");
    CHECK("GET /?? HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / 1.1 | ?= | Host:[::1]:80 |k");
    CHECK("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * 1.1");
    CHECK("GET http://H:80/x?y=1 HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET /x 1.1 | y=1 | Host:h:80");
    CHECK("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "GET / 1.1 | |");
    CHECK("GET https://h?a=b HTTP/1.1\r\nHost: h\r\n\r\n", "GET / 1.1 | a=b |");
    CHECK(POST "Content-Length: 5\r\n\r\nhello" GET "\r\n",
          "POST /p 1.1 | | Host:h Content-Length:5 |k 5 hello\nGET / 1.1 | | Host:h |k 0 \nidle");
    CHECK(POST "Content-Length: 0\r\n\r\n", "POST /p 1.1 | | Host:h Content-Length:0 |k 0 \nidle");
    CHECK(POST "Content-Length: 1000\r\n\r\nx", "more");
    CHECK(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
          "POST /p 1.1 | | Host:h Expect:100-Continue Content-Length:1 |ke 1 x\n");
    CHECK("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad 505");
}

static void test_chunks(void **state) {
    (void)state;
#define TE POST "Transfer-Encoding: chunked\r\n\r\n"
    const char *took = "POST /p 1.1 | | Host:h Transfer-Encoding:chunked |kc ";
    char want[200];
    snprintf(want, sizeof want, "%s0 \nidle", took);
    CHECK(TE "0\r\n\r\n", want);
    snprintf(want, sizeof want, "%s7 abcdefg\nidle", took);
    CHECK(TE "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", want);
    CHECK(TE "3;x=y; z=\"q\"\r\nabc\r\n0004\r\ndefg\r\n000;e\r\n\r\n", want);
    snprintf(want, sizeof want, "%s26 ", took);
    CHECK(TE "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", want);
    CHECK(TE "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", want);
    CHECK(POST "transfer-encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", "POST /p 1.1");
    CHECK(TE "3e8\r\n", "more");
    CHECK(TE "3e9\r\n", "bad 413");
    CHECK(TE "1\r\nx\r\n3e8\r\n", "bad 413");
    CHECK(TE "ffffffffffffffff\r\n", "bad 413");
    CHECK(TE "00000000000000001\r\n", "bad 400 a chunk's size is too long");
    CHECK(TE "\r\n", "bad 400 a chunk without");
    CHECK(TE ";a\r\n", "bad 400 a chunk without");
    CHECK(TE "g\r\n", "bad 400 a chunk without");
    CHECK(TE "-1\r\n", "bad 400");
    CHECK(TE "+1\r\nx\r\n0\r\n\r\n", "bad 400");
    CHECK(TE "0x1\r\nx\r\n0\r\n\r\n", "bad 400");
    CHECK(TE " 1\r\nx\r\n", "bad 400");
    CHECK(TE "1 \r\nx\r\n", "bad 400");
    CHECK(TE "1\nx\r\n", "bad 400");
    CHECK(TE "1;a\nx\r\n", "bad 400");
    CHECK(TE "1\rx\r\n", "bad 400");
    CHECK(TE "1\r\nxy\r\n", "bad 400 a chunk is longer");
    CHECK(TE "1\r\nx\n0\r\n", "bad 400");
    CHECK(TE "1\r\nx\r0\r\n", "bad 400");
    CHECK(TE "0\r\nX: y\r\n\r\n", "bad 400 trailer");
    CHECK(TE "0\r\n\n", "bad 400 trailer");
    CHECK(TE "0\r\n\rX", "bad 400");
    char long_line[600] = TE "1;";
    size_t n = strlen(long_line);
    memset(long_line + n, 'a', 300);
    check(long_line, n + 300, "bad 400 a chunk's first line");
}

/* Each of these is read by some server or proxy in another way. */
static void test_smuggling(void **state) {
    (void)state;
    CHECK(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "bad 400 more than one Content");
    CHECK(POST "Content-Length: 1\r\ncontent-length: 2\r\n\r\nxx", "bad 400 more than one Content");
    CHECK(POST "Content-Length: 1, 1\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: +1\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: -1\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: 0x1\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: 1 0\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: 01\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: 1.0\r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: \r\n\r\nx", "bad 400 Content-Length");
    CHECK(POST "Content-Length: 1001\r\n\r\n", "bad 413");
    CHECK(POST "Content-Length: 18446744073709551616\r\n\r\n", "bad 413");
    CHECK(POST "Content-Length: 18446744073709551615\r\n\r\n", "bad 413");
    CHECK(POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad 400 both");
    CHECK(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "bad 400 both");
    CHECK(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "bad 400 more");
    CHECK(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", "bad 400 more");
    CHECK(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", "bad 501");
    CHECK(POST "Transfer-Encoding: chunked, identity\r\n\r\n", "bad 501");
    CHECK(POST "Transfer-Encoding: xchunked\r\n\r\n", "bad 501");
    CHECK(POST "Transfer-Encoding: \"chunked\"\r\n\r\n", "bad 501");
    CHECK(POST "Transfer-Encoding: chunked;q=1\r\n\r\n", "bad 501");
    CHECK(POST "Transfer-Encoding: \x0b"
               "chunked\r\n\r\n",
          "bad 400");
    CHECK(POST "Transfer-Encoding:\r\n\r\n", "bad 501");
    CHECK("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad 400 Transfer-Encoding in");
    CHECK(POST "Transfer-Encoding : chunked\r\n\r\n", "bad 400 a header field has no proper name");
    CHECK(POST " Transfer-Encoding: chunked\r\n\r\n", "bad 400 a header field is folded");
    CHECK(POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n", "bad 400 a header field is folded");
    CHECK(POST "X: y\r\n\tz\r\n\r\n", "bad 400 a header field is folded");
    CHECK(POST "Content-Length\r\n\r\n", "bad 400 a header field has no proper name");
    CHECK(POST ": x\r\n\r\n", "bad 400 a header field has no proper name");
    CHECK(POST "Content\0-Length: 1\r\n\r\nx", "bad 400 a control byte");
    CHECK(POST "X: a\0b\r\n\r\n", "bad 400 a control byte");
    CHECK(POST "X: a\x7f"
               "b\r\n\r\n",
          "bad 400 a control byte");
    CHECK(POST "X: y\n\r\n", "bad 400 an LF");
    CHECK(POST "X: y\rContent-Length: 1\r\n\r\n", "bad 400 a CR");
    CHECK(POST "X: y\r\r\n\r\n", "bad 400 a CR");
    CHECK("GET / HTTP/1.1\nHost: h\n\n", "bad 400 an LF");
    CHECK("\n", "bad 400 an LF");
    CHECK("\r\n\r\n" GET "\r\n", "bad 400 blank lines");
    CHECK("GET / HTTP/1.1\r\n\r\n", "bad 400 no Host");
    CHECK(GET "Host: h\r\n\r\n", "bad 400 more than one Host");
    CHECK("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", "bad 400 more than one Host");
    CHECK("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad 400 the Host");
    CHECK("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "bad 400 the Host");
    CHECK("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad 400 the Host");
    CHECK("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "bad 400 the Host");
    CHECK("GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad 400 the request's target and");
    CHECK("GET http://h@other/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad 400 the request's target and");
    CHECK("GET http://h/ HTTP/1.0\r\n\r\n", "bad 400 the request's target and");
    CHECK(GET "Authorization: a\r\nauthorization: b\r\n\r\n", "bad 400 a field that may come once");
    CHECK(GET "x-api-key: a\r\nX-Api-Key: a\r\n\r\n", "bad 400 a field that may come once");
    CHECK(GET "Origin: a\r\nOrigin: b\r\n\r\n", "bad 400 a field that may come once");
    CHECK(GET "Expect: x\r\n\r\n", "bad 417");
}

static void test_request_line(void **state) {
    (void)state;
    static const char *const lines[] = {
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET /",
        "GET",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1.x",
        "GET / HTTPS/1.1",
        "G(T / HTTP/1.1",
        " ",
        "GET x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /#f HTTP/1.1",
        "GET /\xc3\xa9 HTTP/1.1",
        "GET /% HTTP/1.1",
        "GET /%2 HTTP/1.1",
        "GET /%g0 HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /%0d%0a HTTP/1.1",
        "GET /?%00 HTTP/1.1",
        "GET /?a=%zz HTTP/1.1",
        "GET ftp://h/ HTTP/1.1",
        "GET http:/h HTTP/1.1",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "%s\r\nHost: h\r\n\r\n", lines[i]);
        check(text, (size_t)n, "bad 400");
    }
    CHECK("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "bad 505");
    CHECK("GET / HTTP/0.9\r\nHost: h\r\n\r\n", "bad 505");
    CHECK("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "bad 505");
    CHECK("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "bad 501");
    CHECK("\x16\x03\x01\x02\x00", "bad 400 this port speaks plain HTTP");
}

/* One whole feed and one byte by byte; the texts are too long for every cut. */
static void check_long(const buf *b, const char *want) {
    for (size_t step = 0; step < 2; step++) {
        char *got = run_pieces(b->data, b->len, b->len, step);
        if (strncmp(got, want, strlen(want)) != 0) fail_msg("%.200s is not %s", got, want);
        free(got);
    }
}

static void put_many(buf *b, char c, size_t n) {
    for (size_t i = 0; i < n; i++) buf_putc(b, c);
}

static void test_limits(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    for (size_t extra = 0; extra < 2; extra++) { /* the target */
        buf_clear(&b);
        buf_puts(&b, "GET /");
        put_many(&b, 'a', LIMIT_HTTP_URI - 1 + extra);
        buf_puts(&b, " HTTP/1.1\r\nHost: h\r\n\r\n");
        check_long(&b, extra ? "bad 414" : "GET /aaa");
    }
    buf_clear(&b);
    buf_puts(&b, "GET /");
    put_many(&b, 'a', 100000); /* is refused before its end comes */
    check_long(&b, "bad 414");
    for (size_t extra = 0; extra < 2; extra++) { /* the fields' number */
        buf_clear(&b);
        buf_puts(&b, GET);
        for (size_t i = 0; i < LIMIT_HTTP_FIELDS - 1 + extra; i++) buf_printf(&b, "F%zu: x\r\n", i);
        buf_puts(&b, "\r\n");
        check_long(&b, extra ? "bad 431" : "GET / 1.1");
    }
    for (size_t extra = 0; extra < 2; extra++) { /* all bytes */
        buf_clear(&b);
        buf_puts(&b, GET "X: ");
        put_many(&b, 'x', LIMIT_HTTP_HEAD - b.len - 4 + extra);
        buf_puts(&b, "\r\n\r\n");
        check_long(&b, extra ? "bad 431" : "GET / 1.1");
    }
    buf_clear(&b);
    buf_puts(&b, GET);
    put_many(&b, 'x', 200000);
    check_long(&b, "bad 431");
    buf_deinit(&b);
}

/* The state HEAD is met once, before any byte of the body is used. */
static void test_head_stop(void **state) {
    (void)state;
    static const char text[] = POST "Content-Length: 2\r\n\r\nxy" GET "\r\n";
    http1 p;
    http1_init(&p, MAX_BODY);
    size_t n = sizeof text - 1, used = http1_feed(&p, text, n);
    assert_int_equal(p.state, HTTP1_HEAD);
    assert_memory_equal(text + used, "xyGET", 5);
    assert_string_equal(http1_header(&p.req, "content-LENGTH"), "2");
    assert_null(http1_header(&p.req, "Content"));
    used += http1_feed(&p, text + used, n - used);
    assert_int_equal(p.state, HTTP1_DONE);
    assert_memory_equal(text + used, "GET", 3);
    assert_int_equal(http1_feed(&p, text + used, n - used), 0); /* not before it is taken */
    http1_request r;
    http1_take(&p, &r);
    assert_int_equal(p.state, HTTP1_IDLE);
    assert_null(http1_query(&r, "a"));
    http1_request_deinit(&r);
    http1_deinit(&p);
}

static void test_answer_rules(void **state) {
    (void)state;
    assert_true(http1_is_token(STR("X-Name_1")));
    assert_false(http1_is_token(STR("")));
    assert_false(http1_is_token(STR("a b")));
    assert_false(http1_is_token(STR("a:")));
    assert_false(http1_is_token(STR("a\0b")));
    assert_false(http1_is_token(STR("\xc3\xa9")));
    assert_true(http1_is_field_value(STR("a b\t\xc3\xa9")));
    assert_false(http1_is_field_value(STR("a\r\nb")));
    assert_false(http1_is_field_value(STR("a\0")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes),        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_smuggling),    cmocka_unit_test(test_request_line),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_head_stop),
        cmocka_unit_test(test_answer_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
