/* The shelf: values in use outlive being given up, are freed once, and a greedy owner pays. */
#include <stdio.h>
#include <stdlib.h>

#include "api/shelf.h"
#include "support/cmocka_all.h"

static int n_alive;

static void value_free(void *value) {
    n_alive--;
    free(value);
}

static int *value_new(int x) {
    int *v = malloc(sizeof *v);
    *v = x;
    n_alive++;
    return v;
}

static bool has(shelf *s, const char *owner, const char *key, int x) {
    shelf_item *i = shelf_take(s, owner, key);
    if (i) assert_int_equal(*(int *)shelf_value(i), x);
    shelf_back(s, i, 0);
    return i != NULL;
}

static void in_use(void **state) {
    (void)state;
    shelf *s = shelf_new(1 << 16, value_free);
    shelf_item *a = shelf_put(s, "ann", "k", value_new(1), 100);
    assert_true(has(s, "ann", "k", 1));
    assert_false(has(s, "bob", "k", 1));
    shelf_item *b = shelf_put(s, "ann", "k", value_new(2), 100); /* in its place */
    assert_true(has(s, "ann", "k", 2));
    assert_int_equal(n_alive, 2);
    assert_int_equal(*(int *)shelf_value(a), 1);
    shelf_back(s, a, 500); /* it had gone already: what it holds now counts no more */
    assert_int_equal(n_alive, 1);
    assert_true(shelf_drop(s, "ann", "k"));
    assert_false(shelf_drop(s, "ann", "k"));
    assert_int_equal(*(int *)shelf_value(b), 2);
    shelf_back(s, b, 0);
    assert_int_equal(n_alive, 0);
    shelf_item *huge = shelf_put(s, "ann", "huge", value_new(3), 1 << 20);
    assert_false(has(s, "ann", "huge", 3)); /* too large to keep, and yet usable */
    assert_int_equal(*(int *)shelf_value(huge), 3);
    shelf_back(s, huge, 0);
    assert_int_equal(n_alive, 0);
    shelf_free(s);
}

static void growth(void **state) {
    (void)state;
    shelf *s = shelf_new(10000, value_free);
    char key[16];
    for (int k = 0; k < 4; k++) {
        snprintf(key, sizeof key, "k%d", k);
        shelf_back(s, shelf_put(s, k ? "ann" : "bob", key, value_new(k), 1500), 0);
    }
    assert_int_equal(n_alive, 4);
    shelf_item *i = shelf_take(s, "ann", "k3");
    shelf_back(s, i, 7000);              /* it has learnt */
    assert_true(has(s, "bob", "k0", 0)); /* hers gave way */
    assert_false(has(s, "ann", "k1", 1));
    assert_true(has(s, "ann", "k3", 3));
    shelf_back(s, shelf_take(s, "ann", "k3"), 20000); /* more than all */
    assert_false(has(s, "ann", "k3", 3));
    shelf_free(s);
    assert_int_equal(n_alive, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_use),
        cmocka_unit_test(growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
