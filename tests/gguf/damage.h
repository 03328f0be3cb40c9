/* Breaking a good file in every way that a header can be broken, and looking at all that still
 * opens. Header-only, so that any room's tests and fuzz targets can use it.
 *
 *     static void load(const uint8_t *p, size_t n, void *ud) {
 *         err e = {0};
 *         gguf *g = gguf_open_memory(p, n, "broken", &e);
 *         if (!g) { assert(e.code); return; }
 *         survivor_walk(g);
 *         gguf_close(g);
 *     }
 *     damage_for_each(file, n, header_bytes, load, ud);
 *
 * The callback gets each broken file in a buffer of exactly its size, so that a sanitizer sees any
 * read past its end.
 */
#ifndef HEARTH_TESTS_GGUF_DAMAGE_H
#define HEARTH_TESTS_GGUF_DAMAGE_H

#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"
#include "quant/quant.h"

typedef void (*damage_fn)(const uint8_t *file, size_t n, void *ud);

/* ---- Where the integers stand in a good header ---- */

typedef struct damage_walk {
    const uint8_t *p;
    size_t at;
    void (*field)(size_t at, size_t width, void *ud); /* of every integer, in order */
    void *ud;
} damage_walk;

static inline uint64_t damage_take(damage_walk *w, size_t width) {
    uint64_t v = 0;
    memcpy(&v, w->p + w->at, width);
    w->field(w->at, width, w->ud);
    w->at += width;
    return v;
}
static inline void damage_walk_str(damage_walk *w) {
    uint64_t n = damage_take(w, 8);
    w->at += (size_t)n;
}
static inline void damage_walk_value(damage_walk *w, uint64_t type) {
    static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == GGUF_STRING) {
        damage_walk_str(w);
    } else if (type == GGUF_ARRAY) {
        uint64_t elem = damage_take(w, 4), n = damage_take(w, 8);
        for (uint64_t i = 0; i < n; i++) damage_walk_value(w, elem);
    } else {
        damage_take(w, width[type]);
    }
}
static inline void damage_walk_header(damage_walk *w) {
    w->at = 4;
    damage_take(w, 4);
    uint64_t n_tensors = damage_take(w, 8), n_kv = damage_take(w, 8);
    for (uint64_t i = 0; i < n_kv; i++) {
        damage_walk_str(w);
        damage_walk_value(w, damage_take(w, 4));
    }
    for (uint64_t i = 0; i < n_tensors; i++) {
        damage_walk_str(w);
        uint64_t n_dims = damage_take(w, 4);
        for (uint64_t d = 0; d < n_dims; d++) damage_take(w, 8);
        damage_take(w, 4);
        damage_take(w, 8);
    }
}

/* ---- The loop ---- */

typedef struct damage_job {
    uint8_t *file;
    size_t n;
    damage_fn fn;
    void *ud;
    size_t count;
} damage_job;

static inline void damage_set_field(size_t at, size_t width, void *ud) {
    static const uint64_t values[24] = {0,
                                        1,
                                        2,
                                        3,
                                        4,
                                        7,
                                        8,
                                        31,
                                        0x7f,
                                        0x80,
                                        0xff,
                                        0x100,
                                        0x7fff,
                                        0x8000,
                                        0xffff,
                                        0x10000,
                                        0x7fffffff,
                                        0x80000000u,
                                        0xffffffffu,
                                        0x100000000u,
                                        0x1fffffffffffffffu,
                                        0x7fffffffffffffffu,
                                        0x8000000000000000u,
                                        0xffffffffffffffffu};
    damage_job *job = ud;
    uint8_t old[8];
    memcpy(old, job->file + at, width);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        memcpy(job->file + at, &values[i], width);
        job->fn(job->file, job->n, job->ud);
        job->count++;
    }
    memcpy(job->file + at, old, width);
}

/* Calls fn with the good file cut at every byte of its header, with each bit of the header flipped,
 * and with each integer of the header set to 24 boundary values. Returns how many files. */
