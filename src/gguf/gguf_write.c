/* Writing GGUF version 3: the header gathers in memory until the first data byte. */
#include "gguf/gguf_write.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/limits.h"
#include "gguf/gguf_private.h"
#include "quant/quant.h"

#define HEADER_MAX_BYTES (4ull << 30)

struct gguf_writer {
    file_new *file;
    buf pairs, records;
    uint64_t n_kv, n_tensors;
    uint64_t *size_bytes; /* [n_tensors, room for cap] */
    uint64_t cap;
    uint64_t offset; /* of the next tensor in the data section */
    uint32_t alignment;
    bool has_header;       /* nothing can be put any more */
    uint64_t tensor, done; /* the tensor whose bytes come next, and how many of it are written */
    err first;             /* the first failure; everything after it does nothing */
};

gguf_writer *gguf_writer_open(const char *path, err *e) {
    gguf_writer *w = calloc(1, sizeof *w);
    if (!w) {
        err_set(e, ERR_NO_FIT, "%s: no memory to write it", path);
        return NULL;
    }
    buf_init(&w->pairs, HEADER_MAX_BYTES);
    buf_init(&w->records, HEADER_MAX_BYTES);
    w->alignment = GGUF_ALIGNMENT_DEFAULT;
    w->file = file_new_open(path, 0666, e);
    if (w->file) return w;
    gguf_writer_abort(w);
    return NULL;
}

void gguf_writer_abort(gguf_writer *w) {
    if (!w) return;
    file_new_abort(w->file);
    buf_deinit(&w->pairs);
    buf_deinit(&w->records);
    free(w->size_bytes);
    free(w);
}

/* ---- Metadata ---- */

static void put_u32_raw(buf *b, uint32_t v) {
    buf_append(b, &v, sizeof v);
}
static void put_u64_raw(buf *b, uint64_t v) {
    buf_append(b, &v, sizeof v);
}
static void put_str_raw(buf *b, str s) {
    put_u64_raw(b, s.n);
    buf_put_str(b, s);
}

static bool may_put(gguf_writer *w, const char *what) {
    if (w->first.code) return false;
    if (w->has_header)
        return err_set(&w->first, ERR_FAILED, "%s put after the first tensor data", what);
    return true;
}

/* Key and type; the value follows. */
static bool begin_pair(gguf_writer *w, str key, gguf_type type) {
    if (!may_put(w, "metadata")) return false;
    put_str_raw(&w->pairs, key);
    put_u32_raw(&w->pairs, (uint32_t)type);
    w->n_kv++;
    return true;
}

static void put_scalar(gguf_writer *w, const char *key, gguf_type type, const void *v) {
    if (begin_pair(w, str_of(key), type))
        buf_append(&w->pairs, v, gguf_scalar_bytes((uint32_t)type));
}

static bool begin_array(gguf_writer *w, const char *key, gguf_type elem, uint64_t n) {
    if (!begin_pair(w, str_of(key), GGUF_ARRAY)) return false;
    put_u32_raw(&w->pairs, (uint32_t)elem);
    put_u64_raw(&w->pairs, n);
    return true;
}

/* The alignment decides where the data go, so the writer must hear of it however it is put. */
static void note_alignment(gguf_writer *w, str key, uint64_t v) {
    if (!str_eq(key, STR("general.alignment"))) return;
    if (v < LIMIT_GGUF_ALIGN_MIN || v > LIMIT_GGUF_ALIGN_MAX || (v & (v - 1)))
        err_set(&w->first, ERR_FAILED, "an alignment of %llu cannot be written",
                (unsigned long long)v);
    else if (w->n_tensors) err_set(&w->first, ERR_FAILED, "general.alignment put after a tensor");
    else w->alignment = (uint32_t)v;
}

void gguf_put_u32(gguf_writer *w, const char *key, uint32_t v) {
    put_scalar(w, key, GGUF_U32, &v);
    if (!w->first.code) note_alignment(w, str_of(key), v);
}
void gguf_put_u64(gguf_writer *w, const char *key, uint64_t v) {
    put_scalar(w, key, GGUF_U64, &v);
    if (!w->first.code) note_alignment(w, str_of(key), v);
}
void gguf_put_i32(gguf_writer *w, const char *key, int32_t v) {
    put_scalar(w, key, GGUF_I32, &v);
    if (!w->first.code) note_alignment(w, str_of(key), (uint64_t)v);
}
void gguf_put_f32(gguf_writer *w, const char *key, float v) {
    put_scalar(w, key, GGUF_F32, &v);
}
void gguf_put_bool(gguf_writer *w, const char *key, bool v) {
    uint8_t byte = v;
    put_scalar(w, key, GGUF_BOOL, &byte);
}
void gguf_put_str(gguf_writer *w, const char *key, str v) {
    if (begin_pair(w, str_of(key), GGUF_STRING)) put_str_raw(&w->pairs, v);
}
void gguf_put_strs(gguf_writer *w, const char *key, const str *v, uint64_t n) {
    if (!begin_array(w, key, GGUF_STRING, n)) return;
    for (uint64_t i = 0; i < n; i++) put_str_raw(&w->pairs, v[i]);
}
void gguf_put_i32s(gguf_writer *w, const char *key, const int32_t *v, uint64_t n) {
    if (begin_array(w, key, GGUF_I32, n)) buf_append(&w->pairs, v, (size_t)n * sizeof *v);
}
void gguf_put_f32s(gguf_writer *w, const char *key, const float *v, uint64_t n) {
    if (begin_array(w, key, GGUF_F32, n)) buf_append(&w->pairs, v, (size_t)n * sizeof *v);
}

