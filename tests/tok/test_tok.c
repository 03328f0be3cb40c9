/* Special tokens, flags, decoding, streaming, long texts: on small vocabularies made here. */
#include "base/rng.h"
#include "fuzz/tiny_vocab.h"
#include "support/cmocka_all.h"
#include "vocab_files.h"

#include <stdlib.h>

static tok *open_tiny(tiny_vocab *v) {
    err e = {0};
    gguf *g = tiny_end(v, &e);
    if (!g) fail_msg("%s", e.msg);
    tok *t = tok_open(g, &e);
    if (!t) fail_msg("%s", e.msg);
    gguf_close(g);
    tiny_free(v); /* a tok keeps nothing of the file */
    return t;
}

static tok *open_bpe(const char *pre) {
    tiny_vocab v;
    tiny_make_bpe(&v, pre);
    return open_tiny(&v);
}

static tok *open_pieces(const char *model, bool bytes) {
    tiny_vocab v;
    tiny_make_pieces(&v, model, bytes);
    return open_tiny(&v);
}

/* The tokens of a text, "|" between them. */
static void assert_tokens(const tok *t, const char *text, unsigned flags, const char *want) {
    tok_ids ids = ids_of(t, str_of(text), flags);
    buf got;
    buf_init(&got, 1 << 16);
    for (size_t i = 0; i < ids.n; i++) {
        if (i) buf_putc(&got, '|');
        buf_put_str(&got, tok_text(t, ids.id[i]));
    }
    buf_putc(&got, 0);
    assert_string_equal(got.data, want);
    buf_deinit(&got);
    tok_ids_deinit(&ids);
}

static void test_special(void **state) {
    (void)state;
    tok *t = open_bpe("gpt-2");
    assert_tokens(t, "the<|end|>", TOK_SPECIAL, "the|<|end|>");
    assert_tokens(t, "the<|end|>", 0, "the|<|\x7c|e|n|d|\x7c|>");
    assert_tokens(t, "<tool>the<tool", 0, "<tool>|the|<|t|o|o|l"); /* the user's tokens always */
    assert_tokens(t, "<|end|><|end|>", TOK_SPECIAL, "<|end|>|<|end|>");
    assert_tokens(t, "<<|end|>|", TOK_SPECIAL, "<|<|end|>||");
    assert_tokens(t, "", TOK_SPECIAL | TOK_BOS, "");
    assert_true(tok_is_end(t, 256));
    assert_false(tok_is_end(t, 257));
    assert_int_equal(tok_find(t, STR("<tool>")), 257);
    assert_int_equal(tok_find(t, STR("<tool")), -1);
    assert_int_equal(tok_attr_of(t, 257), TOK_USER_DEFINED);
    size_t n;
    const int32_t *ends = tok_ends(t, &n);
    assert_int_equal(n, 1);
    assert_int_equal(ends[0], 256);
    assert_int_equal(tok_bos(t), -1);
    assert_false(tok_adds_bos(t));
    tok_close(t);
}

/* The longest of several special tokens that begin alike. */
static void test_longest_special(void **state) {
    (void)state;
    tiny_tokens k = {.n = 0};
    tiny_vocab v;
    tiny_add_alphabet(&k);
    tiny_add(&k, "<a>", TOK_USER_DEFINED);
    tiny_add(&k, "<a><b>", TOK_CONTROL);
    tiny_add(&k, "<a><b><c", TOK_CONTROL);
    tiny_begin(&v);
    tiny_str(&v, "tokenizer.ggml.model", "gpt2");
    tiny_str(&v, "tokenizer.ggml.pre", "gpt-2");
    tiny_put_tokens(&v, &k);
    tiny_strs(&v, "tokenizer.ggml.merges", NULL, 0);
    tok *t = open_tiny(&v);
    assert_tokens(t, "<a><b><c>", TOK_SPECIAL, "<a><b><c|>");
    assert_tokens(t, "<a><b><d>", TOK_SPECIAL, "<a><b>|<|d|>");
    assert_tokens(t, "<a><b><c>", 0, "<a>|<|b|>|<|c|>");
    tok_close(t);
}

static void test_flags(void **state) {
    (void)state;
    tok *t = open_pieces("llama", true);
    assert_tokens(t, "the", 0, TINY_MARK "the");
    assert_tokens(t, "the", TOK_NO_PREFIX, "the");
    assert_tokens(t, "the", TOK_BOS, "<s>|" TINY_MARK "the");
    assert_tokens(t, "the</s>the", TOK_SPECIAL, TINY_MARK "the|</s>|" TINY_MARK "the");
    assert_tokens(t, " the", 0, TINY_MARK "|" TINY_MARK "the");
    assert_tokens(t, "<s>", 0, TINY_MARK "|<0x3C>|<0x73>|<0x3E>"); /* never by merging */
    assert_tokens(t, "z\xff\xc3\xa9", 0, TINY_MARK "|<0x7A>|<0xFF>|<0xC3>|<0xA9>");
    tok_close(t);
    t = open_pieces("llama", false);
    assert_tokens(t, "azzza", TOK_NO_PREFIX, "a|<unk>|a"); /* one unknown for the run */
    tok_close(t);
    t = open_pieces("gemma4", true);
    assert_tokens(t, "the the\n\n\xff", TOK_BOS, "<s>|the|" TINY_MARK "the|\n\n|<0xFF>");
    tok_close(t);
    t = open_pieces("t5", false);
    assert_tokens(t, "thezz", TOK_BOS, "the|<unk>|</s>");
    tok_close(t);
}

