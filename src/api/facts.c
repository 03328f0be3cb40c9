/* Facts about model files, and a small table of those that were read. */
#include "api/facts.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "hub/find.h"
#include "hub/mix.h"
#include "prompt/chat.h"
#include "quant/quant.h"

enum { KEPT = 1024 }; /* as many as a folder may have */

typedef struct kept_facts {
    char *path;
    int64_t changed_ns; /* of the file */
    uint64_t bytes;
    facts f;
} kept_facts;

struct facts_cache {
    pthread_mutex_t lock; /* guards all below */
    kept_facts *kept;     /* [n] */
    size_t n;
};

facts_cache *facts_cache_new(void) {
    facts_cache *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->kept = calloc(KEPT, sizeof *c->kept);
    if (!c->kept) {
        free(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void facts_cache_free(facts_cache *c) {
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) free(c->kept[i].path);
    pthread_mutex_destroy(&c->lock);
    free(c->kept);
    free(c);
}

/* ---- reading ---- */

gguf *facts_open(const char *path, err *e) {
    hub_model m;
    if (!hub_find(&m, path, e)) return NULL;
    return m.data ? gguf_open_memory(m.data, m.n, path, e) : gguf_open(path, e);
}

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

static void hash_str(crypto_hash_sha256_state *h, str s) {
    uint64_t n = s.n;
    crypto_hash_sha256_update(h, (const unsigned char *)&n, sizeof n);
    if (s.n) crypto_hash_sha256_update(h, (const unsigned char *)s.p, s.n);
}

static void hash_value(crypto_hash_sha256_state *h, const gguf *g, const gguf_kv *kv) {
    static const uint8_t size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}; /* by gguf_type */
    gguf_type type = kv->type == GGUF_ARRAY ? kv->elem : kv->type;
    uint64_t n = kv->type == GGUF_ARRAY ? kv->n : 1;
    str s;
    crypto_hash_sha256_update(h, (const unsigned char *)&n, sizeof n);
    if (kv->type == GGUF_ARRAY && type == GGUF_STRING)
        for (uint64_t i = 0; i < n && gguf_item_str(kv, g, i, &s); i++) hash_str(h, s);
    else if ((size_t)type < sizeof size && size[type])
        crypto_hash_sha256_update(h, kv->data, n * size[type]);
}

static void read_identity(const gguf *g, facts *f) {
    crypto_hash_sha256_state h;
    unsigned char sum[crypto_hash_sha256_BYTES];
    uint64_t bytes = gguf_file_bytes(g);
    crypto_hash_sha256_init(&h);
    crypto_hash_sha256_update(&h, (const unsigned char *)&bytes, sizeof bytes);
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char key[256];
        str text;
        hash_str(&h, kv->key);
        hash_value(&h, g, kv);
        if (kv->type != GGUF_STRING || kv->key.n >= sizeof key) continue;
        snprintf(key, sizeof key, "%.*s", STR_ARG(kv->key));
        if (gguf_get_str(g, key, &text)) hash_str(&h, text);
    }
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        hash_str(&h, t->name);
        crypto_hash_sha256_update(&h, (const unsigned char *)&t->type, sizeof t->type);
        crypto_hash_sha256_update(&h, (const unsigned char *)t->ne, sizeof t->ne);
    }
    crypto_hash_sha256_final(&h, sum);
    sodium_bin2hex(f->identity, sizeof f->identity, sum, sizeof sum);
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

static bool facts_read(const char *path, facts *f, err *e) {
    gguf *g = facts_open(path, e);
    str family = STR("unknown");
    char key[96];
    uint64_t n = 0;
    if (!g) return false;
    *f = (facts){0};
    gguf_get_str(g, "general.architecture", &family);
    str_printable(family, f->family, sizeof f->family);
    snprintf(key, sizeof key, "%s.context_length", f->family);
    if (gguf_get_u64(g, key, &n) && n <= INT32_MAX) f->n_ctx_train = (int32_t)n;
    read_size(g, f);
    read_quant(g, f);
    read_identity(g, f);
    read_abilities(g, f);
    gguf_close(g);
    return true;
}

/* ---- the table ---- */

static kept_facts *kept_find(facts_cache *c, const char *path) {
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->kept[i].path, path) == 0) return &c->kept[i];
    return NULL;
}

static void kept_add(facts_cache *c, const char *path, const kept_facts *k) {
    kept_facts *old = kept_find(c, path);
    char *copy = old ? old->path : c->n < KEPT ? strdup(path) : NULL;
    if (!copy) return;
    if (!old) old = &c->kept[c->n++];
    *old = *k;
    old->path = copy;
}

bool facts_get(facts_cache *c, const char *path, facts *out, err *e) {
    struct stat st = {0};
    hub_model m;
    if (!hub_find(&m, path, e)) return false;
    if (!m.data && stat(path, &st) != 0)
        return err_set(e, ERR_NOT_FOUND, "%s is not there any more", path);
    kept_facts k = {.bytes = (uint64_t)st.st_size,
                    .changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    pthread_mutex_lock(&c->lock);
    const kept_facts *old = kept_find(c, path);
    bool known = old && old->bytes == k.bytes && old->changed_ns == k.changed_ns;
    if (known) *out = old->f;
    pthread_mutex_unlock(&c->lock);
    if (known) return true;
    if (!facts_read(path, &k.f, e)) return false;
    pthread_mutex_lock(&c->lock);
    kept_add(c, path, &k);
    pthread_mutex_unlock(&c->lock);
    *out = k.f;
    return true;
}
