/* Opening a tokenizer: the keys of the file, checked, and the accessors. */
#include "tok/tok_private.h"

#include "base/limits.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool tok_oom(err *e) {
    return err_set(e, ERR_FAILED, "out of memory");
}

bool tok_damaged(err *e, const gguf *g, const char *key, int64_t item, const char *fmt, ...) {
    char what[300], where[32] = "", which[32] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const gguf_kv *kv = gguf_find(g, key);
    if (kv) snprintf(where, sizeof where, " byte %llu:", (unsigned long long)kv->offset);
    if (item >= 0) snprintf(which, sizeof which, "[%lld]", (long long)item);
    return err_set(e, ERR_DAMAGED, "%s:%s %s%s: %s", gguf_path(g), where, key, which, what);
}

#define TOKENS_KEY "tokenizer.ggml.tokens"

/* ---- lists of ids ---- */

void tok_ids_deinit(tok_ids *ids) {
    free(ids->id);
    *ids = (tok_ids){0};
}

bool tok_ids_push(tok_ids *ids, int32_t id) {
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap + ids->cap / 2 : 64;
        int32_t *bigger = realloc(ids->id, cap * sizeof *bigger);
        if (!bigger) return false;
        ids->id = bigger;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return true;
}

/* ---- code point -> id ---- */

bool cp_map_init(cp_map *m, size_t n) {
    size_t slots = 64;
    while (slots < n * 2) slots *= 2;
    *m = (cp_map){malloc(slots * sizeof *m->cp), malloc(slots * sizeof *m->id),
                  (uint32_t)(slots - 1)};
    if (m->cp) memset(m->cp, 0xff, slots * sizeof *m->cp);
    return m->cp && m->id;
}

void cp_map_deinit(cp_map *m) {
    free(m->cp);
    free(m->id);
    *m = (cp_map){0};
}

static uint32_t cp_slot(const cp_map *m, uint32_t cp) {
    uint32_t at = cp * 0x9e3779b1u >> 7 & m->mask;
    while (m->cp[at] != cp && m->cp[at] != UINT32_MAX) at = (at + 1) & m->mask;
    return at;
}

void cp_map_put(cp_map *m, uint32_t cp, int32_t id) {
    uint32_t at = cp_slot(m, cp);
    m->cp[at] = cp;
    m->id[at] = id;
}

int32_t cp_map_get(const cp_map *m, uint32_t cp) {
    uint32_t at = cp_slot(m, cp);
    return m->cp[at] == cp ? m->id[at] : -1;
}

/* ---- texts ---- */

static uint64_t text_hash(str s) {
    uint64_t h = 0;
    for (size_t i = 0; i < s.n; i++) h = text_hash_step(h, (unsigned char)s.p[i]);
    return h;
}

str tok_text(const tok *t, int32_t id) {
    if (id < 0 || id >= t->n) return STR("");
    return (str){t->texts + t->text_at[id], t->text_at[id + 1] - t->text_at[id]};
}

int32_t tok_find_hashed(const tok *t, str text, uint64_t hash) {
    uint32_t at = (uint32_t)text_hash_mix(hash) & t->by_text_mask;
    for (; t->by_text[at] >= 0; at = (at + 1) & t->by_text_mask)
        if (str_eq(tok_text(t, t->by_text[at]), text)) return t->by_text[at];
    return -1;
}

int32_t tok_find(const tok *t, str text) {
    return text.n && text.n <= t->longest ? tok_find_hashed(t, text, text_hash(text)) : -1;
}

static bool texts_copy(tok *t, const gguf *g, const gguf_kv *kv, err *e) {
    uint64_t bytes = 0;
    for (int32_t i = 0; i < t->n; i++) {
        str s;
        if (!gguf_item_str(kv, g, (uint64_t)i, &s) || s.n > LIMIT_TOKEN_BYTES) {
            return tok_damaged(e, g, TOKENS_KEY, i, "longer than %d bytes", LIMIT_TOKEN_BYTES);
        }
        bytes += s.n;
        if (s.n > t->longest) t->longest = (uint32_t)s.n;
    }
    if (bytes > INT32_MAX) return tok_damaged(e, g, TOKENS_KEY, -1, "over 2 GB of text");
    t->texts = malloc(bytes + 1);
    t->text_at = malloc(((size_t)t->n + 1) * sizeof *t->text_at);
    if (!t->texts || !t->text_at) return tok_oom(e);
    uint32_t at = 0;
    for (int32_t i = 0; i < t->n; i++) {
        str s = {"", 0};
        gguf_item_str(kv, g, (uint64_t)i, &s);
        t->text_at[i] = at;
        memcpy(t->texts + at, s.p, s.n);
        at += (uint32_t)s.n;
    }
    t->text_at[t->n] = at;
    return true;
}

