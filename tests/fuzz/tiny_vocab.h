/* GGUF files with nothing but a tokenizer, written into memory: for fuzz targets and for tests of
 * damaged keys, which want every key as they like it.
 *
 *     tiny_vocab v; tiny_begin(&v);
 *     tiny_str(&v, "tokenizer.ggml.model", "gpt2");
 *     tiny_strs(&v, "tokenizer.ggml.tokens", texts, n);
 *     gguf *g = tiny_end(&v, &e);          // v keeps the bytes: gguf_close, then tiny_free
 */
#ifndef HEARTH_TESTS_FUZZ_TINY_VOCAB_H
#define HEARTH_TESTS_FUZZ_TINY_VOCAB_H

#include "base/buf.h"
#include "gguf/gguf.h"
#include "tok/tok.h"

#include <stdio.h>

typedef struct tiny_vocab {
    buf bytes;
    uint64_t n_kv;
} tiny_vocab;

static inline void tiny_int(tiny_vocab *v, uint64_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) buf_putc(&v->bytes, (char)(value >> (8 * i)));
}

static inline void tiny_text(tiny_vocab *v, str s) {
    tiny_int(v, s.n, 8);
    buf_put_str(&v->bytes, s);
}

static inline void tiny_begin(tiny_vocab *v) {
    buf_init(&v->bytes, 16u << 20);
    v->n_kv = 0;
    buf_puts(&v->bytes, "GGUF");
    tiny_int(v, 3, 4);
    tiny_int(v, 0, 8); /* tensors */
    tiny_int(v, 0, 8); /* pairs: written by tiny_end */
}

static inline void tiny_key(tiny_vocab *v, const char *key, gguf_type type) {
    v->n_kv++;
    tiny_text(v, str_of(key));
    tiny_int(v, (uint64_t)type, 4);
}

static inline void tiny_list(tiny_vocab *v, const char *key, gguf_type item, size_t n) {
    tiny_key(v, key, GGUF_ARRAY);
    tiny_int(v, (uint64_t)item, 4);
    tiny_int(v, n, 8);
}

static inline void tiny_str(tiny_vocab *v, const char *key, const char *s) {
    tiny_key(v, key, GGUF_STRING);
    tiny_text(v, str_of(s));
}

static inline void tiny_u32(tiny_vocab *v, const char *key, uint32_t value) {
    tiny_key(v, key, GGUF_U32);
    tiny_int(v, value, 4);
}

static inline void tiny_bool(tiny_vocab *v, const char *key, bool value) {
    tiny_key(v, key, GGUF_BOOL);
    tiny_int(v, value, 1);
}

static inline void tiny_strs(tiny_vocab *v, const char *key, const char *const *s, size_t n) {
    tiny_list(v, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) tiny_text(v, str_of(s[i]));
}

static inline void tiny_i32s(tiny_vocab *v, const char *key, const int32_t *x, size_t n) {
    tiny_list(v, key, GGUF_I32, n);
    for (size_t i = 0; i < n; i++) tiny_int(v, (uint32_t)x[i], 4);
}

static inline void tiny_f32s(tiny_vocab *v, const char *key, const float *x, size_t n) {
    tiny_list(v, key, GGUF_F32, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        tiny_int(v, bits, 4);
    }
}

static inline void tiny_u8s(tiny_vocab *v, const char *key, const uint8_t *x, size_t n) {
    tiny_list(v, key, GGUF_U8, n);
    for (size_t i = 0; i < n; i++) tiny_int(v, x[i], 1);
}

static inline gguf *tiny_end(tiny_vocab *v, err *e) {
    while (v->bytes.len % 32) buf_putc(&v->bytes, 0); /* where tensor data would begin */
    if (v->bytes.failed) return NULL;
    for (int i = 0; i < 8; i++) v->bytes.data[16 + i] = (char)(v->n_kv >> (8 * i));
    return gguf_open_memory(v->bytes.data, v->bytes.len, "tiny vocabulary", e);
}

static inline void tiny_free(tiny_vocab *v) {
    buf_deinit(&v->bytes);
}

/* ---- one small vocabulary of every kind ---- */

/* A list of tokens that grows. Texts are copied into a pool that never moves. */
typedef struct tiny_tokens {
    const char *text[700];
    int32_t type[700];
    float score[700];
    size_t n;
    char pool[8192];
    size_t used;
} tiny_tokens;

static inline void tiny_add(tiny_tokens *t, const char *text, tok_attr type) {
    size_t n = strlen(text) + 1;
    if (t->n == 700 || t->used + n > sizeof t->pool) return;
    memcpy(t->pool + t->used, text, n);
    t->text[t->n] = t->pool + t->used;
    t->type[t->n] = (int32_t)type;
    t->score[t->n] = -(float)t->n;
    t->used += n;
    t->n++;
}

