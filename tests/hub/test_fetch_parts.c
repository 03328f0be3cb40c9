/* The parts of fetching that need no wire: spans and the journal, repositories, challenges. */
#include "base/rng.h"
#include "hub/face.h"
#include "hub/fetch.h"
#include "hub/registry.h"
#include "support/cmocka_all.h"

#include <stdlib.h>

/* Against a byte map, which is slow and obvious. */
static void test_spans(void **state) {
    (void)state;
    enum { N = 300 };
    for (uint64_t round = 0; round < 50; round++) {
        hub_spans s = {0};
        bool there[N] = {false};
        for (uint64_t k = 0; k < 60; k++) {
            uint64_t a = rng_u64(round, 1, k) % N, b = a + rng_u64(round, 2, k) % 20;
            if (b > N) b = N;
            assert_true(hub_spans_add(&s, a, b));
            for (uint64_t i = a; i < b; i++) there[i] = true;
            uint64_t bytes = 0, front = 0;
            for (int i = 0; i < N; i++) bytes += there[i];
            while (front < N && there[front]) front++;
            assert_int_equal(hub_spans_bytes(&s), bytes);
            assert_int_equal(hub_spans_front(&s), front);
            for (int i = 1; i < s.n; i++) assert_true(s.at[i - 1].end < s.at[i].first);
        }
    }
    hub_spans s = {0};
    for (uint64_t i = 0; i < HUB_SPANS_MAX; i++) assert_true(hub_spans_add(&s, 10 * i, 10 * i + 1));
    assert_false(hub_spans_add(&s, 5, 6));
    assert_true(hub_spans_add(&s, 1, 10)); /* closes a gap */
    assert_true(hub_spans_add(&s, 15, 16));
}

static void test_journal(void **state) {
    (void)state;
    hub_journal *j = calloc(1, sizeof *j), *back = calloc(1, sizeof *back);
    assert_non_null(j);
    assert_non_null(back);
    j->size = 1000;
    memcpy(j->etag, "\"a\\b\"", 6);
    hub_spans_add(&j->done, 0, 10);
    hub_spans_add(&j->done, 20, 1000);
    buf b;
    buf_init(&b, 4096);
    hub_journal_write(&b, j);
    assert_true(hub_journal_read(back, buf_str(&b)));
    assert_memory_equal(j, back, sizeof *j);
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"size\":10,\"etag\":\"\",\"done\":[[0,11]]}",
        "{\"size\":10,\"etag\":\"\",\"done\":[[5,5]]}",
        "{\"size\":10,\"etag\":\"\",\"done\":[[6,5]]}",
        "{\"size\":10,\"etag\":\"\",\"done\":[[-1,5]]}",
        "{\"size\":10,\"etag\":\"\",\"done\":[[1]]}",
        "{\"size\":10,\"etag\":\"\",\"done\":[7]}",
        "{\"size\":-1,\"etag\":\"\",\"done\":[]}",
        "{\"size\":10,\"etag\":4,\"done\":[]}",
        "{\"size\":10,\"size\":11,\"etag\":\"\",\"done\":[]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hub_journal_read(back, str_of(bad[i]))) fail_msg("%s", bad[i]);
    for (size_t n = 0; n < b.len; n++) assert_false(hub_journal_read(back, (str){b.data, n}));
    buf_deinit(&b);
    free(j);
    free(back);
}

static const char repo_text[] =
    "{\"sha\":\"0123456789abcdef\",\"gated\":\"manual\",\"cardData\":{\"license\":\"mit\"},"
    "\"siblings\":["
    "{\"rfilename\":\"README.md\",\"size\":10},"
    "{\"rfilename\":\"../../evil-Q4_K_M.gguf\",\"size\":1},"
    "{\"rfilename\":\"/evil-Q4_K_M.gguf\",\"size\":1},"
    "{\"rfilename\":\"m-Q8_0.gguf\",\"size\":8000},"
    "{\"rfilename\":\"m-Q4_K_M.gguf\",\"size\":4000},"
    "{\"rfilename\":\"m-Q2_K.gguf\",\"size\":2000},"
    "{\"rfilename\":\"mmproj-Q4_K_M.gguf\",\"size\":100},"
    "{\"rfilename\":\"big/m-BF16-00002-of-00002.gguf\",\"size\":6000},"
    "{\"rfilename\":\"big/m-BF16-00001-of-00002.gguf\",\"size\":6000},"
    "{\"rfilename\":\"m-F16-00001-of-00002.gguf\",\"size\":1}]}";