static inline size_t damage_for_each(const uint8_t *file, size_t n, size_t header_n, damage_fn fn,
                                     void *ud) {
    damage_job job = {malloc(n), n, fn, ud, 0};
    if (!job.file) return 0;
    memcpy(job.file, file, n);
    for (size_t cut = 0; cut <= header_n && cut < n; cut++, job.count++) {
        uint8_t *part = malloc(cut ? cut : 1);
        if (!part) break;
        memcpy(part, file, cut);
        fn(part, cut, ud);
        free(part);
    }
    for (size_t bit = 0; bit < 8 * header_n; bit++, job.count++) {
        job.file[bit / 8] = (uint8_t)(job.file[bit / 8] ^ 1u << bit % 8);
        fn(job.file, n, ud);
        job.file[bit / 8] = (uint8_t)(job.file[bit / 8] ^ 1u << bit % 8);
    }
    damage_walk w = {.p = file, .field = damage_set_field, .ud = &job};
    damage_walk_header(&w);
    free(job.file);
    return job.count;
}

/* ---- What survives ---- */

static inline uint64_t survivor_sum(const void *p, uint64_t n) {
    const uint8_t *b = p;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) sum = sum * 31 + b[i];
    return sum;
}

static inline uint64_t survivor_walk_kv(const gguf *g, const gguf_kv *kv) {
    char key[512];
    uint64_t sum = survivor_sum(kv->key.p, kv->key.n), u = 0;
    int64_t i64 = 0;
    double f = 0;
    bool flag = false;
    str s = {0};
    if (kv->key.n < sizeof key) {
        memcpy(key, kv->key.p, kv->key.n);
        key[kv->key.n] = 0;
        sum += gguf_get_u64(g, key, &u);
        sum += gguf_get_i64(g, key, &i64);
        sum += gguf_get_f64(g, key, &f);
        sum += gguf_get_bool(g, key, &flag);
        if (gguf_get_str(g, key, &s)) sum += survivor_sum(s.p, s.n);
    }
    for (uint64_t i = 0; i <= kv->n; i++) { /* one too many on purpose */
        if (gguf_item_str(kv, g, i, &s)) sum += survivor_sum(s.p, s.n);
        sum += gguf_item_i64(kv, i, &i64);
        sum += gguf_item_f64(kv, i, &f);
    }
    return sum + u + (uint64_t)i64 + (f > 0) + flag + strlen(gguf_type_name(kv->type));
}

static inline uint64_t survivor_walk_tensor(const gguf *g, const gguf_tensor *t) {
    const quant_info *q = quant_info_of(t->type);
    uint64_t sum = survivor_sum(t->name.p, t->name.n) + survivor_sum(t->data, t->size_bytes);
    char name[512];
    if (t->name.n < sizeof name) {
        memcpy(name, t->name.p, t->name.n);
        name[t->name.n] = 0;
        sum += gguf_tensor_find(g, name) != NULL;
    }
    for (uint64_t at = 0; q->dequantize && at < t->size_bytes; at += q->block_bytes) {
        float block[256];
        q->dequantize((const uint8_t *)t->data + at, block, q->block);
        sum += survivor_sum(block, q->block * sizeof *block);
    }
    gguf_tensor_release(g, t);
    return sum;
}

/* Reads everything that an opened file offers: all getters on all keys, all items, all names, all
 * data, every block dequantised. Returns a sum over it, so that nothing is optimised away. */
static inline uint64_t survivor_walk(const gguf *g) {
    uint64_t sum = gguf_version(g) + gguf_alignment(g) + gguf_file_bytes(g) + strlen(gguf_path(g));
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) sum += survivor_walk_kv(g, gguf_kv_at(g, i));
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++)
        sum += survivor_walk_tensor(g, gguf_tensor_at(g, i));
    sum += gguf_kv_at(g, gguf_n_kv(g)) == NULL;
    sum += gguf_tensor_at(g, gguf_n_tensors(g)) == NULL;
    sum += gguf_find(g, "no such key") == NULL;
    return sum;
}

#endif
