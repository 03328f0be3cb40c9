/* The yardsticks: every variant that runs here has loops that count what they do, and reading sees
 * every byte. */
#include "support/cmocka_all.h"

#include "kern/peak.h"

#include <stdlib.h>
#include <string.h>

static void test_every_variant(void **state) {
    (void)state;
    for (const char *const *name = kern_names(); *name; name++) {
        const kern *k = kern_named(*name);
        const kern_peak *p = kern_peak_of(k);
        assert_non_null(p->read);
        if (strcmp(*name, "ref") == 0) {
            assert_null(p->dot);
            continue;
        }
        assert_non_null(p->dot_name);
        assert_non_null(p->fma_name);
        /* Twice the rounds are twice the products, and more than one each. */
        double one = p->dot(1), few = p->dot(1000);
        assert_true(one >= 12 && few == 1000 * one);
        one = p->fma(1), few = p->fma(1000);
        assert_true(one >= 12 && few == 1000 * one);
    }
}

static void test_read_sees_every_word(void **state) {
    (void)state;
    enum { BYTES = 1024 };
    uint64_t *area = aligned_alloc(64, BYTES);
    assert_non_null(area);
    memset(area, 0, BYTES);
    for (const char *const *name = kern_names(); *name; name++) {
        const kern_peak *p = kern_peak_of(kern_named(*name));
        assert_int_equal(p->read(area, BYTES), 0);
        for (size_t i = 0; i < BYTES / 8; i++) {
            area[i] = i + 1;
            assert_int_equal(p->read(area, BYTES), i + 1);
            area[i] = 0;
        }
    }
    free(area);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_variant),
        cmocka_unit_test(test_read_sees_every_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
