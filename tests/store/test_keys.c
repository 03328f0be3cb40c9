/* Keys: made, checked, rotated, revoked, expired; seen by other processes; never kept in clear. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/file.h"
#include "store/store_test.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

static store_key make(store *s, const char *name, char credential[STORE_SECRET_BYTES]) {
    err e = {0};
    store_key k = {.expires_s = 0};
    snprintf(k.name, sizeof k.name, "%s", name);
    if (!store_key_create(s, &k, credential, &e)) fail_msg("%s", e.msg);
    return k;
}

static bool good(store *s, const char *credential) {
    store_key k;
    return store_key_check(s, str_of(credential), &k);
}

static void test_made_and_checked(void **state) {
    (void)state;
    store *s = test_store_open("keys.db", STORE_SERVE, NULL);
    char anna[STORE_SECRET_BYTES], bert[STORE_SECRET_BYTES];
    assert_false(store_keys_exist(s));
    store_key k = make(s, "anna", anna), got;
    make(s, "bert", bert);
    assert_true(store_keys_exist(s));
    assert_false(store_keys_admin_exists(s));
    assert_int_equal(strlen(anna), 55);
    assert_memory_equal(anna, "hk-", 3);
    assert_memory_equal(anna + 3, k.owner, 8);
    assert_true(store_key_check(s, str_of(anna), &got));
    assert_int_equal(got.id, k.id);
    assert_string_equal(got.name, "anna");
    assert_string_equal(got.owner, k.owner);
    for (size_t i = 0; i < strlen(anna); i++) { /* every letter counts */
        char wrong[STORE_SECRET_BYTES];
        memcpy(wrong, anna, sizeof wrong);
        wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
        assert_false(good(s, wrong));
    }
    char mixed[STORE_SECRET_BYTES]; /* one's name, the other's secret */
    memcpy(mixed, anna, 12);
    memcpy(mixed + 12, bert + 12, sizeof mixed - 12);
    assert_false(good(s, mixed));
    assert_false(good(s, ""));
    assert_false(good(s, "hk-local-"));
    assert_false(store_key_check(s, (str){anna, 54}, &got));
    test_store_close(s);
}

static void test_secret_is_not_in_the_file(void **state) {
    (void)state;
    char credential[STORE_SECRET_BYTES];
    store *s = test_store_open("secret.db", STORE_EDIT, NULL);
    make(s, "anna", credential);
    test_store_close(s);
    buf b;
    buf_init(&b, 1 << 24);
    err e = {0};
    assert_true(file_read(&b, scratch_path("secret.db"), &e));
    assert_true(str_find(buf_str(&b), STR("anna"), 0) != (size_t)-1);
    assert_true(str_find(buf_str(&b), str_of(credential + 12), 0) == (size_t)-1);
    buf_deinit(&b);
    struct stat st;
    assert_int_equal(stat(scratch_path("secret.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_expiry_and_rotation(void **state) {
    (void)state;
    test_clock c = {test_unix_ms(2026, 11, 23, 12, 0), 1};
    store *s = test_store_open("expiry.db", STORE_SERVE, &c);
    err e = {0};
    char first[STORE_SECRET_BYTES], second[STORE_SECRET_BYTES], third[STORE_SECRET_BYTES];
    store_key k = {.name = "anna", .expires_s = c.unix_ms / 1000 + 3600, .admin = true}, got;
    assert_true(store_key_create(s, &k, first, &e));
    assert_true(store_keys_admin_exists(s));
    assert_true(store_key_rotate(s, "anna", 0, &got, second, &e));
    assert_int_equal(got.id, k.id);
    assert_false(good(s, first));
    assert_true(good(s, second));
    assert_true(store_key_rotate(s, k.owner, 600, &got, third, &e)); /* by its owner */
    assert_true(good(s, second));
    assert_true(good(s, third));
    test_clock_advance(&c, 600);
    assert_false(good(s, second));
    assert_true(good(s, third));
    assert_true(store_key_alive(s, k.id));
    test_clock_advance(&c, 2999);
    assert_true(good(s, third));
    test_clock_advance(&c, 1);
    assert_false(good(s, third));
    assert_false(store_key_alive(s, k.id));
    assert_false(store_keys_exist(s));
    assert_true(store_key_alive(s, STORE_LOCAL));
    test_store_close(s);
}

static void test_revoked_by_another_process(void **state) {
    (void)state;
    char credential[STORE_SECRET_BYTES], again[STORE_SECRET_BYTES];
    store *server = test_store_open("revoke.db", STORE_SERVE, NULL);
    store *command = test_store_open("revoke.db", STORE_EDIT, NULL);
    err e = {0};
    store_key k = make(command, "anna", credential), got;
    for (int i = 0; i < 2000 && !good(server, credential); i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_true(good(server, credential));
    assert_true(store_key_alive(server, k.id));
    assert_true(store_key_revoke(command, "anna", &got, &e));
    assert_int_equal(got.id, k.id);
    for (int i = 0; i < 2000 && good(server, credential); i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_false(good(server, credential));
    assert_false(store_key_alive(server, k.id));
    assert_false(store_key_revoke(command, "anna", &got, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_true(make(command, "anna", again).id > k.id); /* the name is free, the id is not */
    store_key_row *rows;
    size_t n;
    assert_true(store_key_list(command, true, &rows, &n, &e));
    assert_int_equal(n, 2);
    assert_true(rows[0].key.revoked_s > 0 && rows[1].key.revoked_s == 0);
    free(rows);
    assert_true(store_key_list(command, false, &rows, &n, &e));
    assert_int_equal(n, 1);
    free(rows);
    test_store_close(command);
    test_store_close(server);
}

static void test_names(void **state) {
    (void)state;
    store *s = test_store_open("names.db", STORE_EDIT, NULL);
    char credential[STORE_SECRET_BYTES];
    static const char *const bad[] = {"",
                                      "local",
                                      "a\nb",
                                      "a\x1b[2J",
                                      "\xff\xfe",
                                      "\x7f",
                                      "12345678901234567890123456789012345678901234567890"
                                      "123456789012345"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = {0};
        store_key k = {0};
        memcpy(k.name, bad[i], strnlen(bad[i], sizeof k.name - 1));
        if (strlen(bad[i]) >= sizeof k.name) continue; /* cannot even be said */
        assert_false(store_key_create(s, &k, credential, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
    err e = {0};
    make(s, "Zoë's laptop", credential);
    store_key k = {.name = "Zoë's laptop"};
    assert_false(store_key_create(s, &k, credential, &e)); /* taken */
    assert_int_equal(e.code, ERR_USAGE);
    assert_int_equal(credential[0], 0);
    test_store_close(s);
}

static void test_models(void **state) {
    (void)state;
    store_key k = {.models = "bard, qwen3*,*-embed ,"};
    assert_true(store_key_allows(&k, "bard"));
    assert_true(store_key_allows(&k, "qwen3-0.6b"));
    assert_true(store_key_allows(&k, "nomic-embed"));
    assert_false(store_key_allows(&k, "bard2"));
    assert_false(store_key_allows(&k, "aqwen3"));
    assert_false(store_key_allows(&k, ""));
    k.models[0] = 0;
    assert_true(store_key_allows(&k, "anything"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_and_checked),
        cmocka_unit_test(test_secret_is_not_in_the_file),
        cmocka_unit_test(test_expiry_and_rotation),
        cmocka_unit_test(test_revoked_by_another_process),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
