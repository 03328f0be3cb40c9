/* Text against a small vocabulary of every kind. The first byte chooses the kind and the flags.
 * What comes out must be ids of the vocabulary; it must decode; where every byte has a token it
 * must decode to the text; and the stream must say the same as the whole. */
#include "tiny_vocab.h"
#include "tok/pre.h"

#include <stdlib.h>

enum {
    KINDS = 24,
    LAST_PRE = KINDS - 6
}; /* below LAST_PRE: byte-level BPE with several pre-tokenizers */

static const tok *vocab(unsigned kind) {
    static tok *made[KINDS];
    static const char *const pres[LAST_PRE] = {
        "gpt-2",        "llama-bpe",      "qwen2",       "qwen35", "gpt-4o",    "tekken",
        "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "starcoder", "default",
        "bailingmoe",   "seed-coder",     "bloom",       "youtu",  "spark2_5",  "laguna"};
    if (made[kind]) return made[kind];
    tiny_vocab v;
    err e = {0};
    if (kind < LAST_PRE) tiny_make_bpe(&v, pres[kind]);
    else if (kind == LAST_PRE) tiny_make_bert(&v);
    else if (kind == LAST_PRE + 1) tiny_make_pieces(&v, "gemma4", true);
    else tiny_make_pieces(&v, kind < KINDS - 2 ? "llama" : "t5", kind % 2);
    if (kind == KINDS - 1) tiny_bool(&v, "tokenizer.ggml.remove_extra_whitespaces", true);
    gguf *g = tiny_end(&v, &e);
    made[kind] = g ? tok_open(g, &e) : NULL;
    gguf_close(g);
    tiny_free(&v);
    if (!made[kind]) {
        fprintf(stderr, "kind %u: %s\n", kind, e.msg);
        abort();
    }
    return made[kind];
}

static void check(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void check_stream(const tok *t, const tok_ids *ids, str whole) {
    buf out, want;
    tok_stream s;
    buf_init(&out, 64u << 20);
    buf_init(&want, 64u << 20);
    tok_stream_init(&s, t, true, true);
    for (size_t i = 0; i < ids->n; i++) {
        tok_stream_push(&s, ids->id[i], &out);
        for (size_t k = 0; k < out.len;) { /* whole characters at every moment */
            int n = utf8_len(out.data + k, out.len - k);
            check(n > 0, "the stream gave part of a character");
            k += (size_t)n;
        }
        if (out.len > 4096) { /* keeps the check above linear */
            buf_put_str(&want, buf_str(&out));
            buf_clear(&out);
        }
    }
    tok_stream_end(&s, &out);
    buf_put_str(&want, buf_str(&out));
    size_t at = 0;
    bool valid = true;
    for (int n; valid && at < whole.n; at += (size_t)n)
        valid = (n = utf8_len(whole.p + at, whole.n - at)) > 0;
    if (valid) check(str_eq(buf_str(&want), whole), "stream and whole decode differ");
    buf_deinit(&out);
    buf_deinit(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 1u << 20) return 0;
    unsigned kind = data[0] % KINDS, flags = data[1] & 7;
    const tok *t = vocab(kind);
    str text = {(const char *)data + 2, size - 2};
    tok_ids ids = {0};
    err e = {0};
    check(tok_encode(t, text, flags, &ids, &e), e.msg);
    for (size_t i = 0; i < ids.n; i++)
        check(ids.id[i] >= 0 && ids.id[i] < tok_n_vocab(t), "no such id");
    buf whole;
    buf_init(&whole, 64u << 20);
    check(tok_decode(t, ids.id, ids.n, true, &whole, &e), e.msg);
    bool bos = flags & TOK_BOS && (tok_adds_bos(t) || tok_adds_eos(t));
    if (kind < LAST_PRE && !bos) check(str_eq(buf_str(&whole), text), "the text did not come back");
    check_stream(t, &ids, buf_str(&whole));
    buf_deinit(&whole);
    tok_ids_deinit(&ids);
    return 0;
}
