/* Pages, sequences and the prefix tree without a model: every position of a page is stamped with
 * what the model would have computed there, a hash of all tokens so far, and every position that
 * a sequence sees is read back. After each operation everything is recounted. */
#include "support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/kv.h"

enum { PAGE_BYTES = 1024, PAGE_STRIDE = 4096, MAX_POS = 1024, CHUNK = 100 };

static kv_options options(int n_groups, int32_t window, int n_pages, bool no_reuse) {
    kv_options o = {.n_groups = n_groups, .no_reuse = no_reuse};
    o.budget_bytes = (uint64_t)n_pages * PAGE_STRIDE;
    for (int g = 0; g < n_groups; g++) o.page_bytes[g] = PAGE_BYTES;
    if (n_groups > 1) o.window[1] = window;
    return o;
}

static void check(const kv *k) {
    err e = {0};
    if (!kv_check(k, &e)) fail_msg("%s", e.msg);
}

static uint64_t stamp_of(const int32_t *tokens, int32_t pos, int g) {
    uint64_t h = 0xcbf29ce484222325u + (uint64_t)g;
    for (int32_t i = 0; i <= pos; i++) h = (h ^ (uint64_t)tokens[i]) * 0x100000001b3u;
    return h;
}

static void compute(kv *k, kv_seq *s, const int32_t *tokens, int32_t n, int n_groups) {
    for (int g = 0; g < n_groups; g++)
        for (int32_t pos = kv_seq_filled(s); pos < n; pos++)
            ((uint64_t *)kv_seq_pages(s, g)[pos / KV_PAGE])[pos % KV_PAGE] = stamp_of(tokens, pos,
                                                                                      g);
    kv_seq_commit(k, s, tokens, n);
}

/* What the row at position `pos` sees. */
static void see(const kv_options *o, const kv_seq *s, const int32_t *tokens, int32_t pos) {
    for (int g = 0; g < o->n_groups; g++) {
        int32_t first = o->window[g] && pos >= o->window[g] ? pos - o->window[g] + 1 : 0;
        for (int32_t p = first; p < kv_seq_filled(s); p++) {
            const uint64_t *page = kv_seq_pages(s, g)[p / KV_PAGE];
            if (!page || page[p % KV_PAGE] != stamp_of(tokens, p, g))
                fail_msg("group %d: a row at %d does not see position %d", g, pos, p);
        }
    }
}

static void run_to(kv *k, const kv_options *o, kv_seq *s, const int32_t *tokens, int32_t n) {
    while (kv_seq_filled(s) < n) {
        int32_t to = kv_seq_filled(s) + CHUNK < n ? kv_seq_filled(s) + CHUNK : n;
        assert_true(kv_seq_extend(k, s, to));
        see(o, s, tokens, kv_seq_filled(s));
        compute(k, s, tokens, to, o->n_groups);
        check(k);
    }
}

static void tokens_of(int32_t *t, int32_t n, uint64_t seed) {
    for (int32_t i = 0; i < n; i++) t[i] = (int32_t)(rng_u64(seed, 0, (uint64_t)i) % 1000);
}

static void prefixes_are_found_to_the_token(void **state) {
    (void)state;
    kv_options o = options(2, 0, 64, false);
    err e = {0};
    kv *k = kv_new(&o, &e);
    int32_t a[400], b[400];
    tokens_of(a, 400, 1);
    kv_seq *s = kv_seq_new(k, "alice");
    assert_int_equal(kv_seq_reuse(k, s, a, 299), 0);
    run_to(k, &o, s, a, 300);
    kv_seq_free(k, s, a);
    check(k);
    for (int32_t same = 0; same <= 300; same += 13) {
        tokens_of(b, 400, 2);
        memcpy(b, a, (size_t)same * sizeof *a);
        b[same] = a[same] + 1;
        s = kv_seq_new(k, "alice");
        assert_int_equal(kv_seq_reuse(k, s, b, 350), same);
        check(k);
        see(&o, s, b, same);
        compute(k, s, b, same, 2);
        kv_seq_free(k, s, b);
        s = kv_seq_new(k, "bob");
        assert_int_equal(kv_seq_reuse(k, s, a, 299), 0);
        kv_seq_free(k, s, a);
        check(k);
    }
    s = kv_seq_new(k, "alice"); /* never more than was asked for */
    assert_int_equal(kv_seq_reuse(k, s, a, 128), 128);
    kv_seq_free(k, s, a);
    s = kv_seq_new(k, "alice");
    assert_int_equal(kv_seq_reuse(k, s, a, 127), 127);
    run_to(k, &o, s, a, 300);
    kv_seq_free(k, s, a);
    check(k);
    kv_free(k);
}