/* Empty texts are place-holders and can be many; any other text names one token. */
static bool texts_index(tok *t, const gguf *g, err *e) {
    size_t slots = 64;
    while (slots < (size_t)t->n * 2) slots *= 2;
    t->by_text = malloc(slots * sizeof *t->by_text);
    if (!t->by_text) return tok_oom(e);
    memset(t->by_text, 0xff, slots * sizeof *t->by_text);
    t->by_text_mask = (uint32_t)(slots - 1);
    for (int32_t i = 0; i < t->n; i++) {
        str s = tok_text(t, i);
        if (!s.n) continue;
        uint32_t at = (uint32_t)text_hash_mix(text_hash(s)) & t->by_text_mask;
        for (; t->by_text[at] >= 0; at = (at + 1) & t->by_text_mask) {
            if (!str_eq(tok_text(t, t->by_text[at]), s)) continue;
            char shown[64];
            return tok_damaged(e, g, TOKENS_KEY, -1, "%d and %d are both '%s'", t->by_text[at], i,
                               str_printable(s, shown, sizeof shown));
        }
        t->by_text[at] = i;
    }
    return true;
}

static bool tokens_read(tok *t, const gguf *g, err *e) {
    const gguf_kv *kv = gguf_find(g, TOKENS_KEY);
    if (!kv || kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING || !kv->n) {
        return tok_damaged(e, g, TOKENS_KEY, -1, "no list of texts");
    }
    if (kv->n > LIMIT_VOCAB) {
        return tok_damaged(e, g, TOKENS_KEY, -1, "%llu tokens, at most %d",
                           (unsigned long long)kv->n, LIMIT_VOCAB);
    }
    t->n = (int32_t)kv->n;
    return texts_copy(t, g, kv, e) && texts_index(t, g, e);
}

/* An optional array beside the tokens must be as long as they are. */
static bool beside_tokens(const tok *t, const gguf *g, const char *key, const gguf_kv **kv,
                          err *e) {
    *kv = gguf_find(g, key);
    if (!*kv || ((*kv)->type == GGUF_ARRAY && (*kv)->n == (uint64_t)t->n)) return true;
    return tok_damaged(e, g, key, -1, "not a list of %d items, one a token", t->n);
}

static bool types_read(tok *t, const gguf *g, err *e) {
    const gguf_kv *kv;
    if (!beside_tokens(t, g, "tokenizer.ggml.token_type", &kv, e)) return false;
    t->attr = malloc((size_t)t->n);
    if (!t->attr) return tok_oom(e);
    memset(t->attr, TOK_NORMAL, (size_t)t->n);
    for (int32_t i = 0; kv && i < t->n; i++) {
        int64_t v;
        if (!gguf_item_i64(kv, (uint64_t)i, &v) || v < 0 || v > TOK_BYTE) {
            return tok_damaged(e, g, "tokenizer.ggml.token_type", i, "no token type");
        }
        t->attr[i] = v ? (uint8_t)v : TOK_NORMAL;
    }
    return true;
}

static bool scores_read(tok *t, const gguf *g, err *e) {
    const gguf_kv *kv;
    if (!beside_tokens(t, g, "tokenizer.ggml.scores", &kv, e)) return false;
    if (!kv) {
        if (t->kind != KIND_SPM && t->kind != KIND_UNIGRAM) return true;
        return tok_damaged(e, g, "tokenizer.ggml.scores", -1, "missing, and '%s' needs them",
                           t->model);
    }
    t->score = malloc((size_t)t->n * sizeof *t->score);
    if (!t->score) return tok_oom(e);
    for (int32_t i = 0; i < t->n; i++) {
        double v;
        if (!gguf_item_f64(kv, (uint64_t)i, &v) || !isfinite(v)) {
            return tok_damaged(e, g, "tokenizer.ggml.scores", i, "no finite number");
        }
        t->score[i] = (float)v;
    }
    return true;
}

/* ---- which tokenizer ---- */

static bool is_char_pre(str pre_name) { /* merges over characters, though the file says "gpt2" */
    return str_eq(pre_name, STR("gemma4")) || str_eq(pre_name, STR("granite-embed-multi-311m")) ||
           str_eq(pre_name, STR("sarvam-moe"));
}

