/* Files of Ollama's library, many of which were written by its own converter: other names for keys
 * and tensors, values left out that are always the same, text and vision in one file. Whoever
 * opens one sees it as the plain form, under the names that all other files have; what cannot be
 * brought into it keeps a name that no architecture has, so that it is refused and not misread.
 *
 * Data stay where they are: only the list of pairs and the names of tensors change, before they
 * are indexed. Tensors of other senses ("v.", "mm.", ...) stay listed, and nobody asks for them. */
#include "gguf/gguf_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

#define ARCH_KEY "general.architecture"
#define PRE_KEY "tokenizer.ggml.pre"
#define TOKENS_KEY "tokenizer.ggml.tokens"
#define CHARS_KEY "tokenizer.ggml.precompiled_charsmap"

typedef struct renaming {
    const char *from, *to;
} renaming;

typedef struct form {
    const char *arch, *plain;  /* as the file says, and as it is read */
    bool (*is)(const gguf *g); /* NULL: the name of the architecture alone says it */
    const renaming *keys;      /* after "<arch>."; ends with a NULL name */
    const renaming *tensors;   /* a piece of a name; ends with a NULL name */
    bool (*mend)(gguf *g);     /* what names alone do not do; NULL: nothing */
} form;

/* ---- looking ---- */

static gguf_kv *pair_find(const gguf *g, const char *key) {
    return (gguf_kv *)gguf_head_find(&g->head, key);
}

static const gguf_tensor *tensor_find(const gguf *g, const char *name) {
    for (uint64_t i = 0; i < g->head.n_tensors; i++)
        if (str_eq(g->head.tensors[i].name, str_of(name))) return &g->head.tensors[i];
    return NULL;
}

static bool has_tensors(const gguf *g, const char *prefix) {
    for (uint64_t i = 0; i < g->head.n_tensors; i++)
        if (str_starts(g->head.tensors[i].name, str_of(prefix))) return true;
    return false;
}

static str text_at(const gguf_kv *kv) {
    if (!kv || kv->type != GGUF_STRING) return (str){"", 0};
    return (str){(const char *)kv->data + 8, (size_t)gguf_load_u64(kv->data)};
}

static bool text_is(const gguf *g, const char *key, const char *text) {
    return str_eq(text_at(pair_find(g, key)), str_of(text));
}

static bool is_unsaid(const gguf *g, const char *key) {
    str s = text_at(pair_find(g, key));
    return s.n == 0 || str_eq(s, STR("default"));
}

static uint64_t number_at(const gguf *g, const char *key) {
    const gguf_kv *kv = pair_find(g, key);
    uint64_t v = 0;
    if (kv) gguf_scalar_u64(kv->data, kv->type, &v);
    return v;
}

/* Item i of an array of texts. */
static str item_at(const gguf *g, const gguf_kv *kv, uint64_t i) {
    const uint8_t *p = kv->data + g->head.str_index[kv - g->head.kv][i];
    return (str){(const char *)p + 8, (size_t)gguf_load_u64(p)};
}

static bool has_token(const gguf *g, const char *text) {
    const gguf_kv *kv = pair_find(g, TOKENS_KEY);
    if (!kv || kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING) return false;
    for (uint64_t i = 0; i < kv->n; i++)
        if (str_eq(item_at(g, kv, i), str_of(text))) return true;
    return false;
}

/* ---- changing; false: out of memory ---- */

static void *own(gguf *g, size_t n) {
    if (!g->own) g->own = arena_new((size_t)1 << 26);
    return g->own ? arena_alloc(g->own, n) : NULL;
}

/* A pair of this name, new if there is none. */
static gguf_kv *pair_make(gguf *g, const char *key) {
    gguf_head *h = &g->head;
    gguf_kv *kv = pair_find(g, key);
    if (kv) return kv;
    size_t n = (size_t)h->n_kv + 2;
    char *name = own(g, strlen(key) + 1);
    gguf_kv *pairs = realloc(h->kv, n * sizeof *pairs);
    if (pairs) h->kv = pairs;
    uint64_t *bytes = realloc(h->kv_bytes, n * sizeof *bytes);
    if (bytes) h->kv_bytes = bytes;
    uint64_t **index = realloc(h->str_index, n * sizeof *index);
    if (index) h->str_index = index;
    if (!name || !pairs || !bytes || !index) return NULL;
    memcpy(name, key, strlen(key) + 1);
    h->str_index[h->n_kv] = NULL;
    h->kv_bytes[h->n_kv] = 0;
    h->kv[h->n_kv] = (gguf_kv){.key = str_of(name), .type = GGUF_U8, .elem = GGUF_U8};
    return &h->kv[h->n_kv++];
}

