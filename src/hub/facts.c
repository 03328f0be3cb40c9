/* Facts about model files. */
#include "hub/facts.h"

#include <stdio.h>

#include "hub/mix.h"
#include "prompt/chat.h"
#include "quant/quant.h"

static void read_size(const gguf *g, facts *f) {
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        uint64_t n = 1;
        for (uint32_t k = 0; k < t->n_dims; k++) n *= t->ne[k];
        f->n_params += n;
    }
    double n = (double)f->n_params;
    if (n >= 1e12) snprintf(f->size, sizeof f->size, "%.1fT", n / 1e12);
    else if (n >= 1e9) snprintf(f->size, sizeof f->size, "%.1fB", n / 1e9);
    else if (n >= 1e6) snprintf(f->size, sizeof f->size, "%.2fM", n / 1e6);
    else snprintf(f->size, sizeof f->size, "%.1fK", n / 1e3);
}

/* The mixture that the file names, else the type of most of its bytes. */
static void read_quant(const gguf *g, facts *f) {
    uint64_t number, bytes[64] = {0};
    size_t best = 0;
    if (gguf_get_u64(g, "general.file_type", &number))
        for (const mix *m = mix_all; m->name; m++)
            if (m->file_type == number) {
                snprintf(f->quant, sizeof f->quant, "%s", m->name);
                return;
            }
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (t->type < 64) bytes[t->type] += t->size_bytes;
    }
    for (size_t i = 1; i < 64; i++)
        if (bytes[i] > bytes[best]) best = i;
    const quant_info *q = quant_info_of((uint32_t)best);
    snprintf(f->quant, sizeof f->quant, "%s", q ? q->name : "unknown");
}

static void hash_str(hub_hash *h, str s) {
    uint64_t n = s.n;
    hub_hash_add(h, &n, sizeof n);
    hub_hash_add(h, s.p, s.n);
}

static void hash_value(hub_hash *h, const gguf *g, const gguf_kv *kv) {
    static const uint8_t size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}; /* by gguf_type */
    gguf_type type = kv->type == GGUF_ARRAY ? kv->elem : kv->type;
    uint64_t n = kv->type == GGUF_ARRAY ? kv->n : 1;
    str s;
    hub_hash_add(h, &n, sizeof n);
    if (kv->type == GGUF_ARRAY && type == GGUF_STRING)
        for (uint64_t i = 0; i < n && gguf_item_str(kv, g, i, &s); i++) hash_str(h, s);
    else if ((size_t)type < sizeof size && size[type]) hub_hash_add(h, kv->data, n * size[type]);
}

static void read_identity(const gguf *g, facts *f) {
    hub_hash *h = hub_hash_new(NULL);
    hub_digest sum;
    uint64_t bytes = gguf_file_bytes(g);
    if (!h) return;
    hub_hash_add(h, &bytes, sizeof bytes);
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char key[256];
        str text;
        hash_str(h, kv->key);
        hash_value(h, g, kv);
        if (kv->type != GGUF_STRING || kv->key.n >= sizeof key) continue;
        snprintf(key, sizeof key, "%.*s", STR_ARG(kv->key));
        if (gguf_get_str(g, key, &text)) hash_str(h, text);
    }
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        hash_str(h, t->name);
        hub_hash_add(h, &t->type, sizeof t->type);
        hub_hash_add(h, t->ne, sizeof t->ne);
    }
    hub_hash_end(h, &sum);
    snprintf(f->identity, sizeof f->identity, "%s", sum.hex);
}

/* Whether the vocabulary has a token for the text before a gap. */
static bool fills_in(const tok *t) {
    static const char *const names[] = {"<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>",
                                        "<PRE>",          "▁<PRE>",       "<|code_prefix|>",
                                        "<｜fim▁begin｜>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tok_find(t, str_of(names[i])) >= 0) return true;
    return false;
}

static void read_abilities(const gguf *g, facts *f) {
    char key[96];
    snprintf(key, sizeof key, "%s.pooling_type", f->family);
    f->can = gguf_find(g, key) ? FACTS_EMBEDDING : FACTS_COMPLETION;
    tok *t = tok_open(g, NULL);
    prompt_chat *p = t ? prompt_chat_open(g, t) : NULL;
    unsigned can = p ? prompt_chat_abilities(p) : 0;
    if (can & PROMPT_CAN_TOOLS) f->can |= FACTS_TOOLS;
    if (can & PROMPT_CAN_THINK) f->can |= FACTS_THINKING;
    if (t && fills_in(t)) f->can |= FACTS_INSERT;
    prompt_chat_close(p);
    tok_close(t);
}

void facts_read(const gguf *g, facts *f) {
    str family = STR("unknown");
    char key[96];
    uint64_t n = 0;
    *f = (facts){0};
    gguf_get_str(g, "general.architecture", &family);
    str_printable(family, f->family, sizeof f->family);
    snprintf(key, sizeof key, "%s.context_length", f->family);
    if (gguf_get_u64(g, key, &n) && n <= INT32_MAX) f->n_ctx_train = (int32_t)n;
    snprintf(key, sizeof key, "%s.embedding_length", f->family);
    if (gguf_get_u64(g, key, &n) && n <= INT32_MAX) f->n_embd = (int32_t)n;
    read_size(g, f);
    read_quant(g, f);
    read_identity(g, f);
    read_abilities(g, f);
}
