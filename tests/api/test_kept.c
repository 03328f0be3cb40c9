/* Kept answers: found by their owner alone, bounded, and the greedy give way first. */
#include <stdio.h>
#include <stdlib.h>

#include "api/kept.h"
#include "support/cmocka_all.h"

static bool has(kept *k, const char *owner, const char *id) {
    kept_copy c;
    bool found = kept_get(k, owner, id, &c);
    if (found) assert_string_equal(c.talk, "talk");
    kept_copy_deinit(&c);
    return found;
}

static void owners(void **state) {
    (void)state;
    kept *k = kept_new(1 << 20, NULL, 0);
    assert_true(kept_put(k, "ann", "r1", STR("body"), STR("talk")));
    assert_true(has(k, "ann", "r1"));
    assert_false(has(k, "bob", "r1"));
    err e = {0};
    assert_false(kept_drop(k, "bob", "r1", &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_true(kept_drop(k, "ann", "r1", &e));
    assert_false(has(k, "ann", "r1"));
    kept_free(k);
}

static void bounds(void **state) {
    (void)state;
    enum { MAX = 100000, SIZE = 9000 };
    char *big = calloc(1, MAX), id[16];
    kept *k = kept_new(MAX, NULL, 0);
    assert_false(kept_put(k, "ann", "huge", (str){big, MAX}, STR("talk")));
    assert_true(kept_put(k, "bob", "his", (str){big, SIZE}, STR("talk")));
    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "r%d", i);
        assert_true(kept_put(k, "ann", id, (str){big, SIZE}, STR("talk")));
    }
    assert_true(has(k, "bob", "his")); /* hers went instead */
    assert_false(has(k, "ann", "r0"));
    assert_true(has(k, "ann", "r49"));
    kept_free(k);
    free(big);
}

static void use_renews(void **state) {
    (void)state;
    enum { MAX = 40000, SIZE = 9000 };
    char *big = calloc(1, MAX);
    kept *k = kept_new(MAX, NULL, 0);
    assert_true(kept_put(k, "ann", "a", (str){big, SIZE}, STR("talk")));
    assert_true(kept_put(k, "ann", "b", (str){big, SIZE}, STR("talk")));
    assert_true(kept_put(k, "ann", "c", (str){big, SIZE}, STR("talk")));
    assert_true(kept_put(k, "ann", "d", (str){big, SIZE}, STR("talk")));
    assert_true(has(k, "ann", "a"));
    assert_true(kept_put(k, "ann", "e", (str){big, SIZE}, STR("talk")));
    assert_true(has(k, "ann", "a"));
    assert_false(has(k, "ann", "b"));
    kept_free(k);
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners),
        cmocka_unit_test(bounds),
        cmocka_unit_test(use_renews),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