static void pages_are_shared_while_running(void **state) {
    (void)state;
    kv_options o = options(1, 0, 20, false);
    err e = {0};
    kv *k = kv_new(&o, &e);
    int32_t a[600];
    tokens_of(a, 600, 1);
    kv_seq *x = kv_seq_new(k, ""), *y = kv_seq_new(k, ""), *z = kv_seq_new(k, "");
    run_to(k, &o, x, a, 200);
    assert_int_equal(kv_seq_reuse(k, y, a, 599), 192); /* of the rest nothing is decided yet */
    assert_true(kv_seq_same_until(x, y, 192));
    run_to(k, &o, z, a, 200); /* computed what was there: takes the other's pages */
    assert_ptr_equal(kv_seq_pages(x, 0)[0], kv_seq_pages(z, 0)[0]);
    assert_ptr_not_equal(kv_seq_pages(x, 0)[3], kv_seq_pages(z, 0)[3]);
    run_to(k, &o, x, a, 400);
    assert_int_equal(kv_seq_reuse(k, y, a, 599), 384); /* joins what was computed meanwhile */
    kv_stats st;
    kv_stats_get(k, &st);
    assert_int_equal(st.used_bytes, (6 + 1 + 1) * PAGE_STRIDE);
    run_to(k, &o, y, a, 600);
    kv_seq_free(k, x, a);
    kv_seq_free(k, y, a);
    kv_seq_free(k, z, a);
    check(k);
    kv_free(k);
}

static void the_oldest_leaf_goes_first(void **state) {
    (void)state;
    kv_options o = options(1, 0, 8, false);
    err e = {0};
    kv *k = kv_new(&o, &e);
    int32_t t[4][128];
    for (uint64_t i = 0; i < 4; i++) {
        tokens_of(t[i], 128, i);
        kv_seq *s = kv_seq_new(k, "");
        run_to(k, &o, s, t[i], 128);
        kv_seq_free(k, s, t[i]);
    }
    kv_seq *s = kv_seq_new(k, ""); /* the first is used again: the second is the oldest now */
    assert_int_equal(kv_seq_reuse(k, s, t[0], 128), 128);
    kv_seq_free(k, s, t[0]);
    int32_t other[128];
    tokens_of(other, 128, 99);
    s = kv_seq_new(k, "");
    run_to(k, &o, s, other, 64);
    static const int32_t left[4] = {128, 64, 128, 128};
    for (int i = 0; i < 4; i++) {
        kv_seq *q = kv_seq_new(k, "");
        assert_int_equal(kv_seq_reuse(k, q, t[i], 128), left[i]);
        kv_seq_free(k, q, t[i]);
    }
    kv_seq *all = kv_seq_new(k, ""); /* what is held does not go */
    assert_false(kv_seq_extend(k, all, 512));
    assert_int_equal(kv_seq_filled(s), 64);
    see(&o, s, other, 64);
    kv_seq_drop(k, s);
    assert_true(kv_seq_extend(k, all, 512));
    kv_seq_free(k, s, other);
    kv_seq_free(k, all, other);
    check(k);
    kv_free(k);
}

