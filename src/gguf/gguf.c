/* Opening a model file, joining the parts of a split one, and the look-ups. */
#include "gguf/gguf.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/checked.h"
#include "base/limits.h"
#include "gguf/gguf_private.h"

/* ---- Look-up ---- */

/* Names come from strangers. A seed that they cannot know keeps them from choosing names that all
 * land in one slot; nothing that is visible depends on it. */
static uint64_t table_seed(void) {
    static uint64_t seed;
    uint64_t s = __atomic_load_n(&seed, __ATOMIC_RELAXED);
    if (s) return s;
    if (getrandom(&s, sizeof s, GRND_NONBLOCK) != (ssize_t)sizeof s) s = (uint64_t)(uintptr_t)&seed;
    s |= 1;
    /* Tables keep hashes of one seed only, so the first to arrive decides for all threads. */
    uint64_t none = 0;
    if (!__atomic_compare_exchange_n(&seed, &none, s, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        s = none;
    return s;
}

static uint64_t hash_str(str s) {
    uint64_t h = table_seed();
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        h = (h ^ gguf_load_u64((const uint8_t *)s.p + i)) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    uint64_t tail = s.n;
    for (; i < s.n; i++) tail = tail << 8 | (uint8_t)s.p[i];
    h = (h ^ tail) * 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static bool table_init(gguf_table *t, uint64_t n) {
    uint64_t cap = 8;
    while (cap < 2 * n) cap *= 2; /* n is capped by limits.h */
    t->slot = calloc((size_t)cap, sizeof *t->slot);
    t->mask = cap - 1;
    return t->slot != NULL;
}

static str key_name(const gguf *g, uint64_t i) {
    return g->head.kv[i].key;
}
static str tensor_name(const gguf *g, uint64_t i) {
    return g->head.tensors[i].name;
}

/* The slot that holds `name`, or the empty one where it belongs. */
static uint32_t *table_slot(const gguf *g, const gguf_table *t, str name,
                            str (*name_of)(const gguf *, uint64_t)) {
    uint64_t i = hash_str(name) & t->mask;
    while (t->slot[i] && !str_eq(name_of(g, t->slot[i] - 1), name)) i = (i + 1) & t->mask;
    return &t->slot[i];
}

/* Where a name stands; the beginning of the file for one that gguf_forms_apply has changed. */
static const uint8_t *name_where(const gguf_part *p, str name) {
    const uint8_t *at = (const uint8_t *)name.p;
    return at > p->data && at < p->data + p->size ? at - 8 : p->data;
}

static bool index_keys(gguf *g, err *e) {
    if (!table_init(&g->keys, g->head.n_kv))
        return err_set(e, ERR_NO_FIT, "%s: no memory for its keys", gguf_path(g));
    for (uint64_t i = 0; i < g->head.n_kv; i++) {
        str name = key_name(g, i);
        uint32_t *slot = table_slot(g, &g->keys, name, key_name);
        if (*slot) {
            char text[96];
            return gguf_damaged(e, &g->parts[0], name_where(&g->parts[0], name),
                                "the key \"%s\" occurs twice",
                                str_printable(name, text, sizeof text));
        }
        *slot = (uint32_t)i + 1;
    }
    return true;
}

static bool index_tensors(gguf *g, err *e) {
    if (!table_init(&g->names, g->head.n_tensors))
        return err_set(e, ERR_NO_FIT, "%s: no memory for its tensors", gguf_path(g));
    for (uint64_t i = 0; i < g->head.n_tensors; i++) {
        str name = tensor_name(g, i);
        uint32_t *slot = table_slot(g, &g->names, name, tensor_name);
        if (*slot) {
            char text[96];
            const gguf_part *p = &g->parts[g->head.tensors[i].part];
            return gguf_damaged(e, p, name_where(p, name), "two tensors are named \"%s\"",
                                str_printable(name, text, sizeof text));
        }
        *slot = (uint32_t)i + 1;
    }
    return true;
}

/* ---- Opening ---- */

static void part_close(gguf_part *p) {
    if (p->is_mapped) file_map_close(&p->map);
    free(p->path);
    *p = (gguf_part){0};
}

/* Takes `path` over, also on failure. */
static bool part_open(gguf_part *p, char *path, err *e) {
    *p = (gguf_part){.path = path};
    if (!path) return err_set(e, ERR_NO_FIT, "no memory to open a model");
    if (!file_map_open(&p->map, path, e)) goto fail;
    p->is_mapped = true;
    /* An empty file has no mapping; the reader still wants a pointer to compute offsets from. */
    p->data = p->map.data ? p->map.data : (const uint8_t *)"";
    p->size = p->map.size;
    return true;
fail:
    part_close(p);
    return false;
}

static uint64_t head_u64(const gguf_head *h, const char *key, uint64_t absent) {
    const gguf_kv *kv = gguf_head_find(h, key);
    uint64_t v;
    return kv && gguf_scalar_u64(kv->data, kv->type, &v) ? v : absent;
}

/* For a message about a value: where it stands, or the first byte when the key is missing. */
static const uint8_t *head_where(const gguf_head *h, const gguf_part *p, const char *key) {
    const gguf_kv *kv = gguf_head_find(h, key);
    return kv ? kv->data : p->data;
}

/* Tensors of part i go behind those that are there. */
static bool append_tensors(gguf *g, const gguf_head *h, err *e) {
    uint64_t n = g->head.n_tensors + h->n_tensors;
    if (n > LIMIT_GGUF_TENSORS)
        return err_set(e, ERR_DAMAGED, "%s: its parts have more than %d tensors", gguf_path(g),
                       LIMIT_GGUF_TENSORS);
    gguf_tensor *t = realloc(g->head.tensors, (size_t)(n + 1) * sizeof *t);
    if (!t) return err_set(e, ERR_NO_FIT, "%s: no memory for its tensors", gguf_path(g));
    memcpy(t + g->head.n_tensors, h->tensors, (size_t)h->n_tensors * sizeof *t);
    g->head.tensors = t;
    g->head.n_tensors = n;
    return true;
}

/* Opens and checks part i, whose path is set by the caller's naming. */
static bool join_part(gguf *g, uint32_t i, char *path, err *e) {
    gguf_part *p = &g->parts[i];
    if (!part_open(p, path, e)) return false;
    gguf_head h;
    if (!gguf_head_read(&h, p, i, e)) return false;
    bool ok = false;
    if (head_u64(&h, "split.count", 1) != g->n_parts)
        gguf_damaged(e, p, head_where(&h, p, "split.count"),
                     "split.count is not %u as in the other parts", g->n_parts);
    else if (head_u64(&h, "split.no", 0) != i)
        gguf_damaged(e, p, head_where(&h, p, "split.no"),
                     "split.no is not %u as the file's name says", i);
    else if (i == 0) {
        g->head = h;
        return true;
    } else {
        ok = append_tensors(g, &h, e);
    }
    gguf_head_deinit(&h);
    return ok;
}

/* `path` is one part of `count`: all are opened in order, the given one again with them. */
static bool open_split(gguf *g, const char *path, const gguf_part *given, const gguf_head *h,
                       err *e) {
    uint64_t count = head_u64(h, "split.count", 1), no = head_u64(h, "split.no", 0);
    size_t stem;
    if (count > LIMIT_GGUF_PARTS)
        return gguf_damaged(e, given, head_where(h, given, "split.count"),
                            "split.count is %llu; at most %d", (unsigned long long)count,
                            LIMIT_GGUF_PARTS);
    if (no >= count)
        return gguf_damaged(e, given, head_where(h, given, "split.no"),
                            "split.no is %llu of %llu parts", (unsigned long long)no,
                            (unsigned long long)count);
    if (!gguf_split_match(path, no, count, &stem))
        return err_set(e, ERR_NOT_FOUND,
                       "%s: this is part %llu of %llu; its name must end in -%05llu-of-%05llu.gguf "
                       "for the other "
                       "parts to be found",
                       path, (unsigned long long)no + 1, (unsigned long long)count,
                       (unsigned long long)no + 1, (unsigned long long)count);
    g->parts = calloc((size_t)count, sizeof *g->parts);
    if (!g->parts) return err_set(e, ERR_NO_FIT, "%s: no memory to open it", path);
    g->n_parts = (uint32_t)count;
    for (uint32_t i = 0; i < g->n_parts; i++)
        if (!join_part(g, i, gguf_split_path(path, stem, i, count), e)) return false;
    uint64_t total = head_u64(&g->head, "split.tensors.count", g->head.n_tensors);
    if (total != g->head.n_tensors)
        return gguf_damaged(e, &g->parts[0],
                            head_where(&g->head, &g->parts[0], "split.tensors.count"),
                            "split.tensors.count is %llu, the parts hold %llu",
                            (unsigned long long)total, (unsigned long long)g->head.n_tensors);
    return true;
}

gguf *gguf_open(const char *path, err *e) {
    gguf_part p;
    gguf_head h = {0};
    gguf *g = calloc(1, sizeof *g);
    char *copy = strdup(path);
    if (!g) free(copy);
    if (!g || !part_open(&p, copy, e)) {
        if (!g) err_set(e, ERR_NO_FIT, "%s: no memory to open it", path);
        free(g);
        return NULL;
    }
    if (!gguf_head_read(&h, &p, 0, e)) goto fail;
    if (head_u64(&h, "split.count", 1) > 1) {
        if (!open_split(g, path, &p, &h, e)) goto fail;
        gguf_head_deinit(&h);
        part_close(&p);
    } else {
        g->parts = malloc(sizeof *g->parts);
        if (!g->parts) {
            err_set(e, ERR_NO_FIT, "%s: no memory to open it", path);
            goto fail;
        }
        g->parts[0] = p;
        g->n_parts = 1;
        g->head = h;
        p = (gguf_part){0};
        h = (gguf_head){0};
    }
    if (!gguf_forms_apply(g, e) || !index_keys(g, e) || !index_tensors(g, e)) goto fail;
    return g;
fail:
    gguf_head_deinit(&h);
    part_close(&p);
    gguf_close(g);
    return NULL;
}

gguf *gguf_open_memory(const void *data, size_t n, const char *name, err *e) {
    gguf *g = calloc(1, sizeof *g);
    gguf_part *p = calloc(1, sizeof *p);
    if (!g || !p || !(p->path = strdup(name))) {
        err_set(e, ERR_NO_FIT, "%s: no memory to open it", name);
        free(p);
        free(g);
        return NULL;
    }
    p->data = n ? data : "";
    p->size = n;
    g->parts = p;
    g->n_parts = 1;
    if (!gguf_head_read(&g->head, p, 0, e)) goto fail;
    if (head_u64(&g->head, "split.count", 1) > 1) {
        gguf_damaged(e, p, head_where(&g->head, p, "split.count"),
                     "this is one part of a split model, which opens from files only");
        goto fail;
    }
    if (!gguf_forms_apply(g, e) || !index_keys(g, e) || !index_tensors(g, e)) goto fail;
    return g;
fail:
    gguf_close(g);
    return NULL;
}

void gguf_close(gguf *g) {
    if (!g) return;
    for (uint32_t i = 0; i < g->n_parts; i++) part_close(&g->parts[i]);
    free(g->parts);
    gguf_head_deinit(&g->head);
    free(g->keys.slot);
    free(g->names.slot);
    arena_free(g->own);
    free(g);
}

/* ---- Facts ---- */

const char *gguf_path(const gguf *g) {
    return g->parts[0].path;
}
uint32_t gguf_version(const gguf *g) {
    return g->head.version;
}
uint32_t gguf_alignment(const gguf *g) {
    return g->head.alignment;
}
uint64_t gguf_file_bytes(const gguf *g) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->n_parts; i++) n += g->parts[i].size;
    return n;
}

uint64_t gguf_n_kv(const gguf *g) {
    return g->head.n_kv;
}
const gguf_kv *gguf_kv_at(const gguf *g, uint64_t i) {
    return i < g->head.n_kv ? &g->head.kv[i] : NULL;
}
const gguf_kv *gguf_find(const gguf *g, const char *key) {
    uint32_t at = *table_slot(g, &g->keys, str_of(key), key_name);
    return at ? &g->head.kv[at - 1] : NULL;
}
uint64_t gguf_kv_bytes(const gguf *g, const gguf_kv *kv) {
    return g->head.kv_bytes[kv - g->head.kv];
}

bool gguf_get_u64(const gguf *g, const char *key, uint64_t *out) {
    const gguf_kv *kv = gguf_find(g, key);
    return kv && gguf_scalar_u64(kv->data, kv->type, out);
}
bool gguf_get_i64(const gguf *g, const char *key, int64_t *out) {
    const gguf_kv *kv = gguf_find(g, key);
    return kv && gguf_scalar_i64(kv->data, kv->type, out);
}
bool gguf_get_f64(const gguf *g, const char *key, double *out) {
    const gguf_kv *kv = gguf_find(g, key);
    return kv && gguf_scalar_f64(kv->data, kv->type, out);
}
bool gguf_get_bool(const gguf *g, const char *key, bool *out) {
    uint64_t v;
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv || !gguf_scalar_u64(kv->data, kv->type, &v) || v > 1) return false;
    *out = v == 1;
    return true;
}
bool gguf_get_str(const gguf *g, const char *key, str *out) {
    const gguf_kv *kv = gguf_find(g, key);
    if (!kv || kv->type != GGUF_STRING) return false;
    *out = (str){(const char *)kv->data + 8, (size_t)gguf_load_u64(kv->data)};
    return true;
}