static bool kind_read(tok *t, const gguf *g, err *e) {
    static const struct {
        const char *name;
        tok_kind kind;
    } kinds[] = {{"gpt2", KIND_BYTES},
                 {"gemma4", KIND_CHARS},
                 {"llama", KIND_SPM},
                 {"bert", KIND_WORDPIECE},
                 {"t5", KIND_UNIGRAM}};
    str model, pre_name = {"", 0};
    if (!gguf_get_str(g, "tokenizer.ggml.model", &model) || str_eq(model, STR("none")) ||
        str_eq(model, STR("no_vocab"))) {
        return err_set(e, ERR_FAILED, "the file has no tokenizer (tokenizer.ggml.model)");
    }
    size_t k = 0, n_kinds = sizeof kinds / sizeof *kinds;
    while (k < n_kinds && !str_eq(model, str_of(kinds[k].name))) k++;
    if (k == n_kinds) {
        char shown[64];
        return err_set(e, ERR_FAILED,
                       "unknown tokenizer model '%s'; known: gpt2 gemma4 llama bert t5",
                       str_printable(model, shown, sizeof shown));
    }
    t->kind = kinds[k].kind;
    memcpy(t->model, model.p, model.n);
    gguf_get_str(g, "tokenizer.ggml.pre", &pre_name);
    if (t->kind == KIND_BYTES && is_char_pre(pre_name)) t->kind = KIND_CHARS;
    str_printable(pre_name, t->pre, sizeof t->pre);
    if (t->kind != KIND_BYTES) return true;

    pre_traits traits;
    t->splitter = pre_open(pre_name.n ? pre_name : STR("default"), &traits, e);
    t->ignore_merges = t->splitter && traits.ignore_merges;
    t->add_bos = t->splitter && traits.adds_bos;
    return t->splitter != NULL;
}

/* ---- special tokens ---- */

/* The id under a key; what stands in *id stays when the key is absent. Minus one means none. */
static bool id_read(const tok *t, const gguf *g, const char *key, int32_t *id, err *e) {
    int64_t v;
    if (!gguf_find(g, key)) {
        if (*id >= t->n) *id = -1; /* a family's default that this vocabulary lacks */
        return true;
    }
    /* 32 bits of ones are how some writers say "none" */
    if (!gguf_get_i64(g, key, &v) || (v != -1 && v != UINT32_MAX && (v < 0 || v >= t->n))) {
        return tok_damaged(e, g, key, -1, "no id of the %d tokens", t->n);
    }
    *id = v == UINT32_MAX ? -1 : (int32_t)v;
    return true;
}

static bool ids_read(tok *t, const gguf *g, err *e) {
    bool spm = t->kind == KIND_SPM, bert = t->kind == KIND_WORDPIECE, t5 = t->kind == KIND_UNIGRAM;
    t->bos = spm ? 1 : bert ? 101 : -1;
    t->eos = spm ? 2 : t5 ? 1 : -1;
    t->unk = spm ? 0 : bert ? 100 : t5 ? 2 : -1;
    t->sep = bert ? 102 : -1;
    if (bert && !id_read(t, g, "tokenizer.ggml.cls_token_id", &t->bos, e)) return false;
    if (!id_read(t, g, "tokenizer.ggml.bos_token_id", &t->bos, e) ||
        !id_read(t, g, "tokenizer.ggml.eos_token_id", &t->eos, e) ||
        !id_read(t, g, "tokenizer.ggml.unknown_token_id", &t->unk, e) ||
        !id_read(t, g, "tokenizer.ggml.seperator_token_id", &t->sep,
                 e) /* so the format spells it */) {
        return false;
    }
    if ((bert || t5) && t->unk < 0) {
        return tok_damaged(e, g, "tokenizer.ggml.unknown_token_id", -1, "missing, '%s' needs it",
                           t->model);
    }
    return true;
}

static bool flags_read(tok *t, const gguf *g, err *e) {
    bool spm = t->kind == KIND_SPM, bert = t->kind == KIND_WORDPIECE;
    t->space_prefix = spm;
    t->lowercase = true;
    if (spm || bert || t->kind == KIND_CHARS) t->add_bos = true;
    t->add_sep = bert;
    t->add_eos = t->kind == KIND_UNIGRAM;
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &t->add_bos);
    gguf_get_bool(g, "tokenizer.ggml.add_eos_token", &t->add_eos);
    if (bert) gguf_get_bool(g, "tokenizer.ggml.add_sep_token", &t->add_sep);
    gguf_get_bool(g, "tokenizer.ggml.add_space_prefix", &t->space_prefix);
    gguf_get_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &t->squeeze_spaces);
    gguf_get_bool(g, "tokenizer.ggml.normalizer.lowercase", &t->lowercase);
    t->strip_accents = t->lowercase;
    gguf_get_bool(g, "tokenizer.ggml.normalizer.strip_accents", &t->strip_accents);
    if (t->bos < 0) t->add_bos = false;
    if (t->eos < 0) t->add_eos = false;
    if (t->sep < 0) t->add_sep = false;

    static const char map_key[] = "tokenizer.ggml.precompiled_charsmap";
    const gguf_kv *kv = gguf_find(g, map_key);
    if (!kv || (t->kind != KIND_UNIGRAM && !spm)) return true;
    if (kv->type != GGUF_ARRAY || (kv->elem != GGUF_I8 && kv->elem != GGUF_U8)) {
        return tok_damaged(e, g, map_key, -1, "not a list of bytes");
    }
    if (!kv->n) return true;
    if (!charsmap_check(kv->data, (size_t)kv->n))
        return tok_damaged(e, g, map_key, -1,
                           "%llu bytes hold no table with its replacement strings",
                           (unsigned long long)kv->n);
    t->chars_map = charsmap_new(kv->data, (size_t)kv->n);
    return t->chars_map || tok_oom(e);
}

