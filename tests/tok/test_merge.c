/* The merge loop against the slow, obvious one: look for the pair of lowest rank from the left,
 * join it, begin again. Random rules, also such as no training makes (ranks that fall), short and
 * long words. */
#include "base/rng.h"
#include "support/cmocka_all.h"
#include "tok/merge.h"

#include <stdlib.h>
#include <string.h>

static uint64_t drawn;
static uint32_t draw(uint32_t below) {
    return (uint32_t)(rng_u64(7, 1, drawn++) % below);
}

static size_t merge_slowly(int32_t *sym, size_t n, const merge_table *t) {
    for (;;) {
        const merge_rule *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const merge_rule *r = merge_table_find(t, sym[i], sym[i + 1]);
            if (r && (!best || r->rank < best->rank)) best = r, at = i;
        }
        if (!best) return n;
        sym[at] = best->sym;
        memmove(sym + at + 1, sym + at + 2, (n - at - 2) * sizeof *sym);
        n--;
    }
}

/* Rules over n_letters letters. Trained: each makes a new symbol and ranks grow; else anything
 * goes, but a pair never becomes a symbol that is one of its own letters (words must get shorter,
 * as they do). */
static void rules_draw(merge_table *t, int n_letters, int n_rules, bool trained) {
    assert_true(merge_table_init(t, 4));
    int32_t n_symbols = n_letters;
    for (int i = 0; i < n_rules; i++) {
        int32_t left = (int32_t)draw((uint32_t)n_symbols),
                right = (int32_t)draw((uint32_t)n_symbols);
        if (merge_table_find(t, left, right)) continue;
        int32_t rank = trained ? i : (int32_t)draw((uint32_t)n_rules);
        int32_t sym = trained || draw(3) ? n_symbols++ : (int32_t)draw((uint32_t)n_symbols);
        assert_true(merge_table_put(t, left, right, rank, sym));
    }
}

static void word_check(merge_work *w, const merge_table *t, int n_letters, size_t n) {
    int32_t *slow = malloc((n + 1) * sizeof *slow);
    assert_non_null(slow);
    assert_true(merge_work_reserve(w, n));
    for (size_t i = 0; i < n; i++) w->sym[i] = slow[i] = (int32_t)draw((uint32_t)n_letters);
    w->n = n;
    assert_true(merge_run(w, t));
    size_t want = merge_slowly(slow, n, t);
    assert_int_equal(w->n, want);
    if (want) assert_memory_equal(w->sym, slow, want * sizeof *slow);
    free(slow);
}

static void test_against_slow(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 7, 31, 32, 33, 34, 63, 64, 65, 127, 300, 1000};
    for (int round = 0; round < 60; round++) {
        merge_table t;
        merge_work w = {0};
        int letters = 1 + (int)draw(6);
        rules_draw(&t, letters, 1 + (int)draw(60), round % 2);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            word_check(&w, &t, letters, sizes[i]);
        merge_work_deinit(&w);
        merge_table_deinit(&t);
    }
}

/* One letter a million times, doubling rules: the number of symbols left is the number of set bits.
 */
static void test_repeated(void **state) {
    (void)state;
    merge_table t;
    merge_work w = {0};
    assert_true(merge_table_init(&t, 0));
    for (int32_t i = 0; i < 24; i++) assert_true(merge_table_put(&t, i, i, i, i + 1));
    size_t n = 1000003;
    assert_true(merge_work_reserve(&w, n));
    memset(w.sym, 0, n * sizeof *w.sym);
    w.n = n;
    assert_true(merge_run(&w, &t));
    assert_int_equal(w.n, (size_t)__builtin_popcountll(n));
    size_t sum = 0;
    for (size_t i = 0; i < w.n; i++) sum += (size_t)1 << w.sym[i];
    assert_int_equal(sum, n);
    merge_work_deinit(&w);
    merge_table_deinit(&t);
}

static void test_table(void **state) {
    (void)state;
    merge_table t;
    assert_true(merge_table_init(&t, 0));
    for (int32_t i = 0; i < 5000; i++) assert_true(merge_table_put(&t, i - 2500, i * 7, i, i + 1));
    assert_true(merge_table_put(&t, -2500, 0, 99, 99)); /* the first stays */
    assert_int_equal(t.n, 5000);
    assert_int_equal(t.n_ranks, 5000);
    for (int32_t i = 0; i < 5000; i++) {
        const merge_rule *r = merge_table_find(&t, i - 2500, i * 7);
        assert_non_null(r);
        assert_int_equal(r->rank, i);
        assert_int_equal(r->sym, i + 1);
    }
    assert_null(merge_table_find(&t, 1, 1));
    merge_table_deinit(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_against_slow),
                                       cmocka_unit_test(test_repeated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
