/* Stop strings cut at every place, however the text falls into tokens. */
#include "support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/rng.h"
#include "engine/text.h"
#include "gguf/gguf.h"
#include "quant/quant.h"
#include "support/tiny.h"

static gguf *file;
static buf bytes;
static tok *vocab; /* tokens 0 .. 255 are bytes, some more are pairs */

static int open_vocab(void **state) {
    (void)state;
    err e = {0};
    buf_init(&bytes, 64u << 20);
    if (!tiny_model_build("llama", QUANT_F32, &bytes, &e)) return -1;
    file = gguf_open_memory(bytes.data, bytes.len, "llama", &e);
    vocab = file ? tok_open(file, &e) : NULL;
    return vocab ? 0 : -1;
}

static int close_vocab(void **state) {
    (void)state;
    tok_close(vocab);
    gguf_close(file);
    buf_deinit(&bytes);
    return 0;
}

/* The id of the token that is exactly this one byte. */
static int32_t byte_id(char c) {
    for (int32_t id = 0; id < tok_n_vocab(vocab); id++) {
        str s = tok_piece(vocab, id, false);
        if (s.n == 1 && s.p[0] == c) return id;
    }
    fail_msg("no token for byte %d", c);
    return -1;
}

typedef struct said {
    char text[512];
    size_t n;
    bool stopped;
    size_t read; /* bytes fed when it stopped */
} said;

/* Feeds a text byte by byte, and checks that nothing is shown that is not whole. */
static said say(const char *s, size_t n, const char *const *stop) {
    text_out x;
    err e = {0};
    said out = {0};
    if (!text_stops_check(stop, &e) || !text_init(&x, vocab, false, stop, &e))
        fail_msg("%s", e.msg);
    for (; out.read < n && !x.stopped; out.read++) {
        assert_true(text_push(&x, byte_id(s[out.read])));
        for (size_t at = 0; at < x.out.len;) {
            int len = utf8_len(x.out.data + at, x.out.len - at);
            assert_true(len > 0);
            at += (size_t)len;
        }
        if (x.out.len) memcpy(out.text + out.n, x.out.data, x.out.len);
        out.n += x.out.len;
        /* what is shown never ends in a piece of a stop string that may still come */
        for (size_t i = 0; stop && stop[i] && !x.stopped; i++)
            for (size_t k = 1; k < strlen(stop[i]) && k <= out.n; k++)
                assert_false(memcmp(out.text + out.n - k, stop[i], k) == 0 &&
                             out.n == out.read + 1);
    }
    out.stopped = x.stopped;
    buf_clear(&x.out);
    assert_true(text_flush(&x, true));
    if (x.out.len) memcpy(out.text + out.n, x.out.data, x.out.len);
    out.n += x.out.len;
    text_deinit(&x);
    return out;
}

/* The obvious answer: the stop string that is complete first; of those complete at once, the
 * longest. */
static size_t cut_of(const char *s, size_t n, const char *const *stop, size_t *read) {
    for (size_t end = 1; end <= n; end++) {
        size_t cut = n + 1;
        for (size_t i = 0; stop[i]; i++) {
            size_t len = strlen(stop[i]);
            if (len <= end && memcmp(s + end - len, stop[i], len) == 0 && end - len < cut)
                cut = end - len;
        }
        if (cut <= n) {
            *read = end;
            return cut;
        }
    }
    *read = n;
    return n;
}

static void compare(const char *s, size_t n, const char *const *stop) {
    size_t read, cut = cut_of(s, n, stop, &read);
    said out = say(s, n, stop);
    assert_int_equal(out.n, cut);
    assert_memory_equal(out.text, s, cut);
    assert_int_equal(out.stopped, cut < n);
    assert_int_equal(out.read, read);
}

static void stops_at_every_split(void **state) {
    (void)state;
    static const char s[] = "a\xC3\xA9 aab\xE2\x82\xAC"
                            "aabaabaac \xF0\x9F\x94\xA5 end\n\nUser: x";
    size_t n = sizeof s - 1;
    for (size_t i = 0; i < n; i++)
        for (size_t len = 1; i + len <= n; len++) {
            char one[64] = {0};
            memcpy(one, s + i, len);
            const char *const stop[] = {one, "\n\nUser:", NULL};
            err e = {0};
            if (text_stops_check(stop, &e)) compare(s, n, stop);
        }
}

static void stops_of_two_letters(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        char s[24], a[6] = {0}, b[6] = {0};
        for (uint64_t i = 0; i < sizeof s; i++) s[i] = rng_u64(seed, 0, i) & 1 ? 'b' : 'a';
        for (uint64_t i = 0; i < 1 + rng_u64(seed, 1, 0) % 5; i++)
            a[i] = rng_u64(seed, 2, i) & 1 ? 'b' : 'a';
        for (uint64_t i = 0; i < 1 + rng_u64(seed, 3, 0) % 5; i++)
            b[i] = rng_u64(seed, 4, i) & 1 ? 'b' : 'a';
        const char *const stop[] = {a, b, NULL};
        compare(s, sizeof s, stop);
    }
}

static void without_stops_nothing_waits(void **state) {
    (void)state;
    text_out x;
    err e = {0};
    assert_true(text_init(&x, vocab, false, NULL, &e));
    assert_true(text_push(&x, byte_id('a')));
    assert_int_equal(x.out.len, 1);
    assert_true(text_push(&x, byte_id('\xE2'))); /* of three bytes two come */
    assert_int_equal(x.out.len, 0);
    assert_true(text_push(&x, byte_id('\x82')));
    assert_int_equal(x.out.len, 0);
    assert_true(text_flush(&x, false));
    assert_int_equal(x.out.len, 0);
    assert_true(text_flush(&x, true));
    assert_true(x.out.len > 0 && x.out.len % 3 == 0);
    assert_memory_equal(x.out.data, "\xEF\xBF\xBD", 3);
    text_deinit(&x);
}

static void bad_stops_are_refused(void **state) {
    (void)state;
    char *large = calloc(1, LIMIT_STOP_BYTES + 2);
    memset(large, 'x', LIMIT_STOP_BYTES + 1);
    const char *const empty[] = {"ok", "", NULL}, *const half[] = {"\xC3", NULL},
                      *const wide[] = {large, NULL};
    const char *many[LIMIT_STOP_STRINGS + 2] = {0};
    err e = {0};
    for (int i = 0; i <= LIMIT_STOP_STRINGS; i++) many[i] = "x";
    assert_false(text_stops_check(empty, &e));
    assert_non_null(strstr(e.msg, "stop string 2"));
    assert_false(text_stops_check(half, &e));
    assert_non_null(strstr(e.msg, "UTF-8"));
    assert_false(text_stops_check(wide, &e));
    assert_false(text_stops_check(many, &e));
    assert_int_equal(e.code, ERR_USAGE);
    large[LIMIT_STOP_BYTES] = 0;
    many[LIMIT_STOP_STRINGS] = NULL;
    assert_true(text_stops_check(wide, &e));
    assert_true(text_stops_check(many, &e));
    assert_true(text_stops_check(NULL, &e));
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_at_every_split),
        cmocka_unit_test(stops_of_two_letters),
        cmocka_unit_test(without_stops_nothing_waits),
        cmocka_unit_test(bad_stops_are_refused),
    };
    return cmocka_run_group_tests(tests, open_vocab, close_vocab);
}