static void test_bert(void **state) {
    (void)state;
    tiny_vocab v;
    tiny_make_bert(&v);
    tok *t = open_tiny(&v);
    assert_tokens(t, "There, \xc3\xa9! \xe4\xb8\x96the", 0,
                  TINY_MARK "there|[UNK]|" TINY_MARK "e|" TINY_MARK "!|" TINY_MARK
                            "\xe4\xb8\x96|" TINY_MARK "the");
    assert_tokens(t, "the", TOK_BOS, "[CLS]|" TINY_MARK "the|[SEP]");
    assert_tokens(t, "[SEP] there", TOK_SPECIAL, "[SEP]|" TINY_MARK "there");
    char word[102];
    memset(word, 'a', sizeof word);
    word[100] = 0;
    tok_ids ids = ids_of(t, str_of(word), 0);
    assert_int_equal(ids.n, 100);
    tok_ids_deinit(&ids);
    word[100] = 'a', word[101] = 0; /* one more character than a word may have */
    assert_tokens(t, word, 0, "[UNK]");
    err e = {0};
    buf out;
    buf_init(&out, 100);
    ids = ids_of(t, STR("the e!"), 0);
    assert_true(tok_decode(t, ids.id, ids.n, false, &out, &e));
    assert_string_equal(out.data, "the e!");
    buf_deinit(&out);
    tok_ids_deinit(&ids);
    tok_close(t);
}

/* White space beside the special tokens of some families, known by the model's name. */
static void test_strip(void **state) {
    (void)state;
    tiny_vocab v;
    tiny_make_pieces(&v, "llama", true);
    tiny_str(&v, "general.name", "My-Phi-3-mini");
    tok *t = open_tiny(&v);
    assert_tokens(t, "a</s> \n a<s> a", TOK_SPECIAL,
                  TINY_MARK "|a|</s>|" TINY_MARK "|a|<s>|" TINY_MARK TINY_MARK "|a");
    assert_int_equal(tok_strips(t, 2), TOK_STRIP_RIGHT);
    assert_int_equal(tok_strips(t, 1), 0);
    assert_int_equal(tok_strips(t, -1), 0);
    tok_close(t);
}

static void fill_random(char *text, size_t n, uint64_t seed) {
    for (size_t i = 0; i < n;) { /* characters of all lengths, letters, and bytes of every kind */
        uint64_t r = rng_u64(seed, 2, i);
        uint32_t cp = r % 8 == 0  ? (uint32_t)(r >> 8) % 0x110000
                      : r % 8 < 3 ? (uint32_t)(r >> 8) % 0x800
                                  : 'a' + (uint32_t)(r >> 8) % 8;
        char c[4];
        int len = r % 8 == 7 ? 1 : utf8_encode(cp, c);
        if (r % 8 == 7) c[0] = (char)(r >> 8);
        for (int k = 0; k < len && i < n; k++) text[i++] = c[k];
    }
}

/* Any bytes come back from a byte-level vocabulary, whatever the pre-tokenizer. */
static void test_round_trip(void **state) {
    (void)state;
    static const char *const pres[] = {"gpt-2",  "llama-bpe",    "qwen35",      "gpt-4o",
                                       "tekken", "deepseek-llm", "deepseek-v3", "falcon",
                                       "smollm", "default"};
    char text[2000];
    for (size_t p = 0; p < sizeof pres / sizeof *pres; p++) {
        tok *t = open_bpe(pres[p]);
        for (uint64_t seed = 0; seed < 20; seed++) {
            size_t n = 1 + (size_t)(seed * 97 % sizeof text);
            fill_random(text, n, seed);
            tok_ids ids = ids_of(t, (str){text, n}, TOK_SPECIAL);
            err e = {0};
            buf out;
            buf_init(&out, 1 << 20);
            assert_true(tok_decode(t, ids.id, ids.n, true, &out, &e));
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, text, n);
            buf_deinit(&out);
            tok_ids_deinit(&ids);
        }
        tok_close(t);
    }
}

/* What the stream must say: the text with U+FFFD for every maximal part of a broken character. */
static void replace_broken(str s, buf *out) {
    for (size_t i = 0; i < s.n;) {
        int len = utf8_len(s.p + i, s.n - i);
        if (len > 0) {
            buf_append(out, s.p + i, (size_t)len);
            i += (size_t)len;
            continue;
        }
        size_t k = 1;
        while (i + k < s.n && utf8_len(s.p + i, k) < 0 && utf8_len(s.p + i, k + 1) < 0) k++;
        buf_puts(out, "\xef\xbf\xbd");
        i += k;
    }
}