static bool value_set(gguf *g, const char *key, gguf_type type, const void *p, size_t n) {
    gguf_kv *kv = pair_make(g, key);
    uint8_t *data = own(g, n);
    if (!kv || !data) return false;
    memcpy(data, p, n);
    kv->type = kv->elem = type;
    kv->n = 1;
    kv->data = data;
    g->head.kv_bytes[kv - g->head.kv] = n;
    return true;
}

static bool text_set(gguf *g, const char *key, const char *text) {
    uint64_t n = strlen(text);
    uint8_t raw[8 + 64];
    if (n > 64) return false;
    memcpy(raw, &n, 8);
    memcpy(raw + 8, text, (size_t)n);
    return value_set(g, key, GGUF_STRING, raw, 8 + (size_t)n);
}

static bool real_default(gguf *g, const char *key, float v) {
    return pair_find(g, key) || value_set(g, key, GGUF_F32, &v, sizeof v);
}

/* The first n items; an array that has no more stays as it is. */
static void list_cut(gguf *g, const char *key, uint64_t n) {
    gguf_kv *kv = pair_find(g, key);
    if (!kv || kv->type != GGUF_ARRAY || kv->n <= n) return;
    size_t i = (size_t)(kv - g->head.kv);
    uint32_t item = gguf_scalar_bytes((uint32_t)kv->elem);
    if (!item && kv->elem != GGUF_STRING) return;
    g->head.kv_bytes[i] = item ? n * item : g->head.str_index[i][n];
    kv->n = n;
}

static const char *joined(gguf *g, str a, str b, str c) {
    char *s = own(g, a.n + b.n + c.n + 1);
    if (!s) return NULL;
    memcpy(s, a.p, a.n);
    memcpy(s + a.n, b.p, b.n);
    memcpy(s + a.n + b.n, c.p, c.n);
    return s;
}

/* A pair's new name, unless another one has it already. */
static bool key_rename(gguf *g, const form *f, const renaming *r) {
    const char *from = joined(g, str_of(f->arch), STR("."), str_of(r->from));
    const char *to = joined(g, str_of(f->arch), STR("."), str_of(r->to));
    if (!from || !to) return false;
    gguf_kv *kv = pair_find(g, from);
    if (kv && !pair_find(g, to)) kv->key = str_of(to);
    return true;
}

/* Those that have other names, then "<arch>.rest" to "<plain>.rest". */
static bool keys_rename(gguf *g, const form *f) {
    size_t n_arch = strlen(f->arch);
    for (const renaming *r = f->keys; r && r->from; r++)
        if (!key_rename(g, f, r)) return false;
    if (strcmp(f->arch, f->plain) == 0) return true;
    for (uint64_t i = 0; i < g->head.n_kv; i++) {
        str key = g->head.kv[i].key;
        if (key.n <= n_arch || key.p[n_arch] != '.' || memcmp(key.p, f->arch, n_arch) != 0)
            continue;
        str rest = {key.p + n_arch + 1, key.n - n_arch - 1};
        const char *name = joined(g, str_of(f->plain), STR("."), rest);
        if (!name) return false;
        g->head.kv[i].key = str_of(name);
    }
    return true;
}

static bool tensors_rename(gguf *g, const form *f) {
    for (uint64_t i = 0; f->tensors && i < g->head.n_tensors; i++) {
        gguf_tensor *t = &g->head.tensors[i];
        if (!str_starts(t->name, STR("blk."))) continue;
        for (const renaming *r = f->tensors; r->from; r++) {
            str from = str_of(r->from);
            size_t at = str_find(t->name, from, 0);
            /* a piece without a dot at its end is the end of the name */
            if (at == (size_t)-1 || (from.p[from.n - 1] != '.' && at + from.n != t->name.n))
                continue;
            str tail = {t->name.p + at + from.n, t->name.n - at - from.n};
            const char *name = joined(g, (str){t->name.p, at}, str_of(r->to), tail);
            if (!name) return false;
            t->name = str_of(name);
            break;
        }
    }
    return true;
}

