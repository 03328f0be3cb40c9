/* The server from inside: exchanges answered from other threads, references, events, and the end.
 * What goes over the wire is in test_wire.py. */
#include "net/http.h"

#include "base/clock.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a client ---- */

static int dial(const http_server *s) {
    const char *a = http_server_address(s, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtol(strchr(a, ':') + 1, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval patience = {30, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void get(int fd, const char *path) {
    char text[300];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
    say(fd, text);
}

/* Reads until the text has come, or the end. */
static char *hear(int fd, const char *until) {
    static char text[65536];
    size_t n = 0;
    text[0] = 0;
    while (n < sizeof text - 1 && !(until && strstr(text, until))) {
        ssize_t r = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (r <= 0) break;
        n += (size_t)r;
        text[n] = 0;
    }
    if (until && !strstr(text, until)) fail_msg("\"%s\" did not come: %s", until, text);
    return text;
}

static void wait_for(atomic_int *what, int value) {
    for (int i = 0; i < 10000 && atomic_load(what) != value; i++) usleep(1000);
    assert_int_equal(atomic_load(what), value);
}

/* ---- a server that keeps its exchanges ---- */

static http_exchange *kept[64];
static atomic_int n_kept, n_gone, n_ticks, n_drained, n_ended;

static void on_gone(void *ud, http_exchange *x) {
    (void)x;
    assert_ptr_equal(ud, &n_gone);
    atomic_fetch_add(&n_gone, 1);
}

static void on_end(void *ud, http_exchange *x) {
    (void)x;
    assert_ptr_equal(ud, &n_ended);
    atomic_fetch_add(&n_ended, 1);
}

static void on_tick(void *ud, http_exchange *x) {
    (void)ud;
    if (atomic_fetch_add(&n_ticks, 1) == 4) http_reply(x, 200, "text/plain", "ticked", 6);
}

static void on_drained(void *ud, http_exchange *x) {
    (void)ud, (void)x;
    atomic_fetch_add(&n_drained, 1);
}

static void handle(void *ud, http_exchange *x) {
    (void)ud;
    http_on_gone(x, on_gone, &n_gone);
    http_on_end(x, on_end, &n_ended);
    if (strcmp(http_path(x), "/now") == 0) {
        http_reply(x, 200, "text/plain", "now", 3);
        http_reply(x, 500, "text/plain", "twice", 5); /* once per exchange: nothing */
        http_stream_begin(x, 200, "text/plain");
        assert_false(http_stream_write(x, "x", 1));
        http_stream_end(x);
        return;
    }
    if (strcmp(http_path(x), "/tick") == 0) {
        http_on_tick(x, 5, on_tick, NULL);
        return;
    }
    http_on_drained(x, on_drained, NULL);
    http_retain(x);
    kept[atomic_load(&n_kept)] = x;
    atomic_fetch_add(&n_kept, 1);
}

static http_server *begin(void) {
    err e = {0};
    atomic_store(&n_kept, 0);
    atomic_store(&n_gone, 0);
    atomic_store(&n_ticks, 0);
    atomic_store(&n_drained, 0);
    atomic_store(&n_ended, 0);
    http_server *s = http_server_new(&(http_options){.handle = handle}, &e);
    if (!s || !http_server_listen(s, "127.0.0.1:0", &e) || !http_server_start(s, &e))
        fail_msg("%s", e.msg);
    return s;
}

/* ---- tests ---- */

static void test_reply_later(void **state) {
    (void)state;
    http_server *s = begin();
    int fd = dial(s);
    get(fd, "/now");
    assert_non_null(strstr(hear(fd, "\r\n\r\nnow"), "200 OK"));
    get(fd, "/a?x=1");
    wait_for(&n_kept, 1);
    http_exchange *x = kept[0];
    assert_string_equal(http_path(x), "/a");
    assert_string_equal(http_query(x, "x"), "1");
    assert_string_equal(http_peer(x), "127.0.0.1");
    assert_true(http_peer_is_local(x) && !http_is_tls(x) && !http_gone(x));
    assert_true(http_set_header(x, "X-One", "1"));
    assert_false(http_set_header(x, "X-Two", "1\r\nSet-Cookie: a"));
    assert_false(http_set_header(x, "X Two", "1"));
    assert_false(http_set_header(x, "content-length", "1"));
    assert_false(http_set_header(x, "Transfer-Encoding", "chunked"));
    http_reply(x, 429, "text/plain\r\nX-Three: 1", "later", 5);
    assert_false(http_set_header(x, "X-Four", "1"));
    http_release(x);
    char *text = hear(fd, "\r\n\r\nlater");
    assert_non_null(strstr(text, "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_non_null(strstr(text, "\r\nX-One: 1\r\n"));
    assert_null(strstr(text, "Set-Cookie"));
    assert_null(strstr(text, "X-T"));
    assert_null(strstr(text, "X-Four"));
    http_counts n;
    http_server_counts(s, &n);
    assert_int_equal(n.accepted, 1);
    assert_int_equal(n.requests, 2);
    assert_int_equal(n.connections, 1);
    close(fd);
    http_server_free(s);
    assert_int_equal(atomic_load(&n_gone), 0); /* both were answered */
    assert_int_equal(atomic_load(&n_ended), 2);
}

static void *write_much(void *arg) {
    http_exchange *x = arg;
    http_stream_begin(x, 200, "text/plain");
    for (int i = 0; i < 2000; i++)
        if (!http_stream_write(x, "0123456789", 10)) break;
    http_stream_end(x);
    http_release(x);
    return NULL;
}

static void test_stream_from_threads(void **state) {
    (void)state;
    http_server *s = begin();
    int fd[8];
    pthread_t t[8];
    for (int i = 0; i < 8; i++) get(fd[i] = dial(s), "/s");
    wait_for(&n_kept, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_much, kept[i]), 0);
    for (int i = 0; i < 8; i++) {
        size_t n = 0;
        char tail[8] = ""; /* the last seven bytes */
        while (strcmp(tail, "\r\n0\r\n\r\n") != 0) {
            char piece[5000];
            ssize_t r = recv(fd[i], piece, sizeof piece, 0);
            assert_true(r > 0);
            for (ssize_t k = 0; k < r; k++) {
                memmove(tail, tail + 1, 6);
                tail[6] = piece[k];
            }
            n += (size_t)r;
        }
        assert_true(n > 2000 * 15);
        close(fd[i]);
    }
    for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
    http_server_free(s);
    assert_int_equal(atomic_load(&n_gone), 0);
}

/* Nobody is left to answer: the client learns it, whether the last reference goes in the handler,
 * on another thread, or in the middle of a stream. */
static void test_abandoned(void **state) {
    (void)state;
    http_server *s = begin();
    int fd = dial(s);
    get(fd, "/a");
    wait_for(&n_kept, 1);
    http_release(kept[0]);
    assert_non_null(strstr(hear(fd, "nobody"), "HTTP/1.1 500 "));
    get(fd, "/b");
    wait_for(&n_kept, 2);
    http_stream_begin(kept[1], 200, "text/plain");
    http_stream_write(kept[1], "half", 4);
    hear(fd, "half\r\n");
    http_release(kept[1]);
    assert_string_equal(hear(fd, NULL), ""); /* closed without the last chunk */
    close(fd);
    http_server_free(s);
}

static void test_gone_once(void **state) {
    (void)state;
    http_server *s = begin();
    struct linger reset = {1, 0};
    for (int i = 0; i < 30; i++) {
        int fd = dial(s);
        get(fd, "/a");
        wait_for(&n_kept, i + 1);
        http_exchange *x = kept[i];
        bool streams = i % 2;
        if (streams) {
            http_stream_begin(x, 200, "text/plain");
            assert_true(http_stream_write(x, NULL, 0));
            hear(fd, "\r\n\r\n");
        }
        if (i % 3 == 0) shutdown(fd, SHUT_WR); /* half-close */
        if (i % 3 == 1) close(fd);
        if (i % 3 == 2) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(fd);
        }
        wait_for(&n_gone, i + 1);
        assert_true(http_gone(x));
        assert_false(http_stream_write(x, "late", 4));
        if (streams) http_stream_end(x);
        else http_reply(x, 200, "text/plain", "late", 4);
        assert_int_equal(http_backlog(x), 0);
        http_release(x);
        if (i % 3 == 0) {
            assert_string_equal(hear(fd, NULL), "");
            close(fd);
        }
    }
    http_counts n;
    for (int i = 0; i < 1000; i++) {
        http_server_counts(s, &n);
        if (n.connections == 0 && n.exchanges == 0) break;
        usleep(1000);
    }
    assert_int_equal(n.connections, 0);
    assert_int_equal(n.exchanges, 0);
    http_server_free(s);
    assert_int_equal(atomic_load(&n_gone), 30);
    assert_int_equal(atomic_load(&n_ended), 30);
}

/* A client that has sent more than is read ahead, and leaves. A FIN is seen when it reached this
 * machine, which it does not while the kernel's buffers are full as well; a reset always. */
static void test_gone_behind_pipeline(void **state) {
    (void)state;
    http_server *s = begin();
    struct linger reset = {1, 0};
    static char waste[4 << 20];
    memset(waste, 'x', sizeof waste);
    for (int i = 0; i < 2; i++) {
        int fd = dial(s);
        get(fd, "/a");
        wait_for(&n_kept, i + 1);
        if (i == 0) {
            assert_int_equal(send(fd, waste, 90000, MSG_NOSIGNAL), 90000);
        } else {
            for (int k = 0; k < 20; k++) {
                send(fd, waste, sizeof waste, MSG_NOSIGNAL | MSG_DONTWAIT);
                usleep(2000);
            }
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        assert_int_equal(atomic_load(&n_gone), i);
        close(fd);
        wait_for(&n_gone, i + 1);
        http_release(kept[i]);
    }
    http_server_free(s);
}

static void test_tick(void **state) {
    (void)state;
    http_server *s = begin();
    int fd = dial(s);
    get(fd, "/tick");
    hear(fd, "ticked");
    int after = atomic_load(&n_ticks);
    assert_int_equal(after, 5);
    get(fd, "/now");
    hear(fd, "now");
    assert_int_equal(atomic_load(&n_ticks), after);
    close(fd);
    http_server_free(s);
}

/* A reader that does not read: the backlog grows, is drained in one go, and beyond the cap the
 * client is dropped. */
static void test_backlog(void **state) {
    (void)state;
    http_server *s = begin();
    static char block[65536];
    memset(block, 'b', sizeof block);
    int fd = dial(s);
    get(fd, "/a");
    wait_for(&n_kept, 1);
    http_exchange *x = kept[0];
    http_stream_begin(x, 200, "text/plain");
    size_t sent = 0;
    while (http_backlog(x) < 1000000) {
        assert_true(http_stream_write(x, block, sizeof block));
        sent += sizeof block;
        assert_true(sent < 100u << 20);
        usleep(100);
    }
    usleep(50000); /* the socket takes what it can */
    assert_true(http_backlog(x) > 65536);
    atomic_store(&n_drained, 0);
    for (size_t got = 0; got < sent;) {
        ssize_t r = recv(fd, block, sizeof block, 0);
        assert_true(r > 0);
        got += (size_t)r;
    }
    wait_for(&n_drained, 1);
    assert_int_equal(atomic_load(&n_gone), 0);
    memset(block, 'b', sizeof block);
    bool ok = true;
    for (int i = 0; i < 4000 && ok; i++) ok = http_stream_write(x, block, sizeof block);
    assert_false(ok);
    assert_true(http_backlog(x) <= 8u << 20);
    wait_for(&n_gone, 1);
    http_release(x);
    close(fd);
    http_server_free(s);
}

static void *end_slowly(void *arg) {
    usleep(100000);
    http_stream_end(arg);
    http_release(arg);
    return NULL;
}

/* stop waits for an answer that comes in time, cuts one that does not, and tells its owner. */
static void test_stop(void **state) {
    (void)state;
    http_server *s = begin();
    int idle = dial(s), fd = dial(s), other = dial(s);
    get(idle, "/now");
    hear(idle, "now");
    get(fd, "/a");
    wait_for(&n_kept, 1);
    http_stream_begin(kept[0], 200, "text/plain");
    http_stream_write(kept[0], "abc", 3);
    http_server_drain(s);
    assert_string_equal(hear(idle, NULL), ""); /* idle ones end at once */
    pthread_t t;
    pthread_create(&t, NULL, end_slowly, kept[0]);
    http_server_stop(s, 60000);
    assert_non_null(strstr(hear(fd, NULL), "abc\r\n0\r\n\r\n"));
    assert_int_equal(atomic_load(&n_gone), 0);
    pthread_join(t, NULL);
    http_server_stop(s, 100); /* again is nothing */
    http_server_free(s);
    close(idle), close(fd), close(other);

    s = begin();
    fd = dial(s);
    get(fd, "/a");
    wait_for(&n_kept, 1);
    http_server_stop(s, 20);
    assert_int_equal(atomic_load(&n_gone), 1);
    assert_string_equal(hear(fd, NULL), "");
    http_server_free(s);
    http_reply(kept[0], 200, "text/plain", "late", 4); /* a worker that had not heard of it */
    assert_true(http_gone(kept[0]));
    assert_string_equal(http_path(kept[0]), "/a");
    http_release(kept[0]);
    close(fd);
}

static void expect_no_listen(const char *address, err_code code, const char *word) {
    err e = {0};
    http_server *s = http_server_new(&(http_options){.handle = handle}, &e);
    assert_false(http_server_listen(s, address, &e));
    if (e.code != code || !strstr(e.msg, word)) fail_msg("%s: %d %s", address, e.code, e.msg);
    http_server_free(s);
}

static void test_addresses(void **state) {
    (void)state;
    static const char *const wrong[] = {"",       "8080",    ":80",   "h:",    "h:99999", "h:-1",
                                        "::1:80", "[::1]80", "h:80x", "[]:80", "h: 80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_no_listen(wrong[i], ERR_USAGE, "not an address");
    expect_no_listen("no.such.host.invalid:80", ERR_NOT_FOUND, "no such host");
    expect_no_listen("192.0.2.1:8080", ERR_NOT_FOUND, "no such address");
    expect_no_listen("unix:", ERR_USAGE, "path");
    char path[300] = "unix:/tmp/";
    memset(path + 10, 'x', 150);
    expect_no_listen(path, ERR_USAGE, "107");

    http_server *s = begin();
    char word[64];
    snprintf(word, sizeof word, "(process %d)", getpid());
    expect_no_listen(http_server_address(s, 0), ERR_FAILED, word);
    expect_no_listen(http_server_address(s, 0), ERR_FAILED, "--listen");
    assert_null(http_server_address(s, 1));
    http_server_free(s);
}

static void test_unix_socket(void **state) {
    (void)state;
    err e = {0};
    char address[400];
    const char *path = scratch_path("socket");
    snprintf(address, sizeof address, "unix:%s", path);
    path = address + 5;
    http_server *s = http_server_new(&(http_options){.handle = handle}, &e);
    if (!http_server_listen(s, address, &e)) fail_msg("%s", e.msg);
    assert_true(http_server_start(s, &e));
    assert_string_equal(http_server_address(s, 0), address);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    expect_no_listen(address, ERR_FAILED, "another server listens there");
    http_server_free(s);
    assert_int_not_equal(stat(path, &st), 0);

    struct sockaddr_un sa = {.sun_family = AF_UNIX}; /* what a crash leaves */
    assert_true(strlen(path) < sizeof sa.sun_path);
    memcpy(sa.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(fd);
    s = http_server_new(&(http_options){.handle = handle}, &e);
    if (!http_server_listen(s, address, &e)) fail_msg("%s", e.msg);
    http_server_free(s);

    snprintf(address, sizeof address, "unix:%s", scratch_write("file", "precious", 8));
    expect_no_listen(address, ERR_FAILED, "no socket");
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_size, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply_later),
        cmocka_unit_test(test_stream_from_threads),
        cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_gone_once),
        cmocka_unit_test(test_gone_behind_pipeline),
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unix_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
