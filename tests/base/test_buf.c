#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "support/cmocka_all.h"

#include <stdlib.h>

static void test_append(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1 << 20);
    assert_true(str_eq(buf_str(&b), STR("")));
    assert_true(buf_puts(&b, "x = "));
    assert_true(buf_printf(&b, "%d", -12));
    assert_true(buf_putc(&b, ';'));
    assert_true(buf_put_str(&b, (str){"\0y", 2}));
    assert_true(buf_append(&b, NULL, 0));
    assert_int_equal(b.len, 10);
    assert_memory_equal(b.data, "x = -12;\0y", 11); /* with the NUL behind it */
    buf_remove_front(&b, 4);
    assert_string_equal(b.data, "-12;");
    buf_remove_front(&b, 100);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_deinit(&b);
    assert_null(b.data);
}

/* Every maximum against every size of piece around it: full is fine, one more is not, and nothing
 * of the refused piece is kept. */
static void test_maximum(void **state) {
    (void)state;
    char piece[200];
    memset(piece, 'p', sizeof piece);
    for (size_t max = 0; max < 130; max++) {
        for (size_t n = 1; n < 140; n += 7) {
            buf b;
            buf_init(&b, max);
            size_t len = 0;
            while (len + n <= max) {
                assert_true(buf_append(&b, piece, n));
                len += n;
            }
            assert_false(b.failed);
            assert_false(buf_append(&b, piece, n));
            assert_true(b.failed);
            assert_int_equal(b.len, len);
            assert_false(buf_append(&b, piece, 0)); /* failing sticks */
            assert_false(buf_printf(&b, "%s", ""));
            assert_null(buf_reserve(&b, 1));
            if (b.data) assert_int_equal(b.data[len], 0);
            buf_clear(&b);
            assert_false(b.failed);
            assert_true(buf_append(&b, piece, max));
            assert_int_equal(b.len, max);
            buf_deinit(&b);
        }
    }
}

static void test_huge(void **state) {
    (void)state;
    buf b;
    buf_init(&b, SIZE_MAX);
    assert_true(buf_puts(&b, "abc"));
    assert_null(buf_reserve(&b, SIZE_MAX - 1)); /* no overflow of the sum */
    assert_true(b.failed);
    assert_string_equal(b.data, "abc");
    buf_deinit(&b);
}

static void test_printf_exact(void **state) {
    (void)state;
    for (int width = 0; width < 300; width++) {
        buf b;
        buf_init(&b, (size_t)width);
        assert_true(buf_printf(&b, "%*s", width, width ? "x" : ""));
        assert_int_equal(b.len, width);
        assert_false(buf_printf(&b, "y"));
        buf_deinit(&b);
    }
}

static void test_reserve(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 1000);
    char *p = buf_reserve(&b, 500);
    assert_non_null(p);
    memset(p, 'r', 500);
    buf_commit(&b, 3); /* less than reserved */
    assert_string_equal(b.data, "rrr");
    assert_non_null(buf_reserve(&b, 997));
    assert_null(buf_reserve(&b, 998));
    buf_deinit(&b);
}

static void test_take(void **state) {
    (void)state;
    buf b;
    buf_init(&b, 10);
    size_t len = 99;
    char *empty = buf_take(&b, &len);
    assert_non_null(empty);
    assert_string_equal(empty, "");
    assert_int_equal(len, 0);
    free(empty);
    buf_puts(&b, "12345");
    char *s = buf_take(&b, NULL);
    assert_string_equal(s, "12345");
    free(s);
    assert_int_equal(b.len, 0);
    assert_true(buf_puts(&b, "0123456789")); /* the maximum is still its own */
    assert_false(buf_putc(&b, 'x'));
    buf_deinit(&b);
}

static void test_arena(void **state) {
    (void)state;
    arena *a = arena_new(1 << 20);
    assert_non_null(a);
    size_t sum = 0;
    char *before = NULL;
    for (size_t n = 0; n < 700; n += 3) {
        char *p = arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, before);
        for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
        memset(p, 0xee, n); /* a sanitizer or the next zero check sees any overlap */
        before = p;
        sum += n ? (n + 15) / 16 * 16 : 16;
        assert_int_equal(arena_used(a), sum);
    }
    assert_string_equal(arena_strdup(a, (str){"abcdef", 3}), "abc");
    assert_string_equal(arena_strdup(a, (str){NULL, 0}), "");
    int *zeros = arena_calloc(a, 1000, sizeof *zeros);
    for (int i = 0; i < 1000; i++) assert_int_equal(zeros[i], 0);
    arena_free(a);
    arena_free(NULL);
}

static void test_arena_limits(void **state) {
    (void)state;
    arena *a = arena_new(100);
    assert_null(arena_alloc(a, 101));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_calloc(a, SIZE_MAX / 2, 3));
    assert_null(arena_calloc(a, (SIZE_MAX / 16) + 1, 16)); /* product is 0 after overflow */
    assert_int_equal(arena_used(a), 0);
    assert_non_null(arena_alloc(a, 96));
    assert_null(arena_alloc(a, 1)); /* 16 bytes at a time, and 4 are left */
    arena_free(a);

    a = arena_new(64 << 20); /* small ones go on in the same block around large ones */
    char *first = arena_alloc(a, 16);
    assert_non_null(arena_alloc(a, 40 << 20));
    assert_ptr_equal((char *)arena_alloc(a, 16), first + 16);
    assert_null(arena_alloc(a, 30 << 20));
    assert_non_null(arena_alloc(a, 20 << 20));
    arena_free(a);
}

static void test_checked(void **state) {
    (void)state;
    uint64_t v = 5;
    assert_true(add_u64(UINT64_MAX - 1, 1, &v) && v == UINT64_MAX);
    assert_true(mul_u64(UINT64_MAX / 3, 3, &v) && v == UINT64_MAX);
    assert_true(align_u64(0, 32, &v) && v == 0);
    assert_true(align_u64(1, 32, &v) && v == 32);
    assert_true(align_u64(32, 32, &v) && v == 32);
    assert_true(align_u64(UINT64_MAX - 31, 32, &v) && v == UINT64_MAX - 31);
    v = 5;
    assert_false(add_u64(UINT64_MAX, 1, &v));
    assert_false(mul_u64(1ull << 32, 1ull << 32, &v));
    assert_false(align_u64(UINT64_MAX - 30, 32, &v));
    assert_int_equal(v, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),  cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_huge),    cmocka_unit_test(test_printf_exact),
        cmocka_unit_test(test_reserve), cmocka_unit_test(test_take),
        cmocka_unit_test(test_arena),   cmocka_unit_test(test_arena_limits),
        cmocka_unit_test(test_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
