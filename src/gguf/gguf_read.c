/* Reading one part's header: a cursor that cannot leave the file, and a function per production of
 * the format. Nothing is trusted: a count is believed only when the bytes that are left can hold so
 * many items, so memory stays in proportion to the file whatever it claims.
 */
#include "gguf/gguf_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/limits.h"
#include "quant/quant.h"

typedef struct cursor {
    const gguf_part *part;
    uint64_t at; /* never past part->size */
    err *e;
} cursor;

bool gguf_damaged(err *e, const gguf_part *p, const uint8_t *where, const char *fmt, ...) {
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    /* The end of a long path tells more than its beginning, and the fault must not be cut off. */
    size_t n = strlen(p->path), keep = 200;
    const char *tail = n > keep ? p->path + n - keep : p->path;
    return err_set(e, ERR_DAMAGED, "%s%s: byte %llu: %s", n > keep ? "..." : "", tail,
                   (unsigned long long)(where - p->data), what);
}

static const uint8_t *here(const cursor *c) {
    return c->part->data + c->at;
}
static uint64_t left(const cursor *c) {
    return c->part->size - c->at;
}

/* n bytes at the cursor, or NULL and a message. */
static const uint8_t *take(cursor *c, uint64_t n, const char *what) {
    if (n > left(c)) {
        gguf_damaged(c->e, c->part, here(c),
                     "the file ends inside %s: %llu bytes needed, %llu left", what,
                     (unsigned long long)n, (unsigned long long)left(c));
        return NULL;
    }
    const uint8_t *p = here(c);
    c->at += n;
    return p;
}

static bool take_u32(cursor *c, uint32_t *out, const char *what) {
    const uint8_t *p = take(c, 4, what);
    if (!p) return false;
    *out = gguf_load_u32(p);
    return true;
}

static bool take_u64(cursor *c, uint64_t *out, const char *what) {
    const uint8_t *p = take(c, 8, what);
    if (!p) return false;
    *out = gguf_load_u64(p);
    return true;
}

static bool take_str(cursor *c, str *out, uint64_t max, const char *what) {
    const uint8_t *start = here(c);
    uint64_t n;
    if (!take_u64(c, &n, what)) return false;
    if (n > max)
        return gguf_damaged(c->e, c->part, start,
                            "the length of %s is %llu bytes; at most %llu are allowed", what,
                            (unsigned long long)n, (unsigned long long)max);
    const uint8_t *p = take(c, n, what);
    if (!p) return false;
    *out = (str){(const char *)p, (size_t)n};
    return true;
}

/* A count of things that take at least min_bytes each. */
static bool take_count(cursor *c, uint64_t *out, uint64_t max, uint64_t min_bytes,
                       const char *what) {
    const uint8_t *start = here(c);
    uint64_t n;
    if (!take_u64(c, &n, what)) return false;
    if (n > max)
        return gguf_damaged(c->e, c->part, start, "%s is %llu; at most %llu are allowed", what,
                            (unsigned long long)n, (unsigned long long)max);
    if (n > left(c) / min_bytes)
        return gguf_damaged(c->e, c->part, start,
                            "%s is %llu, more than the rest of the file can hold", what,
                            (unsigned long long)n);
    *out = n;
    return true;
}

static bool take_type(cursor *c, uint32_t *out, const char *what) {
    const uint8_t *start = here(c);
    uint32_t t;
    if (!take_u32(c, &t, what)) return false;
    if (t > GGUF_F64)
        return gguf_damaged(c->e, c->part, start,
                            "%s is %u, which no version of the format defines", what, t);
    *out = t;
    return true;
}

