/* Keys that are missing, of the wrong kind, or contradict each other: an error with its code and
 * the name of the key, never a crash. And every cut and flipped bit of a whole vocabulary file. */
#include "fuzz/tiny_vocab.h"
#include "support/cmocka_all.h"
#include "vocab_files.h"

#include <math.h>
#include <stdlib.h>

static const char *const TOKENS[] = {"a", "b", "ab", "<s>"};
static const char *const MERGES[] = {"a b"};
static const float SCORES[] = {0, -1, -2, -3};
static const int32_t TYPES[] = {1, 1, 1, 3};

static void begin(tiny_vocab *v, const char *model) {
    tiny_begin(v);
    tiny_str(v, "tokenizer.ggml.model", model);
}

static void begin_bpe(tiny_vocab *v) {
    begin(v, "gpt2");
    tiny_str(v, "tokenizer.ggml.pre", "gpt-2");
}

/* Opening must fail with this code and this word in the message, which begins with the file; where
 * a key is there and damaged, its offset follows. */
static void assert_refused(tiny_vocab *v, err_code code, const char *word) {
    err e = {0};
    gguf *g = tiny_end(v, &e);
    if (!g) fail_msg("%s", e.msg);
    tok *t = tok_open(g, &e);
    assert_null(t);
    assert_int_equal(e.code, code);
    if (!strstr(e.msg, word)) fail_msg("'%s' does not say '%s'", e.msg, word);
    size_t n = strlen(gguf_path(g));
    if (strncmp(e.msg, gguf_path(g), n) || e.msg[n] != ':') fail_msg("no file in '%s'", e.msg);
    const char *key = strstr(e.msg, "tokenizer.");
    char name[80] = "", offset[40];
    if (key) snprintf(name, sizeof name, "%.*s", (int)strcspn(key, ":["), key);
    const gguf_kv *kv = gguf_find(g, name);
    if (code == ERR_DAMAGED && kv) {
        snprintf(offset, sizeof offset, ": byte %llu: ", (unsigned long long)kv->offset);
        if (!strstr(e.msg, offset)) fail_msg("no%sin '%s'", offset, e.msg);
    }
    gguf_close(g);
    tiny_free(v);
}

static tok *assert_opens(tiny_vocab *v) {
    err e = {0};
    gguf *g = tiny_end(v, &e);
    if (!g) fail_msg("%s", e.msg);
    tok *t = tok_open(g, &e);
    if (!t) fail_msg("%s", e.msg);
    gguf_close(g);
    tiny_free(v);
    return t;
}

static void test_no_tokenizer(void **state) {
    (void)state;
    tiny_vocab v;
    tiny_begin(&v);
    assert_refused(&v, ERR_FAILED, "no tokenizer");
    begin(&v, "none");
    assert_refused(&v, ERR_FAILED, "no tokenizer");
    begin(&v, "sausage");
    assert_refused(&v, ERR_FAILED, "known: gpt2");
    begin(&v, "gpt2");
    tiny_str(&v, "tokenizer.ggml.pre", "sausage");
    assert_refused(&v, ERR_FAILED, "sausage");
}

static void test_tokens(void **state) {
    (void)state;
    static const char *const twice[] = {"a", "b", "a"};
    tiny_vocab v;
    begin_bpe(&v);
    assert_refused(&v, ERR_DAMAGED, "tokenizer.ggml.tokens");
    begin_bpe(&v);
    tiny_strs(&v, "tokenizer.ggml.tokens", NULL, 0);
    assert_refused(&v, ERR_DAMAGED, "tokenizer.ggml.tokens");
    begin_bpe(&v);
    tiny_i32s(&v, "tokenizer.ggml.tokens", TYPES, 4);
    assert_refused(&v, ERR_DAMAGED, "tokenizer.ggml.tokens");
    begin_bpe(&v);
    tiny_strs(&v, "tokenizer.ggml.tokens", twice, 3);
    assert_refused(&v, ERR_DAMAGED, "0 and 2 are both 'a'");
}

static void test_lists(void **state) {
    (void)state;
    static const int32_t strange[] = {1, 7, 1, 1};
    static const int32_t byte[] = {1, 6, 1, 1};
    static const float nan_score[] = {0, NAN, 0, 0};
    tiny_vocab v;
    begin_bpe(&v);
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    tiny_i32s(&v, "tokenizer.ggml.token_type", TYPES, 3);
    assert_refused(&v, ERR_DAMAGED, "tokenizer.ggml.token_type");
    begin_bpe(&v);
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    tiny_i32s(&v, "tokenizer.ggml.token_type", strange, 4);
    assert_refused(&v, ERR_DAMAGED, "token_type[1]");
    begin(&v, "llama");
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    assert_refused(&v, ERR_DAMAGED, "tokenizer.ggml.scores");
    begin(&v, "llama");
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    tiny_f32s(&v, "tokenizer.ggml.scores", nan_score, 4);
    assert_refused(&v, ERR_DAMAGED, "scores[1]");
    begin(&v, "llama");
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    tiny_f32s(&v, "tokenizer.ggml.scores", SCORES, 4);
    tiny_i32s(&v, "tokenizer.ggml.token_type", byte, 4);
    assert_refused(&v, ERR_DAMAGED, "tokens[1]");
}

static void test_merges(void **state) {
    (void)state;
    static const char *const bad[] = {"a c", "ab", "", "a ", " a", "b a", "a b c"};
    tiny_vocab v;
    begin_bpe(&v);
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    assert_refused(&v, ERR_DAMAGED, "tokenizer.ggml.merges");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const list[] = {MERGES[0], bad[i]};
        begin_bpe(&v);
        tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
        tiny_strs(&v, "tokenizer.ggml.merges", list, 2);
        assert_refused(&v, ERR_DAMAGED, "merges[1]");
    }
}