/* A byte token reads "<0x0A>". */
int tok_byte_value(str s) {
    if (s.n != 6 || memcmp(s.p, "<0x", 3) || s.p[5] != '>') return -1;
    int v = 0;
    for (int i = 3; i < 5; i++) {
        char c = s.p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

static bool bytes_find(tok *t, const gguf *g, err *e) {
    int found = 0;
    memset(t->byte_id, 0xff, sizeof t->byte_id);
    for (int32_t i = 0; i < t->n; i++) {
        int b = tok_byte_value(tok_text(t, i));
        if (b < 0 && t->attr[i] == TOK_BYTE) {
            return tok_damaged(e, g, TOKENS_KEY, i, "a byte token without a byte");
        }
        if (b < 0 || (t->attr[i] != TOK_BYTE && t->kind != KIND_CHARS)) continue;
        if (t->byte_id[b] < 0) found++;
        t->byte_id[b] = i;
    }
    t->has_bytes = found == 256;
    return true;
}

/* ---- open and close ---- */

static bool tables_build(tok *t, const gguf *g, err *e) {
    switch (t->kind) {
    case KIND_BYTES:
        if (!tok_build_bytelevel(t, g, e)) return false;
        break;
    case KIND_CHARS:
        if (!bytes_find(t, g, e) || !tok_build_chars(t, g, e)) return false;
        break;
    case KIND_SPM:
        if (!bytes_find(t, g, e) || !tok_build_spm(t, e)) return false;
        break;
    case KIND_UNIGRAM:
        if (!bytes_find(t, g, e)) return false;
        /* fall through */
    case KIND_WORDPIECE:
        if (!tok_build_words(t, e)) return false;
        break;
    }
    return tok_build_special(t, e) && tok_build_pieces(t, e);
}

tok *tok_open(const gguf *g, err *e) {
    tok *t = calloc(1, sizeof *t);
    if (!t) {
        tok_oom(e);
        return NULL;
    }
    if (kind_read(t, g, e) && tokens_read(t, g, e) && types_read(t, g, e) && scores_read(t, g, e) &&
        ids_read(t, g, e) && flags_read(t, g, e)) {
        str name = {"", 0}, arch = {"", 0};
        gguf_get_str(g, "general.name", &name);
        gguf_get_str(g, "general.architecture", &arch);
        if (tok_find_ends(t, g, e) && tok_set_strip(t, name, arch, e) && tables_build(t, g, e))
            return t;
    }
    tok_close(t);
    if (e && e->code != ERR_DAMAGED) err_wrap(e, "%s", gguf_path(g)); /* else it is said already */
    return NULL;
}

void tok_close(tok *t) {
    if (!t) return;
    free(t->texts);
    free(t->text_at);
    free(t->pieces);
    free(t->piece_at);
    free(t->attr);
    free(t->strip);
    free(t->score);
    free(t->by_text);
    free(t->ends);
    merge_table_deinit(&t->merges);
    cp_map_deinit(&t->chars);
    trie_deinit(&t->special);
    trie_deinit(&t->words);
    pre_close(t->splitter);
    charsmap_free(t->chars_map);
    free(t);
}

/* ---- accessors ---- */

int32_t tok_n_vocab(const tok *t) {
    return t->n;
}
const char *tok_model(const tok *t) {
    return t->model;
}
const char *tok_pre(const tok *t) {
    return t->pre;
}
int32_t tok_bos(const tok *t) {
    return t->bos;
}
int32_t tok_eos(const tok *t) {
    return t->eos;
}
int32_t tok_unk(const tok *t) {
    return t->unk;
}
bool tok_adds_bos(const tok *t) {
    return t->add_bos;
}
bool tok_adds_eos(const tok *t) {
    return t->add_eos || t->add_sep;
}

tok_attr tok_attr_of(const tok *t, int32_t id) {
    return id < 0 || id >= t->n ? TOK_UNUSED : (tok_attr)t->attr[id];
}

const int32_t *tok_ends(const tok *t, size_t *n) {
    *n = t->n_ends;
    return t->ends;
}

bool tok_is_end(const tok *t, int32_t id) {
    for (size_t i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id) return true;
    return false;
}