static void test_stream(void **state) {
    (void)state;
    char text[1000];
    tok *t = open_bpe("gpt-2");
    for (uint64_t seed = 0; seed < 60; seed++) {
        fill_random(text, sizeof text, seed);
        tok_ids ids = ids_of(t, (str){text, sizeof text}, 0);
        buf got, want, piece;
        buf_init(&got, 1 << 20);
        buf_init(&want, 1 << 20);
        buf_init(&piece, 1 << 10);
        replace_broken((str){text, sizeof text}, &want);
        tok_stream s;
        tok_stream_init(&s, t, false, true);
        for (size_t i = 0; i <= ids.n; i++) {
            buf_clear(&piece);
            assert_true(i < ids.n ? tok_stream_push(&s, ids.id[i], &piece)
                                  : tok_stream_end(&s, &piece));
            for (size_t k = 0; k < piece.len;) { /* no half characters, at no moment */
                int len = utf8_len(piece.data + k, piece.len - k);
                assert_true(len > 0);
                k += (size_t)len;
            }
            buf_put_str(&got, buf_str(&piece));
        }
        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.data, want.data, got.len);
        buf_deinit(&got);
        buf_deinit(&want);
        buf_deinit(&piece);
        tok_ids_deinit(&ids);
    }
    tok_close(t);
}

static void test_stream_space(void **state) {
    (void)state;
    tok *t = open_pieces("llama", true);
    int32_t the = tok_find(t, STR(TINY_MARK "the"));
    buf out;
    tok_stream s;
    buf_init(&out, 100);
    tok_stream_init(&s, t, false,
                    true); /* a text of its own: the space in front is not part of it */
    tok_stream_push(&s, 1, &out);
    tok_stream_push(&s, the, &out);
    tok_stream_push(&s, the, &out);
    assert_string_equal(out.data, "the the");
    buf_clear(&out);
    tok_stream_init(&s, t, false, false); /* the continuation of another */
    tok_stream_push(&s, the, &out);
    assert_string_equal(out.data, " the");
    buf_deinit(&out);
    buf_init(&out, 2); /* too small: said, not cut */
    tok_stream_init(&s, t, true, true);
    assert_false(tok_stream_push(&s, the, &out));
    buf_deinit(&out);
    assert_true(str_eq(tok_piece(t, the, false), STR(" the")));
    assert_true(str_eq(tok_piece(t, 1, false), STR("")));
    assert_true(str_eq(tok_piece(t, 1, true), STR("<s>")));
    assert_true(str_eq(tok_piece(t, tok_find(t, STR("<0xC3>")), false), STR("\xc3")));
    tok_close(t);
}

static void test_decode_errors(void **state) {
    (void)state;
    tok *t = open_bpe("gpt-2");
    int32_t bad[] = {-1, tok_n_vocab(t), INT32_MIN, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        err e = {0};
        buf out;
        buf_init(&out, 100);
        assert_false(tok_decode(t, &bad[i], 1, true, &out, &e));
        assert_int_equal(e.code, ERR_USAGE);
        assert_int_equal(tok_piece(t, bad[i], true).n, 0);
        assert_int_equal(tok_text(t, bad[i]).n, 0);
        assert_false(tok_is_end(t, bad[i]));
        buf_deinit(&out);
    }
    tok_close(t);
}

/* A megabyte of one unit through every kind: right at the ends, and the whole comes back. Quadratic
 * time would be noticed by the test's time limit. */
static void test_long(void **state) {
    (void)state;
    static const char *const units[] = {"a", " ", "\n", "\xe4\xb8\x96", "\xff", "1"};
    size_t n = 1 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    for (int kind = 0; kind < 5; kind++) {
        tok *t = kind == 0   ? open_bpe("llama-bpe")
                 : kind == 1 ? open_bpe("deepseek-llm")
                             : open_pieces(kind == 2   ? "llama"
                                           : kind == 3 ? "gemma4"
                                                       : "t5",
                                           true);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t len = strlen(units[u]), whole = n / len * len;
            for (size_t i = 0; i < whole; i++) text[i] = units[u][i % len];
            tok_ids ids = ids_of(t, (str){text, whole}, TOK_NO_PREFIX);
            err e = {0};
            buf out;
            buf_init(&out, 4u << 20);
            assert_true(tok_decode(t, ids.id, ids.n, true, &out, &e));
            bool first_space = kind == 2 && *units[u] == ' '; /* stands for the one never added */
            assert_int_equal(out.len, whole - first_space);
            assert_memory_equal(out.data, text, out.len);
            if (*units[u] == 'a') assert_int_equal(ids.n, whole / 4);
            buf_deinit(&out);
            tok_ids_deinit(&ids);
        }
        tok_close(t);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special),       cmocka_unit_test(test_longest_special),
        cmocka_unit_test(test_flags),         cmocka_unit_test(test_bert),
        cmocka_unit_test(test_strip),         cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_stream),        cmocka_unit_test(test_stream_space),
        cmocka_unit_test(test_decode_errors), cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
