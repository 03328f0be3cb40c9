/* Special tokens: finding them in text, which of them end a text, which swallow white space. */
#include "tok/tok_private.h"

#include <ctype.h>
#include <stdlib.h>

static bool is_special(tok_attr a) {
    return a == TOK_CONTROL || a == TOK_UNKNOWN || a == TOK_USER_DEFINED;
}

bool tok_build_special(tok *t, err *e) {
    if (!trie_init(&t->special)) return tok_oom(e);
    for (int32_t i = 0; i < t->n; i++) {
        str s = tok_text(t, i);
        tok_attr a = (tok_attr)t->attr[i];
        if (!s.n || !is_special(a)) continue;
        if (!trie_put(&t->special, s, i)) return tok_oom(e);
        t->special_first[1][(unsigned char)s.p[0]] = true;
        if (a == TOK_USER_DEFINED) t->special_first[0][(unsigned char)s.p[0]] = true;
    }
    return true;
}

/* ---- tokens that end a text ---- */

static bool is_end_text(str s) {
    static const char *const texts[] = {"<|eot_id|>",
                                        "<|im_end|>",
                                        "<|end|>",
                                        "<|return|>",
                                        "<|call|>",
                                        "<|calls|>",
                                        "<|flush|>",
                                        "<end_of_turn>",
                                        "<turn|>",
                                        "<|endoftext|>",
                                        "<|eom_id|>",
                                        "<EOT>",
                                        "_<EOT>",
                                        "[EOT]",
                                        "[EOS]",
                                        "<|end_of_text|>",
                                        "<end_of_utterance>",
                                        "<eos>",
                                        "</s>",
                                        "<|tool_response>",
                                        "<\xef\xbd\x9c"
                                        "end\xe2\x96\x81"
                                        "of\xe2\x96\x81"
                                        "sentence\xef\xbd\x9c>",
                                        "[e~["};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (str_eq(s, str_of(texts[i]))) return true;
    return false;
}

static bool end_add(tok *t, int32_t id, err *e) {
    if (tok_is_end(t, id)) return true;
    int32_t *bigger = realloc(t->ends, (t->n_ends + 1) * sizeof *bigger);
    if (!bigger) return tok_oom(e);
    t->ends = bigger;
    size_t i = t->n_ends++;
    for (; i > 0 && t->ends[i - 1] > id; i--) t->ends[i] = t->ends[i - 1];
    t->ends[i] = id;
    return true;
}

static void end_drop(tok *t, int32_t id) {
    size_t kept = 0;
    for (size_t i = 0; i < t->n_ends; i++)
        if (t->ends[i] != id) t->ends[kept++] = t->ends[i];
    t->n_ends = kept;
}

/* In harmony (gpt-oss) and its like "<|end|>" closes a message, not the turn; in Gemma 4 "</s>" is
 * mark-up. */
static void end_exceptions(tok *t) {
    int32_t end = tok_find(t, STR("<|end|>")), call = tok_find(t, STR("<|call|>"));
    int32_t s = tok_find(t, STR("</s>"));
    bool harmony = call >= 0 && tok_find(t, STR("<|return|>")) >= 0;
    bool solar = tok_find(t, STR("<|flush|>")) >= 0 &&
                 (call >= 0 || tok_find(t, STR("<|calls|>")) >= 0);
    if (end >= 0 && end != t->eos && (harmony || solar)) end_drop(t, end);
    if (s >= 0 && s != t->eos && tok_find(t, STR("<|tool_response>")) >= 0) end_drop(t, s);
}

/* As Ollama's converter lists them. */
static bool ends_listed(tok *t, const gguf *g, err *e) {
    enum { MOST = 64 };
    const gguf_kv *kv = gguf_find(g, "tokenizer.ggml.eos_token_ids");
    int64_t id;
    for (uint64_t i = 0; kv && i < kv->n && i < MOST && gguf_item_i64(kv, i, &id); i++)
        if (id >= 0 && id < t->n && !end_add(t, (int32_t)id, e)) return false;
    return true;
}

bool tok_find_ends(tok *t, const gguf *g, err *e) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (int32_t i = 0; i < t->n; i++)
        if (is_end_text(tok_text(t, i)) && !end_add(t, i, e)) return false;
    end_exceptions(t);
    /* Some files mark them as text; typed by a person, they are then not the end of anything. */
    for (size_t i = 0; i < t->n_ends; i++) t->attr[t->ends[i]] = TOK_CONTROL;
    if (t->eos >= 0 && !end_add(t, t->eos, e)) return false;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        int64_t id;
        if (gguf_get_i64(g, keys[k], &id) && id >= 0 && id < t->n && !end_add(t, (int32_t)id, e)) {
            return false;
        }
    }
    return ends_listed(t, g, e);
}

/* ---- tokens that swallow white space ---- */

static bool contains_any_case(str hay, const char *needle) {
    size_t n = strlen(needle);
    for (size_t i = 0; i + n <= hay.n; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)hay.p[i + k]) == needle[k]) k++;
        if (k == n) return true;
    }
    return false;
}

static void strip_set(tok *t, const char *text, uint8_t strip) {
    int32_t id = tok_find(t, str_of(text));
    if (id >= 0) t->strip[id] = strip;
}

/* GGUF has no place for it, so the families are known by name, as in the format's own tools. */
bool tok_set_strip(tok *t, str name, str arch, err *e) {
    str p = str_of(t->pre);
    bool phi3 = contains_any_case(name, "phi-3") || contains_any_case(name, "phi3");
    bool mask = contains_any_case(p, "jina-v2-de") || contains_any_case(p, "jina-v2-es") ||
                contains_any_case(p, "jina-v2-code") || contains_any_case(arch, "nomic-bert-moe") ||
                contains_any_case(arch, "jina-bert-v3");
    bool modern_bert = contains_any_case(name, "modern-bert");
    if (!phi3 && !mask && !modern_bert) return true;
    t->strip = calloc((size_t)t->n, 1);
    if (!t->strip) return tok_oom(e);
    if (mask) {
        strip_set(t, "<mask>", TOK_STRIP_LEFT);
    } else if (phi3) {
        for (int32_t i = 0; i < t->n; i++)
            if (is_special((tok_attr)t->attr[i])) t->strip[i] = TOK_STRIP_RIGHT;
        strip_set(t, "<unk>", 0);
        strip_set(t, "<s>", 0);
        strip_set(t, "<|endoftext|>", 0);
    } else {
        strip_set(t, "[MASK]", TOK_STRIP_LEFT);
    }
    return true;
}

unsigned tok_strips(const tok *t, int32_t id) {
    return t->strip && id >= 0 && id < t->n ? t->strip[id] : 0;
}