/* ---- gpt-oss ---- */

static const renaming gpt_oss_tensors[] = {{".attn_out.", ".attn_output."},
                                           {".attn_sinks", ".attn_sinks.weight"},
                                           {".ffn_norm.", ".post_attention_norm."},
                                           {0}};

static bool gpt_oss_mend(gguf *g) {
    const gguf_tensor *t = tensor_find(g, "blk.0.ffn_gate_exps.weight");
    uint32_t width = t ? (uint32_t)t->ne[1] : 0; /* below LIMIT_TENSOR_DIM */
    return (!width || pair_find(g, "gpt-oss.expert_feed_forward_length") ||
            value_set(g, "gpt-oss.expert_feed_forward_length", GGUF_U32, &width, 4)) &&
           (pair_find(g, "gpt-oss.rope.scaling.type") ||
            text_set(g, "gpt-oss.rope.scaling.type", "yarn")) &&
           text_set(g, PRE_KEY, "gpt-4o");
}

/* ---- gemma3 ---- */

static const renaming gemma3_keys[] = {{"rope.global.freq_base", "rope.freq_base"},
                                       {"rope.local.freq_base", "rope.freq_base_swa"},
                                       {0}};

static bool gemma3_embeds(const gguf *g) {
    return tensor_find(g, "dense.0.weight") != NULL;
}

static bool gemma3_is(const gguf *g) {
    return pair_find(g, "gemma3.rope.global.freq_base") ||
           pair_find(g, "gemma3.rope.local.freq_base") ||
           pair_find(g, "gemma3.mm.tokens_per_image") ||
           pair_find(g, "tokenizer.ggml.add_padding_token") ||
           pair_find(g, "tokenizer.ggml.add_unknown_token") ||
           !pair_find(g, "gemma3.attention.layer_norm_rms_epsilon") || has_tensors(g, "v.") ||
           has_tensors(g, "mm.");
}

/* All but the smallest were stretched from 16k to 128k by 8. Tokens beyond the rows of the
 * embedding stand for pictures. */
static bool gemma3_mend(gguf *g) {
    const gguf_tensor *t = tensor_find(g, "token_embd.weight");
    uint8_t no = 0;
    bool stretched = number_at(g, "gemma3.context_length") >= 131072;
    bool ok = real_default(g, "gemma3.attention.layer_norm_rms_epsilon", 1e-6f) &&
              real_default(g, "gemma3.rope.freq_base", 1000000.0f) &&
              real_default(g, "gemma3.rope.freq_base_swa", 10000.0f) &&
              (pair_find(g, "tokenizer.ggml.add_space_prefix") ||
               value_set(g, "tokenizer.ggml.add_space_prefix", GGUF_BOOL, &no, 1));
    if (ok && stretched && !pair_find(g, "gemma3.rope.scaling.type"))
        ok = text_set(g, "gemma3.rope.scaling.type", "linear") &&
             real_default(g, "gemma3.rope.scaling.factor", 8.0f);
    if (!t) return ok;
    list_cut(g, TOKENS_KEY, t->ne[1]);
    list_cut(g, "tokenizer.ggml.scores", t->ne[1]);
    list_cut(g, "tokenizer.ggml.token_type", t->ne[1]);
    return ok;
}

/* ---- those that see: their text half is a model that is known ---- */

/* With text alone the sections of their rope all turn by the same position. */
static bool qwen_mend(gguf *g, const char *key) {
    str type = text_at(pair_find(g, key));
    bool sections = str_eq(type, STR("mrope")) || str_eq(type, STR("default"));
    return !sections || text_set(g, key, "none");
}

static bool qwen2_mend(gguf *g) {
    return qwen_mend(g, "qwen2.rope.scaling.type");
}
static bool qwen3_mend(gguf *g) {
    return qwen_mend(g, "qwen3.rope.scaling.type");
}
static bool qwen3moe_mend(gguf *g) {
    return qwen_mend(g, "qwen3moe.rope.scaling.type");
}

/* Mistral Small 3.1 and 3.2 are Llama's architecture. Ministral 3 is not: its queries grow with the
 * position. */