bool gguf_item_str(const gguf_kv *kv, const gguf *g, uint64_t i, str *out) {
    if (kv->type != GGUF_ARRAY || kv->elem != GGUF_STRING || i >= kv->n) return false;
    const uint8_t *p = kv->data + g->head.str_index[kv - g->head.kv][i];
    *out = (str){(const char *)p + 8, (size_t)gguf_load_u64(p)};
    return true;
}
bool gguf_item_i64(const gguf_kv *kv, uint64_t i, int64_t *out) {
    if (kv->type != GGUF_ARRAY || i >= kv->n) return false;
    return gguf_scalar_i64(kv->data + i * gguf_scalar_bytes(kv->elem), kv->elem, out);
}
bool gguf_item_f64(const gguf_kv *kv, uint64_t i, double *out) {
    if (kv->type != GGUF_ARRAY || i >= kv->n) return false;
    return gguf_scalar_f64(kv->data + i * gguf_scalar_bytes(kv->elem), kv->elem, out);
}

uint64_t gguf_n_tensors(const gguf *g) {
    return g->head.n_tensors;
}
const gguf_tensor *gguf_tensor_at(const gguf *g, uint64_t i) {
    return i < g->head.n_tensors ? &g->head.tensors[i] : NULL;
}
const gguf_tensor *gguf_tensor_find(const gguf *g, const char *name) {
    uint32_t at = *table_slot(g, &g->names, str_of(name), tensor_name);
    return at ? &g->head.tensors[at - 1] : NULL;
}
void gguf_tensor_release(const gguf *g, const gguf_tensor *t) {
    const gguf_part *p = &g->parts[t->part];
    if (p->is_mapped) file_map_release(&p->map, t->file_offset, t->size_bytes);
}

const char *gguf_type_name(gguf_type t) {
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)t < sizeof names / sizeof names[0] ? names[t] : "unknown";
}