static void choose(const hub_repo *r, const char *tag, uint64_t most, const char *name,
                   uint64_t bytes) {
    hub_variant v;
    err e = {0};
    if (!hub_repo_choose(r, tag, most, &v, &e)) fail_msg("%s: %s", tag ? tag : "-", e.msg);
    assert_int_equal(v.bytes, bytes);
    assert_int_equal(v.name.n, strlen(name));
    assert_memory_equal(v.name.p, name, v.name.n);
}

static void test_repo(void **state) {
    (void)state;
    hub_repo r;
    hub_variant v;
    err e = {0};
    if (!hub_repo_parse(&r, str_of(repo_text), &e)) fail_msg("%s", e.msg);
    assert_true(r.gated);
    assert_string_equal(r.license, "mit");
    assert_int_equal(r.n, 8); /* without the two that lead out of it */
    choose(&r, NULL, 0, "m-Q4_K_M", 4000);
    choose(&r, NULL, 3999, "m-Q2_K", 2000);
    choose(&r, "q8_0", 1, "m-Q8_0", 8000); /* asked for: whatever it needs */
    choose(&r, "BF16", 0, "big/m-BF16", 12000);
    choose(&r, "m-Q2_K", 0, "m-Q2_K", 2000);
    assert_false(hub_repo_choose(&r, NULL, 1999, &v, &e));
    assert_int_equal(e.code, ERR_NO_FIT);
    assert_false(hub_repo_choose(&r, "F16", 0, &v, &e)); /* a part is missing */
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "Q2_K, Q4_K_M, Q8_0, BF16"));
    hub_repo_deinit(&r);
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"sha\":\"0123456789\"}",
                                      "{\"sha\":\"../../../x\",\"siblings\":[]}",
                                      "{\"sha\":\"0123\",\"siblings\":[]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hub_repo_parse(&r, str_of(bad[i]), &e)) fail_msg("%s", bad[i]);
    for (size_t n = 0; n < sizeof repo_text - 2; n++)
        assert_false(hub_repo_parse(&r, (str){repo_text, n}, &e));
}

static void test_addresses(void **state) {
    (void)state;
    hub_name n;
    err e = {0};
    buf b;
    buf_init(&b, 1000);
    assert_true(hub_name_parse(&n, STR("hf.co/user/repo:Q8_0"), &e));
    hub_face_file_url(&b, "https://h", &n, "0123456", "a b/c?d#e%.gguf");
    assert_string_equal(b.data, "https://h/user/repo/resolve/0123456/a%20b/c%3Fd%23e%25.gguf");
    buf_deinit(&b);
}

static void test_challenges(void **state) {
    (void)state;
    static const struct {
        const char *challenge, *address; /* NULL: refused */
    } rows[] = {
        {"Bearer realm=\"https://r.net/token\",service=\"a b\",scope=\"x\"",
         "https://r.net/token?service=a%20b&scope=S"},
        {"bearer service=x , realm=\"https://r.net/t?a=b\"",
         "https://r.net/t?a=b&service=x&scope=S"},
        {"Bearer realm=\"https://R.net:443/token\"", "https://R.net:443/token?scope=S"},
        {"Bearer realm=\"https://other.net/token\"", NULL},
        {"Bearer realm=\"https://r.net.other.net/token\"", NULL},
        {"Bearer realm=\"https://r.net:444/token\"", NULL},
        {"Bearer realm=\"http://r.net/token\"", NULL},
        {"Bearer realm=\"https://r.net@other.net/token\"", NULL},
        {"Bearer realm=\"//r.net/token\"", NULL},
        {"Bearer realm=\"https://r.net/token", NULL},
        {"Bearer realm=\"\"", NULL},
        {"Bearer", NULL},
        {"Negotiate", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf b;
        err e = {0};
        buf_init(&b, 1000);
        bool ok = hub_challenge_url(&b, str_of(rows[i].challenge), "https://r.net", "S", &e);
        if (ok != (rows[i].address != NULL)) fail_msg("%s", rows[i].challenge);
        if (ok) assert_string_equal(b.data, rows[i].address);
        else assert_int_not_equal(e.code, ERR_NONE);
        buf_deinit(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),      cmocka_unit_test(test_journal),
        cmocka_unit_test(test_repo),       cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_challenges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