static bool mistral3_is(const gguf *g) {
    str type = text_at(pair_find(g, "mistral3.rope.scaling.type"));
    return (type.n == 0 || str_eq(type, STR("none"))) &&
           !pair_find(g, "mistral3.attention.temperature_scale") &&
           !pair_find(g, "mistral3.rope.scaling_beta");
}

static bool mistral3_mend(gguf *g) {
    return !is_unsaid(g, PRE_KEY) || text_set(g, PRE_KEY, "tekken");
}

/* ---- tokenizers ---- */

/* Llama 3 whose file does not say how text is cut into words. */
static bool llama3_is(const gguf *g) {
    return text_is(g, "tokenizer.ggml.model", "gpt2") && is_unsaid(g, PRE_KEY) &&
           has_token(g, "<|eot_id|>") && has_token(g, "<|start_header_id|>");
}

static bool llama3_mend(gguf *g) {
    return text_set(g, PRE_KEY, "llama-bpe");
}

static int base64_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Snowflake Arctic Embed 2: a table of bytes as a list of the letters of its base64. */
static bool letters_is(const gguf *g) {
    const gguf_kv *kv = pair_find(g, CHARS_KEY);
    return kv && kv->type == GGUF_ARRAY && kv->elem == GGUF_STRING;
}

static bool letters_mend(gguf *g) {
    gguf_kv *kv = pair_find(g, CHARS_KEY);
    size_t at = (size_t)(kv - g->head.kv), n = 0;
    uint8_t *out = own(g, (size_t)kv->n * 3 / 4 + 3);
    uint32_t bits = 0, have = 0;
    if (!out) return false;
    for (uint64_t i = 0; i < kv->n; i++) {
        str s = item_at(g, kv, i);
        int v = s.n == 1 ? base64_of(s.p[0]) : -1;
        if (s.n == 1 && s.p[0] == '=') break;
        if (v < 0) return true; /* no such list: the tokenizer says what is wrong with it */
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[n++] = (uint8_t)(bits >> have);
    }
    free(g->head.str_index[at]);
    g->head.str_index[at] = NULL;
    g->head.kv_bytes[at] = n;
    kv->elem = GGUF_U8;
    kv->n = n;
    kv->data = out;
    return true;
}

/* ---- the table ---- */

/* The first row that fits counts. */
static const form forms[] = {
    {"gptoss", "gpt-oss", NULL, NULL, gpt_oss_tensors, gpt_oss_mend},
    {"gemma3", "gemma-embedding", gemma3_embeds, NULL, NULL, NULL}, /* no Gemma that talks */
    {"gemma3", "gemma3", gemma3_is, gemma3_keys, NULL, gemma3_mend},
    {"qwen25vl", "qwen2", NULL, NULL, NULL, qwen2_mend},
    {"qwen2vl", "qwen2", NULL, NULL, NULL, qwen2_mend},
    {"qwen3vl", "qwen3", NULL, NULL, NULL, qwen3_mend},
    {"qwen3vlmoe", "qwen3moe", NULL, NULL, NULL, qwen3moe_mend},
    {"mistral3", "llama", mistral3_is, NULL, NULL, mistral3_mend},
    {"llama", "llama", llama3_is, NULL, NULL, llama3_mend},
    {"bert", "bert", letters_is, NULL, NULL, letters_mend},
};

static const form *form_of(const gguf *g) {
    str arch = text_at(pair_find(g, ARCH_KEY));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (str_eq(arch, str_of(forms[i].arch)) && (!forms[i].is || forms[i].is(g)))
            return &forms[i];
    return NULL;
}

bool gguf_forms_apply(gguf *g, err *e) {
    const form *f = form_of(g);
    if (!f) return true;
    g->form = f->arch;
    bool other = strcmp(f->arch, f->plain) != 0;
    if (keys_rename(g, f) && tensors_rename(g, f) && (!other || text_set(g, ARCH_KEY, f->plain)) &&
        (!f->mend || f->mend(g)))
        return true;
    return err_set(e, ERR_NO_FIT, "%s: no memory for its metadata", gguf_path(g));
}

const char *gguf_form(const gguf *g) {
    return g->form;
}

bool gguf_form_may(str arch) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (str_eq(arch, str_of(forms[i].arch))) return true;
    return false;
}
