/* What tells one model from another, at the price of reading a few pages of each tensor. */
#include <sodium.h>

#include "kern/kern.h"
#include "model/model_private.h"

#define ARITHMETIC 3 /* raised when kern.h says something new of how numbers are rounded */
#define SAMPLE 4096  /* bytes at the beginning, the middle and the end of a tensor */

static void add(crypto_generichash_state *s, const void *p, size_t n) {
    crypto_generichash_update(s, p, n);
}

static void add_number(crypto_generichash_state *s, uint64_t v) {
    add(s, &v, sizeof v);
}

static void add_str(crypto_generichash_state *s, str x) {
    add_number(s, x.n);
    add(s, x.p, x.n);
}

static void add_tensor(crypto_generichash_state *s, const gguf_tensor *t) {
    uint64_t last = t->size_bytes > SAMPLE ? t->size_bytes - SAMPLE : 0;
    uint64_t n = t->size_bytes < SAMPLE ? t->size_bytes : SAMPLE;
    add_str(s, t->name);
    add_number(s, t->type);
    add(s, t->ne, sizeof t->ne);
    add(s, t->data, (size_t)n);
    add(s, (const char *)t->data + last / 2, (size_t)n);
    add(s, (const char *)t->data + last, (size_t)n);
}

static void add_pair(crypto_generichash_state *s, const gguf *g, const gguf_kv *kv) {
    char key[256];
    str text;
    double number;
    add_str(s, kv->key);
    add_number(s, kv->type);
    add_number(s, kv->n);
    if (kv->key.n >= sizeof key) return;
    memcpy(key, kv->key.p, kv->key.n);
    key[kv->key.n] = 0;
    if (gguf_get_str(g, key, &text)) add_str(s, text);
    else if (gguf_get_f64(g, key, &number)) add(s, &number, sizeof number);
}

void model_fingerprint(const model *m, uint8_t out[MODEL_FINGERPRINT]) {
    crypto_generichash_state s;
    crypto_generichash_init(&s, NULL, 0, MODEL_FINGERPRINT);
    for (uint64_t i = 0; i < gguf_n_kv(m->g); i++) add_pair(&s, m->g, gguf_kv_at(m->g, i));
    for (uint64_t i = 0; i < gguf_n_tensors(m->g); i++) add_tensor(&s, gguf_tensor_at(m->g, i));
    for (int i = 0; i < m->pl.n_ropes; i++) { /* these depend on the context that was asked for */
        add_number(&s, (uint64_t)m->rope[i].n_rot);
        add(&s, m->rope[i].freq, (size_t)m->rope[i].n_rot / 2 * sizeof *m->rope[i].freq);
    }
    add_str(&s, str_of(kern_get()->name));
    add_number(&s, ARITHMETIC);
    add_number(&s, m->w.map_bytes); /* weights as floats are another arithmetic */
    crypto_generichash_final(&s, out, MODEL_FINGERPRINT);
}