void gguf_put_kv(gguf_writer *w, const gguf *from, const gguf_kv *kv) {
    uint64_t v;
    if (str_starts(kv->key, STR("split."))) return; /* what is written here is whole */
    if (!begin_pair(w, kv->key, kv->type)) return;
    if (kv->type == GGUF_ARRAY) {
        put_u32_raw(&w->pairs, (uint32_t)kv->elem);
        put_u64_raw(&w->pairs, kv->n);
    }
    buf_append(&w->pairs, kv->data, (size_t)gguf_kv_bytes(from, kv));
    if (gguf_scalar_u64(kv->data, kv->type, &v)) note_alignment(w, kv->key, v);
}

/* ---- Tensors ---- */

static bool grow_sizes(gguf_writer *w) {
    if (w->n_tensors < w->cap) return true;
    uint64_t cap = w->cap ? 2 * w->cap : 64;
    uint64_t *p = realloc(w->size_bytes, (size_t)cap * sizeof *p);
    if (!p) return err_set(&w->first, ERR_NO_FIT, "no memory for the list of tensors");
    w->size_bytes = p;
    w->cap = cap;
    return true;
}

void gguf_put_tensor(gguf_writer *w, str name, uint32_t type, uint32_t n_dims, const uint64_t *ne) {
    if (!may_put(w, "a tensor") || !grow_sizes(w)) return;
    uint64_t n = 1, bytes = 0, end = 0;
    const quant_info *q = quant_info_of(type);
    bool ok = q && n_dims >= 1 && n_dims <= GGUF_MAX_DIMS && ne[0] % q->block == 0;
    for (uint32_t d = 0; ok && d < n_dims; d++) ok = ne[d] > 0 && mul_u64(n, ne[d], &n);
    ok = ok && quant_bytes(type, n, &bytes) && add_u64(w->offset, bytes, &end) &&
         align_u64(end, w->alignment, &end);
    if (!ok) {
        char text[96];
        err_set(&w->first, ERR_FAILED, "tensor \"%s\" has a type or shape that cannot be written",
                str_printable(name, text, sizeof text));
        return;
    }
    put_str_raw(&w->records, name);
    put_u32_raw(&w->records, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) put_u64_raw(&w->records, ne[d]);
    put_u32_raw(&w->records, type);
    put_u64_raw(&w->records, w->offset);
    w->size_bytes[w->n_tensors++] = bytes;
    w->offset = end;
}

static bool emit(gguf_writer *w, const void *p, size_t n) {
    return file_new_write(w->file, p, n, &w->first);
}

/* Zeros up to the next aligned byte after n bytes. */
static bool emit_padding(gguf_writer *w, uint64_t n) {
    static const uint8_t zeros[LIMIT_GGUF_ALIGN_MAX];
    return emit(w, zeros, (size_t)(-n & (w->alignment - 1)));
}

static bool emit_header(gguf_writer *w) {
    if (w->has_header || w->first.code) return !w->first.code;
    if (w->pairs.failed || w->records.failed)
        return err_set(&w->first, ERR_NO_FIT, "the metadata are too large");
    uint32_t version = 3;
    uint64_t n = 4 + sizeof version + sizeof w->n_tensors + sizeof w->n_kv + w->pairs.len +
                 w->records.len;
    uint64_t all = n;
    for (uint64_t i = 0; i < w->n_tensors; i++) all += w->size_bytes[i] + w->alignment;
    w->has_header = true;
    if (!file_new_expect(w->file, all, &w->first)) return false;
    return emit(w, GGUF_MAGIC, 4) && emit(w, &version, sizeof version) &&
           emit(w, &w->n_tensors, sizeof w->n_tensors) && emit(w, &w->n_kv, sizeof w->n_kv) &&
           emit(w, w->pairs.data, w->pairs.len) && emit(w, w->records.data, w->records.len) &&
           emit_padding(w, n);
}

void gguf_write_data(gguf_writer *w, const void *p, size_t n) {
    const uint8_t *at = p;
    if (!emit_header(w)) return;
    while (n > 0) {
        if (w->tensor == w->n_tensors) {
            err_set(&w->first, ERR_FAILED, "more data than the declared tensors hold");
            return;
        }
        uint64_t size = w->size_bytes[w->tensor], room = size - w->done;
        size_t piece = n < room ? n : (size_t)room;
        if (!emit(w, at, piece)) return;
        at += piece;
        n -= piece;
        w->done += piece;
        if (w->done < size) continue;
        if (!emit_padding(w, size)) return;
        w->tensor++;
        w->done = 0;
    }
}

/* Reads the finished file back: what was put together wrongly (a key twice, a wild string length)
 * is found before anything stands under the name. */
static bool verify(gguf_writer *w) {
    if (!file_new_flush(w->file, &w->first)) return false;
    gguf *g = gguf_open(file_new_path(w->file), &w->first);
    if (!g) return err_wrap(&w->first, "the written file does not read back");
    gguf_close(g);
    return true;
}

bool gguf_writer_close(gguf_writer *w, err *e) {
    bool ok = emit_header(w);
    if (ok && w->tensor < w->n_tensors)
        ok = err_set(&w->first, ERR_FAILED, "tensor %llu of %llu lacks %llu bytes",
                     (unsigned long long)w->tensor, (unsigned long long)w->n_tensors,
                     (unsigned long long)(w->size_bytes[w->tensor] - w->done));
    ok = ok && verify(w);
    if (!ok) {
        if (e) *e = w->first;
    } else {
        file_new *f = w->file;
        w->file = NULL;
        ok = file_new_commit(f, e);
    }
    gguf_writer_abort(w);
    return ok;
}