uint32_t gguf_scalar_bytes(uint32_t type) {
    static const uint8_t bytes[] = {[GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
                                    [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
                                    [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8};
    return type < sizeof bytes ? bytes[type] : 0;
}

/* n scalars in a row. A bool is one byte of 0 or 1; the format calls anything else invalid. */
static bool read_scalars(cursor *c, uint32_t type, uint64_t n) {
    const uint8_t *p = take(c, n * gguf_scalar_bytes(type), "a value");
    if (!p) return false;
    if (type != GGUF_BOOL) return true;
    for (uint64_t i = 0; i < n; i++)
        if (p[i] > 1) return gguf_damaged(c->e, c->part, p + i, "a bool is %u", p[i]);
    return true;
}

/* Strings of an array; `index`, when given, has room for n offsets from the first one. */
static bool read_strings(cursor *c, uint64_t n, uint64_t *index) {
    uint64_t first = c->at;
    for (uint64_t i = 0; i < n; i++) {
        str s;
        if (index) index[i] = c->at - first;
        if (!take_str(c, &s, LIMIT_GGUF_STRING_BYTES, "a string of an array")) return false;
    }
    return true;
}

/* Element type and length of an array: the twelve bytes before its items. */
static bool read_array_head(cursor *c, uint32_t *elem, uint64_t *n) {
    if (!take_type(c, elem, "the element type of an array")) return false;
    uint32_t min = gguf_scalar_bytes(*elem);
    if (min == 0) min = *elem == GGUF_STRING ? 8 : 12;
    return take_count(c, n, LIMIT_GGUF_ARRAY_ITEMS, min, "the length of an array");
}

/* Items of an array whose head has been read. Recursion is as deep as LIMIT_GGUF_ARRAY_DEPTH. */
static bool read_items(cursor *c, uint32_t elem, uint64_t n, int depth, uint64_t *index) {
    if (elem == GGUF_STRING) return read_strings(c, n, index);
    if (elem != GGUF_ARRAY) return read_scalars(c, elem, n);
    if (depth >= LIMIT_GGUF_ARRAY_DEPTH)
        return gguf_damaged(c->e, c->part, here(c), "arrays are nested more than %d deep",
                            LIMIT_GGUF_ARRAY_DEPTH);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t inner;
        uint64_t inner_n;
        if (!read_array_head(c, &inner, &inner_n)) return false;
        if (!read_items(c, inner, inner_n, depth + 1, NULL)) return false;
    }
    return true;
}

static bool read_value(cursor *c, gguf_kv *kv, uint64_t **index) {
    kv->n = 1;
    kv->elem = kv->type;
    if (kv->type == GGUF_STRING) {
        str s;
        kv->offset = c->at;
        kv->data = here(c);
        return take_str(c, &s, LIMIT_GGUF_STRING_BYTES, "a string");
    }
    if (kv->type == GGUF_ARRAY) {
        uint32_t elem;
        if (!read_array_head(c, &elem, &kv->n)) return false;
        kv->elem = (gguf_type)elem;
        if (elem == GGUF_STRING && kv->n) {
            /* Eight bytes an entry, as many as the string's own length takes in the file. */
            *index = malloc((size_t)kv->n * sizeof **index);
            if (!*index)
                return err_set(c->e, ERR_NO_FIT, "%s: no memory for its metadata", c->part->path);
        }
        kv->offset = c->at;
        kv->data = here(c);
        return read_items(c, elem, kv->n, 1, *index);
    }
    kv->offset = c->at;
    kv->data = here(c);
    return read_scalars(c, kv->type, 1);
}

static bool read_pairs(cursor *c, gguf_head *h) {
    for (uint64_t i = 0; i < h->n_kv; i++) {
        gguf_kv *kv = &h->kv[i];
        uint32_t type;
        if (!take_str(c, &kv->key, LIMIT_GGUF_KEY_BYTES, "a key")) return false;
        if (!take_type(c, &type, "the type of a value")) return false;
        kv->type = (gguf_type)type;
        if (!read_value(c, kv, &h->str_index[i])) {
            char key[96];
            if (c->e) {
                size_t n = strlen(c->e->msg);
                snprintf(c->e->msg + n, sizeof c->e->msg - n, " (key \"%s\")",
                         str_printable(kv->key, key, sizeof key));
            }
            return false;
        }
        h->kv_bytes[i] = c->at - kv->offset;
    }
    return true;
}

static bool check_alignment(cursor *c, gguf_head *h) {
    h->alignment = GGUF_ALIGNMENT_DEFAULT;
    const gguf_kv *kv = gguf_head_find(h, "general.alignment");
    if (!kv) return true;
    uint64_t a;
    if (!gguf_scalar_u64(kv->data, kv->type, &a) || kv->type == GGUF_BOOL)
        return gguf_damaged(c->e, c->part, kv->data, "general.alignment is not a whole number");
    if (a < LIMIT_GGUF_ALIGN_MIN || a > LIMIT_GGUF_ALIGN_MAX || (a & (a - 1)))
        return gguf_damaged(c->e, c->part, kv->data,
                            "general.alignment is %llu; it must be a power of two from %d to %d",
                            (unsigned long long)a, LIMIT_GGUF_ALIGN_MIN, LIMIT_GGUF_ALIGN_MAX);
    h->alignment = (uint32_t)a;
    return true;
}

/* Shape and type give the size; all in checked arithmetic. */
static bool check_shape(cursor *c, gguf_tensor *t, const uint8_t *shape_at,
                        const uint8_t *type_at) {
    char name[96];
    str_printable(t->name, name, sizeof name);
    const quant_info *q = quant_info_of(t->type);
    if (!q) {
        gguf_damaged(c->e, c->part, type_at,
                     "tensor \"%s\" has type %u, which Hearth does not read%s", name, t->type,
                     t->type == 4 ? ": the MXFP4 of early files of Ollama's library; gpt-oss is "
                                    "at hf.co/ggml-org/gpt-oss-20b-GGUF in the usual form"
                                  : "");
        /* A number that the format defines is no damage, only beyond us. */
        if (c->e && t->type < QUANT_TYPE_END) c->e->code = ERR_FAILED;
        return false;
    }
    uint64_t n = 1;
    for (uint32_t d = 0; d < t->n_dims; d++) {
        if (t->ne[d] == 0 || t->ne[d] > LIMIT_TENSOR_DIM)
            return gguf_damaged(c->e, c->part, shape_at + 8 * d,
                                "axis %u of tensor \"%s\" has %llu elements", d, name,
                                (unsigned long long)t->ne[d]);
        if (!mul_u64(n, t->ne[d], &n))
            return gguf_damaged(c->e, c->part, shape_at, "the size of tensor \"%s\" overflows",
                                name);
    }
    if (t->ne[0] % q->block)
        return gguf_damaged(c->e, c->part, shape_at,
                            "tensor \"%s\" has rows of %llu elements, no multiple of %s's %u", name,
                            (unsigned long long)t->ne[0], q->name, q->block);
    if (!quant_bytes(t->type, n, &t->size_bytes))
        return gguf_damaged(c->e, c->part, shape_at, "the size of tensor \"%s\" overflows", name);
    return true;
}

static bool read_tensor(cursor *c, gguf_tensor *t) {
    if (!take_str(c, &t->name, LIMIT_GGUF_NAME_BYTES, "a tensor's name")) return false;
    const uint8_t *dims_at = here(c);
    if (!take_u32(c, &t->n_dims, "a tensor's number of axes")) return false;
    if (t->n_dims < 1 || t->n_dims > GGUF_MAX_DIMS)
        return gguf_damaged(c->e, c->part, dims_at, "a tensor has %u axes; 1 to %d are allowed",
                            t->n_dims, GGUF_MAX_DIMS);
    const uint8_t *shape_at = here(c);
    for (uint32_t d = 0; d < GGUF_MAX_DIMS; d++) t->ne[d] = 1;
    for (uint32_t d = 0; d < t->n_dims; d++)
        if (!take_u64(c, &t->ne[d], "a tensor's shape")) return false;
    const uint8_t *type_at = here(c);
    if (!take_u32(c, &t->type, "a tensor's type")) return false;
    if (!check_shape(c, t, shape_at, type_at)) return false;
    return take_u64(c, &t->file_offset,
                    "a tensor's offset"); /* still relative to the data section */
}

/* The data section begins at the first aligned byte after the header. */
static bool place_tensors(cursor *c, gguf_head *h) {
    uint64_t base;
    if (!align_u64(c->at, h->alignment, &base)) base = UINT64_MAX;
    for (uint64_t i = 0; i < h->n_tensors; i++) {
        gguf_tensor *t = &h->tensors[i];
        const uint8_t *record = (const uint8_t *)t->name.p - 8;
        uint64_t start, end;
        char name[96];
        str_printable(t->name, name, sizeof name);
        if (t->file_offset % h->alignment)
            return gguf_damaged(c->e, c->part, record,
                                "the offset of tensor \"%s\", %llu, is not a multiple of %u", name,
                                (unsigned long long)t->file_offset, h->alignment);
        if (!add_u64(base, t->file_offset, &start) || !add_u64(start, t->size_bytes, &end) ||
            end > c->part->size)
            return gguf_damaged(
                c->e, c->part, record,
                "the data of tensor \"%s\" (%llu bytes from byte %llu of the data section) reach "
                "past the end of the file, %llu bytes",
                name, (unsigned long long)t->size_bytes, (unsigned long long)t->file_offset,
                (unsigned long long)c->part->size);
        t->file_offset = start;
        t->data = c->part->data + start;
    }
    return true;
}

static bool read_version(cursor *c, uint32_t *version) {
    const uint8_t *magic = take(c, 4, "the magic number");
    if (!magic) return false;
    if (memcmp(magic, GGUF_MAGIC, 4) != 0)
        return gguf_damaged(c->e, c->part, magic, "this is not a GGUF file");
    const uint8_t *at = here(c);
    if (!take_u32(c, version, "the version")) return false;
    if (*version && (*version & 0xffff) == 0)
        return gguf_damaged(c->e, c->part, at,
                            "the file is big endian (version %u); Hearth reads little endian",
                            __builtin_bswap32(*version));
    if (*version != 2 && *version != 3)
        return gguf_damaged(c->e, c->part, at, "GGUF version %u; Hearth reads versions 2 and 3",
                            *version);
    return true;
}

bool gguf_head_read(gguf_head *h, const gguf_part *p, uint32_t part, err *e) {
    cursor c = {.part = p, .e = e};
    *h = (gguf_head){0};
    uint64_t n_tensors, n_kv;
    if (!read_version(&c, &h->version)) return false;
    if (!take_count(&c, &n_tensors, LIMIT_GGUF_TENSORS, GGUF_TENSOR_MIN_BYTES,
                    "the number of tensors") ||
        !take_count(&c, &n_kv, LIMIT_GGUF_KV, GGUF_KV_MIN_BYTES, "the number of metadata pairs"))
        return false;
    /* One more than needed, so that an empty list is not NULL. */
    h->n_kv = n_kv;
    h->kv = calloc((size_t)n_kv + 1, sizeof *h->kv);
    h->kv_bytes = calloc((size_t)n_kv + 1, sizeof *h->kv_bytes);
    h->str_index = calloc((size_t)n_kv + 1, sizeof *h->str_index);
    h->tensors = calloc((size_t)n_tensors + 1, sizeof *h->tensors);
    if (!h->kv || !h->kv_bytes || !h->str_index || !h->tensors) {
        err_set(e, ERR_NO_FIT, "%s: no memory for its metadata", p->path);
        goto fail;
    }
    if (!read_pairs(&c, h) || !check_alignment(&c, h)) goto fail;
    for (; h->n_tensors < n_tensors; h->n_tensors++) {
        gguf_tensor *t = &h->tensors[h->n_tensors];
        t->part = part;
        if (!read_tensor(&c, t)) goto fail;
    }
    if (!place_tensors(&c, h)) goto fail;
    return true;
fail:
    gguf_head_deinit(h);
    return false;
}

void gguf_head_deinit(gguf_head *h) {
    if (h->str_index)
        for (uint64_t i = 0; i < h->n_kv; i++) free(h->str_index[i]);
    free(h->str_index);
    free(h->kv_bytes);
    free(h->kv);
    free(h->tensors);
    *h = (gguf_head){0};
}

const gguf_kv *gguf_head_find(const gguf_head *h, const char *key) {
    str k = str_of(key);
    for (uint64_t i = 0; i < h->n_kv; i++)
        if (str_eq(h->kv[i].key, k)) return &h->kv[i];
    return NULL;
}