/* A window of 100: far down a sequence its group needs 4 pages at a time, however long it is. */
static void windows_free_what_is_out_of_sight(void **state) {
    (void)state;
    for (int no_reuse = 0; no_reuse < 2; no_reuse++) {
        kv_options o = options(2, 100, 0, no_reuse);
        o.budget_bytes = kv_need_bytes(&o, MAX_POS, CHUNK);
        assert_int_equal(o.budget_bytes, (16 + 5) * PAGE_STRIDE);
        err e = {0};
        kv *k = kv_new(&o, &e);
        static int32_t a[MAX_POS];
        tokens_of(a, MAX_POS, 1);
        kv_seq *s = kv_seq_new(k, "");
        run_to(k, &o, s, a, MAX_POS);
        kv_stats st;
        kv_stats_get(k, &st);
        assert_true(st.n_stripped > 0);
        kv_seq_free(k, s, a);
        if (!no_reuse) { /* the end is whole; the middle has lost what a row there would see */
            s = kv_seq_new(k, "");
            assert_int_equal(kv_seq_reuse(k, s, a, MAX_POS), MAX_POS);
            see(&o, s, a, MAX_POS);
            kv_seq_free(k, s, a);
            s = kv_seq_new(k, "");
            int32_t got = kv_seq_reuse(k, s, a, 500);
            assert_true(got < 500);
            see(&o, s, a, got);
            run_to(k, &o, s, a, 700);
            kv_seq_free(k, s, a);
        }
        check(k);
        kv_free(k);
    }
}

/* Sequences over few different prompts come, grow, are dropped and leave, in too little memory. */
static void anything_in_any_order(void **state) {
    (void)state;
    enum { SEQS = 5, TREE = 12 };
    static int32_t t[SEQS][MAX_POS];
    for (int round = 0; round < 12; round++) {
        kv_options o = options(1 + round % 3, 70 + 40 * (round % 4), 24 + 4 * round, round == 7);
        if (o.n_groups == 3) o.page_bytes[2] = 3 * PAGE_BYTES + 2048; /* two system pages */
        err e = {0};
        kv *k = kv_new(&o, &e);
        kv_seq *s[SEQS] = {0};
        uint64_t seed = (uint64_t)round, n = 0, reused = 0;
        for (int step = 0; step < 1500; step++) {
            uint64_t r = rng_u64(seed, 1, n++);
            int i = (int)(r % SEQS);
            r /= SEQS;
            if (!s[i]) { /* a path through a tree of 3 ways, which turns at every 50th token */
                s[i] = kv_seq_new(k, r % 4 ? "a" : "b");
                uint64_t path = 0;
                for (int32_t p = 0; p < MAX_POS; p++) {
                    if (p % 50 == 0) path = path * 3 + rng_u64(seed, 2, n++) % 3;
                    t[i][p] = (int32_t)((path * 1000 + (uint64_t)p) % 100000);
                }
                int32_t got = kv_seq_reuse(k, s[i], t[i], MAX_POS - 1);
                reused += (uint64_t)got;
                see(&o, s[i], t[i], got);
            } else if (r % 16 == 0) {
                kv_seq_free(k, s[i], t[i]);
                s[i] = NULL;
            } else if (r % 16 == 1) {
                kv_seq_drop(k, s[i]);
            } else {
                int32_t to = kv_seq_filled(s[i]) + 1 + (int32_t)(r % CHUNK);
                if (r % 16 == 2) kv_seq_reuse(k, s[i], t[i], MAX_POS - 1);
                see(&o, s[i], t[i], kv_seq_filled(s[i]));
                if (to < kv_seq_filled(s[i])) to = kv_seq_filled(s[i]);
                if (to <= MAX_POS && kv_seq_extend(k, s[i], to))
                    compute(k, s[i], t[i], to, o.n_groups);
            }
            check(k);
        }
        assert_true((reused > 0) == !o.no_reuse);
        for (int i = 0; i < SEQS; i++) kv_seq_free(k, s[i], t[i]);
        check(k);
        kv_stats st;
        kv_stats_get(k, &st);
        assert_int_equal(st.used_bytes, st.idle_bytes);
        assert_int_equal(st.n_seqs, 0);
        kv_free(k);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_found_to_the_token),
        cmocka_unit_test(pages_are_shared_while_running),
        cmocka_unit_test(the_oldest_leaf_goes_first),
        cmocka_unit_test(windows_free_what_is_out_of_sight),
        cmocka_unit_test(anything_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
