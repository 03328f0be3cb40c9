/* Kept responses: found by their owner alone, after opening again too; bounded in age and number;
 * gone when deleted, and with their key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "store/store_test.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

static void put(store *s, const char *owner, const char *id, const char *talk, int64_t age_s) {
    err e = {0};
    if (!store_response_put(s, owner, id, STR("body"), str_of(talk), age_s, &e))
        fail_msg("%s", e.msg);
}

static bool has(store *s, const char *owner, const char *id, int64_t age_s) {
    store_response r;
    err e = {0};
    bool found = store_response_get(s, owner, id, age_s, &r, &e);
    if (found) {
        assert_string_equal(r.body, "body");
        assert_int_equal(r.n_talk, strlen(r.talk));
    } else {
        assert_int_equal(e.code, ERR_NOT_FOUND);
    }
    free(r.body);
    free(r.talk);
    return found;
}

static void test_owners_and_opening_again(void **state) {
    (void)state;
    err e = {0};
    store *s = test_store_open("kept.db", STORE_SERVE, NULL);
    put(s, "ann", "r1", "talk", -1);
    put(s, "ann", "r2", "", -1);
    test_store_close(s);
    s = test_store_open("kept.db", STORE_SERVE, NULL);
    assert_true(has(s, "ann", "r1", -1));
    assert_true(has(s, "ann", "r2", -1));
    assert_false(has(s, "bob", "r1", -1));
    assert_false(store_response_drop(s, "bob", "r1", &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_true(store_response_drop(s, "ann", "r1", &e));
    assert_false(has(s, "ann", "r1", -1));
    assert_true(has(s, "ann", "r2", -1));
    test_store_close(s);
}

static void test_age(void **state) {
    (void)state;
    enum { DAY = 86400 };
    err e = {0};
    test_clock c = {test_unix_ms(2026, 11, 23, 12, 0), 1};
    store *s = test_store_open("age.db", STORE_SERVE, &c);
    put(s, "ann", "old", "talk", DAY);
    test_clock_advance(&c, DAY / 2);
    put(s, "ann", "new", "talk", DAY);
    assert_true(has(s, "ann", "old", DAY));
    test_clock_advance(&c, DAY / 2);
    assert_false(has(s, "ann", "old", DAY)); /* still in the file, and not given out */
    assert_true(has(s, "ann", "old", -1));
    assert_true(store_responses_trim(s, -1, &e));
    assert_true(has(s, "ann", "old", -1));
    assert_true(store_responses_trim(s, DAY, &e));
    assert_false(has(s, "ann", "old", -1));
    assert_true(has(s, "ann", "new", DAY));
    assert_true(store_responses_trim(s, 0, &e)); /* everything */
    assert_false(has(s, "ann", "new", -1));
    test_store_close(s);
}

/* A server that is left alone deletes what has grown old all the same. */
static void test_age_by_itself(void **state) {
    (void)state;
    enum { DAY = 86400 };
    err e = {0};
    test_clock c = {test_unix_ms(2026, 11, 23, 12, 0), 1};
    store *s = test_store_open("alone.db", STORE_SERVE, &c);
    put(s, "ann", "old", "talk", DAY);
    store_responses_keep(s, DAY);
    assert_true(store_flush(s, &e)); /* the writing thread has been round */
    assert_true(has(s, "ann", "old", -1));
    test_clock_advance(&c, DAY);
    assert_true(store_flush(s, &e));
    assert_false(has(s, "ann", "old", -1));
    put(s, "ann", "older", "talk", -1);
    c.unix_ms -= 2 * DAY * (int64_t)1000; /* a clock that was set back does not stop it */
    assert_true(store_flush(s, &e));
    test_clock_advance(&c, 4 * DAY);
    assert_true(store_flush(s, &e));
    assert_false(has(s, "ann", "older", -1));
    test_store_close(s);
}

static void test_bounds(void **state) {
    (void)state;
    enum { SIZE = STORE_RESPONSE_BYTES / 4 };
    err e = {0};
    char *big = malloc(SIZE), id[16];
    assert_non_null(big);
    memset(big, 'x', SIZE);
    store *s = test_store_open("bounds.db", STORE_SERVE, NULL);
    put(s, "bob", "his", "talk", -1);
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "r%d", i);
        assert_true(store_response_put(s, "ann", id, STR("body"), (str){big, SIZE}, -1, &e));
    }
    assert_true(has(s, "bob", "his", -1));
    assert_false(has(s, "ann", "r0", -1));
    assert_false(has(s, "ann", "r1", -1)); /* four of them and their bodies are too much */
    assert_true(has(s, "ann", "r4", -1));
    assert_false(store_response_put(s, "ann", "huge", STR("body"), (str){big, STORE_RESPONSE_BYTES},
                                    -1, &e));
    assert_int_equal(e.code, ERR_NO_FIT);
    test_store_close(s);
    free(big);
}

static void test_gone_with_the_key_and_from_the_file(void **state) {
    (void)state;
    err e = {0};
    char credential[STORE_SECRET_BYTES];
    store_key k = {.expires_s = 0};
    snprintf(k.name, sizeof k.name, "ann");
    store *s = test_store_open("revoked.db", STORE_SERVE, NULL);
    assert_true(store_key_create(s, &k, credential, &e));
    put(s, k.owner, "r1", "a very private word", -1);
    put(s, "local", "r2", "another private word", -1);
    assert_true(store_key_revoke(s, "ann", &k, &e));
    assert_false(has(s, k.owner, "r1", -1));
    assert_true(has(s, "local", "r2", -1));
    assert_true(store_response_drop(s, "local", "r2", &e));
    test_store_close(s);
    buf b;
    buf_init(&b, 1 << 24);
    assert_true(file_read(&b, scratch_path("revoked.db"), &e));
    assert_true(str_find(buf_str(&b), STR("private word"), 0) == (size_t)-1);
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owners_and_opening_again),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_age_by_itself),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_gone_with_the_key_and_from_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