static void test_ids(void **state) {
    (void)state;
    tiny_vocab v;
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.unknown_token_id"};
    for (size_t i = 0; i < 3; i++) {
        begin_bpe(&v);
        tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
        tiny_strs(&v, "tokenizer.ggml.merges", MERGES, 1);
        tiny_u32(&v, keys[i], 4);
        assert_refused(&v, ERR_DAMAGED, keys[i]);
    }
    begin(&v,
          "bert"); /* needs a token for the unknown, and its default is beyond this vocabulary */
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    assert_refused(&v, ERR_DAMAGED, "unknown_token_id");
    begin_bpe(&v); /* all ones: none */
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    tiny_strs(&v, "tokenizer.ggml.merges", MERGES, 1);
    tiny_u32(&v, "tokenizer.ggml.bos_token_id", UINT32_MAX);
    tiny_bool(&v, "tokenizer.ggml.add_bos_token", true);
    tok *t = assert_opens(&v);
    assert_int_equal(tok_bos(t), -1);
    assert_false(tok_adds_bos(t));
    tok_close(t);
}

/* A vocabulary without most of the alphabet: what it cannot say is left out, nothing breaks. */
static void test_poor_alphabet(void **state) {
    (void)state;
    tiny_vocab v;
    begin_bpe(&v);
    tiny_strs(&v, "tokenizer.ggml.tokens", TOKENS, 4);
    tiny_strs(&v, "tokenizer.ggml.merges", MERGES, 1);
    tok *t = assert_opens(&v);
    tok_ids ids = ids_of(t, STR("xabay b"), 0);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.id[0], 2);
    assert_int_equal(ids.id[1], 0);
    assert_int_equal(ids.id[2], 1);
    tok_ids_deinit(&ids);
    tok_close(t);
}

static void put_t5(tiny_vocab *v, const uint8_t *map, size_t n) {
    tiny_make_pieces(v, "t5", false);
    tiny_u8s(v, "tokenizer.ggml.precompiled_charsmap", map, n);
}

static void test_charsmap(void **state) {
    (void)state;
    tiny_vocab v;
    static const uint8_t too_short[] = {8, 0, 0};
    static const uint8_t past_end[] = {200, 0, 0, 0, 1, 1, 1, 1, 0};
    static const uint8_t odd[] = {5, 0, 0, 0, 1, 1, 1, 1, 1, 'x', 0};
    static const uint8_t no_nul[] = {4, 0, 0, 0, 0, 0, 0, 0, 'x', 'y'};
    put_t5(&v, too_short, sizeof too_short);
    assert_refused(&v, ERR_DAMAGED, "precompiled_charsmap");
    put_t5(&v, past_end, sizeof past_end);
    assert_refused(&v, ERR_DAMAGED, "precompiled_charsmap");
    put_t5(&v, odd, sizeof odd);
    assert_refused(&v, ERR_DAMAGED, "precompiled_charsmap");
    put_t5(&v, no_nul, sizeof no_nul);
    assert_refused(&v, ERR_DAMAGED, "precompiled_charsmap");
    /* Units that point everywhere: every step through them stays inside. */
    uint8_t wild[4 + 1024 + 16] = {0, 4, 0, 0};
    for (unsigned seed = 0; seed < 300; seed++) {
        uint32_t x = seed * 2654435761u + 1;
        for (size_t i = 4; i + 1 < sizeof wild; i++) {
            x = x * 1664525u + 1013904223u;
            wild[i] = (uint8_t)(x >> 24);
        }
        put_t5(&v, wild, sizeof wild);
        tok *t = assert_opens(&v);
        tok_ids ids = ids_of(t, STR("the quick brown \xff\xe4\xb8\x96 fox 0123456789 \x00 AEIOU"),
                             0);
        tok_ids_deinit(&ids);
        tok_close(t);
    }
}

/* An error, or a tokenizer that works. */
static void try_bytes(const char *bytes, size_t n) {
    err e = {0};
    gguf *g = gguf_open_memory(bytes, n, "damaged", &e);
    tok *t = g ? tok_open(g, &e) : NULL;
    if (g) gguf_close(g);
    if (!t) {
        assert_int_not_equal(e.code, ERR_NONE);
        assert_true(e.msg[0]);
        return;
    }
    tok_ids ids = ids_of(t, STR("the <s> aa \xe4\xb8\x96 \xff"), TOK_SPECIAL | TOK_BOS);
    buf out;
    buf_init(&out, 1 << 20);
    assert_true(tok_decode(t, ids.id, ids.n, true, &out, &e));
    buf_deinit(&out);
    tok_ids_deinit(&ids);
    tok_close(t);
}

static void test_damage(void **state) {
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        tiny_vocab v;
        err e = {0};
        if (kind == 3) tiny_make_bert(&v);
        else tiny_make_pieces(&v, kind == 0 ? "llama" : kind == 1 ? "gemma4" : "t5", false);
        gguf *g = tiny_end(&v, &e);
        assert_non_null(g);
        gguf_close(g);
        for (size_t n = 0; n < v.bytes.len; n++) try_bytes(v.bytes.data, n);
        for (size_t bit = 0; bit < v.bytes.len * 8; bit++) {
            v.bytes.data[bit / 8] ^= (char)(1 << bit % 8);
            try_bytes(v.bytes.data, v.bytes.len);
            v.bytes.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        tiny_free(&v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_tokenizer), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_lists),        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_ids),          cmocka_unit_test(test_poor_alphabet),
        cmocka_unit_test(test_charsmap),     cmocka_unit_test(test_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