static inline void tiny_add_bytes(tiny_tokens *t) { /* <0x00> ... <0xFF> */
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        tiny_add(t, text, TOK_BYTE);
    }
}

static inline void tiny_add_alphabet(tiny_tokens *t) { /* the 256 characters of byte-level BPE */
    uint32_t spare = 256;
    for (uint32_t b = 0; b < 256; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        char text[5] = {0};
        utf8_encode(printable ? b : spare++, text);
        tiny_add(t, text, TOK_NORMAL);
    }
}

#define TINY_MARK "\xe2\x96\x81"

static inline void tiny_put_tokens(tiny_vocab *v, const tiny_tokens *t) {
    tiny_strs(v, "tokenizer.ggml.tokens", t->text, t->n);
    tiny_i32s(v, "tokenizer.ggml.token_type", t->type, t->n);
    tiny_f32s(v, "tokenizer.ggml.scores", t->score, t->n);
}

/* "gpt2" with that pre-tokenizer; ids 0-255 are the alphabet, 256 is <|end|>, 257 the user's
 * <tool>. */
static inline void tiny_make_bpe(tiny_vocab *v, const char *pre) {
    static const char *const merges[] = {"a a",  "aa aa",        "t h",
                                         "th e", "\xc4\xa0 the", "\xc4\xa0 \xc4\xa0"};
    tiny_tokens t = {.n = 0};
    tiny_add_alphabet(&t);
    tiny_add(&t, "<|end|>", TOK_CONTROL);
    tiny_add(&t, "<tool>", TOK_USER_DEFINED);
    const char *const made[] = {"aa", "aaaa", "th", "the", "\xc4\xa0the", "\xc4\xa0\xc4\xa0"};
    for (size_t i = 0; i < 6; i++) tiny_add(&t, made[i], TOK_NORMAL);
    tiny_begin(v);
    tiny_str(v, "tokenizer.ggml.model", "gpt2");
    tiny_str(v, "tokenizer.ggml.pre", pre);
    tiny_put_tokens(v, &t);
    tiny_strs(v, "tokenizer.ggml.merges", merges, 6);
    tiny_u32(v, "tokenizer.ggml.eos_token_id", 256);
}

/* "llama" or "gemma4": <unk> <s> </s>, the bytes (when wanted), then pieces; <tool> is
 * user-defined. */
static inline void tiny_make_pieces(tiny_vocab *v, const char *model, bool bytes) {
    static const char *const merges[] = {"a a", "aa aa", "t h", "th e", TINY_MARK " the", "\n \n"};
    const char *const made[] = {TINY_MARK,
                                "a",
                                "t",
                                "h",
                                "e",
                                "\n",
                                "\xe4\xb8\x96",
                                "aa",
                                "aaaa",
                                "th",
                                "the",
                                TINY_MARK "the",
                                "\n\n",
                                TINY_MARK TINY_MARK};
    tiny_tokens t = {.n = 0};
    tiny_add(&t, "<unk>", TOK_UNKNOWN);
    tiny_add(&t, "<s>", TOK_CONTROL);
    tiny_add(&t, "</s>", TOK_CONTROL);
    if (bytes) tiny_add_bytes(&t);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) tiny_add(&t, made[i], TOK_NORMAL);
    tiny_add(&t, "<tool>", TOK_USER_DEFINED);
    tiny_begin(v);
    tiny_str(v, "tokenizer.ggml.model", model);
    tiny_put_tokens(v, &t);
    tiny_strs(v, "tokenizer.ggml.merges", merges, 6);
    tiny_u32(v, "tokenizer.ggml.bos_token_id", 1);
    tiny_u32(v, "tokenizer.ggml.eos_token_id", 2);
    tiny_u32(v, "tokenizer.ggml.unknown_token_id", 0);
}

static inline void tiny_make_bert(tiny_vocab *v) {
    const char *const made[] = {TINY_MARK "the",
                                TINY_MARK "a",
                                "a",
                                "b",
                                "re",
                                TINY_MARK "there",
                                TINY_MARK ".",
                                TINY_MARK "\xe4\xb8\x96",
                                TINY_MARK "e",
                                TINY_MARK "!",
                                TINY_MARK "i"};
    tiny_tokens t = {.n = 0};
    tiny_add(&t, "[UNK]", TOK_UNKNOWN);
    tiny_add(&t, "[CLS]", TOK_CONTROL);
    tiny_add(&t, "[SEP]", TOK_CONTROL);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) tiny_add(&t, made[i], TOK_NORMAL);
    tiny_begin(v);
    tiny_str(v, "tokenizer.ggml.model", "bert");
    tiny_put_tokens(v, &t);
    tiny_u32(v, "tokenizer.ggml.cls_token_id", 1);
    tiny_u32(v, "tokenizer.ggml.seperator_token_id", 2);
    tiny_u32(v, "tokenizer.ggml.unknown_token_id", 0);
}

#endif
