/* Plans every tensor's type, sees that the place is free and large enough, then converts tensor
 * after tensor, a few million elements at a time, shared by the team. */
#include "hub/requantize.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/checked.h"
#include "gguf/gguf_write.h"

enum {
    PIECE = 8192,      /* elements that a thread takes at a time: whole blocks of every type */
    CHUNK_PIECES = 256 /* converted before they are written */
};
#define CHUNK ((uint64_t)PIECE * CHUNK_PIECES)
#define QUANTIZATION_VERSION 2 /* of the block layouts, as files name it */

/* ---- the plan ---- */

static bool is_float(uint32_t type) {
    return type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16;
}

static uint64_t elements_of(const gguf_tensor *t) {
    uint64_t n = 1;
    for (uint32_t d = 0; d < t->n_dims; d++) n *= t->ne[d]; /* checked when the file was opened */
    return n;
}

/* Types whose quantiser looks at importances. */
static bool is_weighed(uint32_t type) {
    return !is_float(type) && type != QUANT_Q8_0;
}

/* Columns and matrices of a tensor as an importance matrix counts them. */
static void shape_of(const gguf_tensor *t, uint64_t *n, uint64_t *mats) {
    *n = t->ne[0];
    *mats = t->n_dims > 2 ? t->ne[2] : 1;
}

static bool plan_tensor(const gguf_tensor *t, uint32_t to, bool fell_back,
                        const requantize_options *o, requantize_report *r, err *e) {
    uint64_t n = elements_of(t), bytes;
    char name[LIMIT_GGUF_NAME_BYTES];
    str_printable(t->name, name, sizeof name);
    if (!quant_bytes(to, n, &bytes))
        return err_set(e, ERR_FAILED, "tensor \"%s\" cannot be stored as %s", name,
                       quant_info_of(to)->name);
    if (to != t->type && !is_float(t->type) && !o->from_quantized)
        return err_set(
            e, ERR_USAGE,
            "tensor \"%s\" is %s already: converting it again loses more than converting "
            "the original; --allow-requantize does it all the same",
            name, quant_info_of(t->type)->name);
    if (o->by && to != t->type && is_weighed(to)) {
        r->n_by += imatrix_has(o->by, t->name);
        r->n_not_by += !imatrix_has(o->by, t->name);
    }
    r->tensors++;
    r->converted += to != t->type;
    r->fell_back += fell_back;
    r->fell_to[to] += fell_back;
    r->elements += n;
    r->bytes_in += t->size_bytes;
    r->bytes_out += bytes;
    r->n_of[to]++;
    r->bytes_of[to] += bytes;
    return true;
}

static bool plan(const gguf *g, const requantize_options *o, uint32_t *type, requantize_report *r,
                 err *e) {
    mix_model about;
    *r = (requantize_report){0};
    mix_model_of(&about, g);
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        bool fell_back;
        type[i] = mix_type(o->mix, &about, t, &fell_back);
        if (!plan_tensor(t, type[i], fell_back, o, r, e)) return false;
    }
    return true;
}

/* ---- the place ---- */

/* "…-00001-of-00003.gguf": what is written is one whole file, which nobody should take for a part,
 * and no part of the model that is read may be replaced. */
static bool named_like_part(const char *path) {
    str s = str_of(path);
    if (!str_ends(s, STR(".gguf")) || s.n < 20) return false;
    const char *p = s.p + s.n - 20;
    for (int i = 0; i < 15; i++) {
        bool digit = (i >= 1 && i <= 5) || i >= 10;
        if (digit ? p[i] < '0' || p[i] > '9' : p[i] != "-     -of-"[i]) return false;
    }
    return true;
}

static bool place_is_free(const gguf *g, const char *out, bool replace, err *e) {
    struct stat there, in;
    if (named_like_part(out))
        return err_set(e, ERR_USAGE, "%s: is named like a part of a split model, which it is not",
                       out);
    if (stat(out, &there) != 0) return true; /* what else is wrong, opening will say */
    if (stat(gguf_path(g), &in) == 0 && in.st_dev == there.st_dev && in.st_ino == there.st_ino)
        return err_set(e, ERR_USAGE, "%s: is the model that is read; choose another name", out);
    if (!S_ISREG(there.st_mode)) return err_set(e, ERR_FAILED, "%s: is there and no file", out);
    if (!replace) return err_set(e, ERR_FAILED, "%s: is there already; --force replaces it", out);
    return true;
}

/* Room for the tensors, and for metadata and padding of at most the size they have now. */
static bool place_is_large(const gguf *g, const char *out, const requantize_report *r, err *e) {
    const char *slash = strrchr(out, '/');
    size_t n = slash ? (size_t)(slash - out) : 0;
    char *folder = slash ? strndup(out, n ? n : 1) : strdup(".");
    struct statvfs v;
    bool known = folder && statvfs(folder, &v) == 0;
    free(folder);
    uint64_t need, free_bytes;
    if (!known || !mul_u64(v.f_bavail, v.f_frsize, &free_bytes) ||
        !add_u64(r->bytes_out, gguf_file_bytes(g) - r->bytes_in + (1 << 16), &need))
        return true;
    if (need <= free_bytes) return true;
    return err_set(e, ERR_NO_FIT, "%s: needs %.1f MB of disk, where %.1f MB are free", out,
                   (double)need / 1e6, (double)free_bytes / 1e6);
}

/* ---- metadata ---- */

static void put_metadata(gguf_writer *w, const gguf *g, const requantize_options *o) {
    const mix *m = o->mix;
    static const char file_type[] = "general.file_type";
    static const char version[] = "general.quantization_version";
    bool has_type = false, has_version = false;
    for (uint64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (str_starts(kv->key, STR("quantize.imatrix."))) continue; /* of an earlier conversion */
        if (str_eq(kv->key, str_of(file_type))) {
            gguf_put_u32(w, file_type, m->file_type);
            has_type = true;
        } else if (str_eq(kv->key, str_of(version))) {
            gguf_put_u32(w, version, QUANTIZATION_VERSION);
            has_version = true;
        } else {
            gguf_put_kv(w, g, kv);
        }
    }
    if (!has_type) gguf_put_u32(w, file_type, m->file_type);
    if (!has_version) gguf_put_u32(w, version, QUANTIZATION_VERSION);
    if (!o->by) return;
    gguf_put_str(w, "quantize.imatrix.dataset", str_of(imatrix_dataset(o->by)));
    gguf_put_u32(w, "quantize.imatrix.entries_count", (uint32_t)imatrix_n(o->by));
    gguf_put_u32(w, "quantize.imatrix.chunks_count", imatrix_chunks(o->by));
}

/* ---- tensors ---- */

typedef struct conversion {
    const quant_info *from, *to;
    const uint8_t *src;
    uint8_t *dst;
    uint64_t n;                /* elements of this chunk, whole blocks of both */
    float *piece;              /* [threads][2][PIECE]: elements, and how much they matter */
    const float *by;           /* [mats][columns], or NULL */
    uint64_t columns, per_mat; /* elements of a row and of a matrix */
    uint64_t first;            /* of this chunk, counted over the tensor */
    float largest;             /* what the type can hold */
    atomic_int not_finite, too_large;
} conversion;

/* The importance of n elements from `at` of the tensor on. */
static void importance_spread(const conversion *c, uint64_t at, uint64_t n, float *out) {
    for (uint64_t done = 0, run; done < n; done += run) {
        uint64_t i = at + done, column = i % c->columns;
        run = c->columns - column < n - done ? c->columns - column : n - done;
        memcpy(out + done, c->by + i / c->per_mat * c->columns + column, (size_t)run * sizeof *out);
    }
}

static void convert_piece(conversion *c, float *x, uint64_t at, uint64_t n) {
    float *by = c->by ? x + PIECE : NULL;
    if (by) importance_spread(c, c->first + at, n, by);
    c->from->dequantize(c->src + at / c->from->block * c->from->block_bytes, x, (int64_t)n);
    bool finite = true, small = true;
    for (uint64_t i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        small = small && !(fabsf(x[i]) > c->largest);
    }
    if (!finite) atomic_store(&c->not_finite, 1);
    else if (!small) atomic_store(&c->too_large, 1);
    c->to->quantize(x, by, c->dst + at / c->to->block * c->to->block_bytes, (int64_t)n);
}

static void convert_share(team *t, int me, void *ud) {
    conversion *c = ud;
    for (int i; (uint64_t)(i = team_next(t)) * PIECE < c->n;) {
        uint64_t at = (uint64_t)i * PIECE, left = c->n - at;
        convert_piece(c, c->piece + (size_t)me * 2 * PIECE, at, left < PIECE ? left : PIECE);
    }
}

/* One model on its way into a file. */
typedef struct job {
    const requantize_options *o;
    gguf_writer *w;
    uint8_t *chunk; /* CHUNK elements of any type */
    float *piece;
    uint64_t done, total; /* bytes read */
} job;

static bool advance(job *j, uint64_t bytes, err *e) {
    j->done += bytes;
    if (!j->o->progress || j->o->progress(j->o->progress_ud, j->done, j->total)) return true;
    return err_set(e, ERR_INTERRUPTED, "interrupted: nothing was written");
}

static bool copy_tensor(job *j, const gguf_tensor *t, err *e) {
    const uint8_t *p = t->data;
    for (uint64_t left = t->size_bytes; left > 0;) {
        uint64_t n = left < CHUNK ? left : CHUNK;
        gguf_write_data(j->w, p, (size_t)n);
        if (!advance(j, n, e)) return false;
        p += n;
        left -= n;
    }
    return true;
}

/* The importances of t's columns, the caller's to free; NULL with *ok true: there are none. */
static float *importance_of(const imatrix *by, const gguf_tensor *t, uint32_t type, bool *ok,
                            err *e) {
    uint64_t n, mats, count, bytes;
    *ok = true;
    if (!by || !is_weighed(type) || !imatrix_has(by, t->name)) return NULL;
    shape_of(t, &n, &mats);
    float *out = NULL;
    if (mul_u64(n, mats, &count) && mul_u64(count, sizeof(float), &bytes)) out = malloc(bytes);
    if (!out) *ok = err_set(e, ERR_NO_FIT, "out of memory for the importance matrix");
    else if (!imatrix_importance(by, t->name, n, mats, out, e)) {
        *ok = false;
        free(out);
        out = NULL;
    }
    return out;
}

static bool convert_chunks(job *j, conversion *c, const gguf_tensor *t, err *e) {
    uint64_t n = elements_of(t);
    for (; c->first < n; c->first += c->n) {
        c->n = n - c->first < CHUNK ? n - c->first : CHUNK;
        uint64_t read = c->n / c->from->block * c->from->block_bytes;
        team_run(j->o->team, convert_share, c);
        char name[LIMIT_GGUF_NAME_BYTES];
        if (atomic_load(&c->not_finite))
            return err_set(e, ERR_DAMAGED, "tensor \"%s\" holds values that are not finite",
                           str_printable(t->name, name, sizeof name));
        if (atomic_load(&c->too_large))
            return err_set(e, ERR_FAILED,
                           "tensor \"%s\" holds values beyond %g, which F16 cannot: choose BF16",
                           str_printable(t->name, name, sizeof name), (double)c->largest);
        gguf_write_data(j->w, c->dst, (size_t)(c->n / c->to->block * c->to->block_bytes));
        c->src += read;
        if (!advance(j, read, e)) return false;
    }
    return true;
}

static bool convert_tensor(job *j, const gguf_tensor *t, uint32_t type, err *e) {
    bool ok;
    float *by = importance_of(j->o->by, t, type, &ok, e);
    conversion c = {.from = quant_info_of(t->type),
                    .to = quant_info_of(type),
                    .by = by,
                    .columns = t->ne[0],
                    .per_mat = t->ne[0] * (t->n_dims > 1 ? t->ne[1] : 1)};
    c.src = t->data;
    c.dst = j->chunk;
    c.piece = j->piece;
    c.largest = type == QUANT_F16 ? 65504.0f : INFINITY;
    ok = ok && convert_chunks(j, &c, t, e);
    free(by);
    return ok;
}

static bool write_tensors(job *j, const gguf *g, const uint32_t *type, err *e) {
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(j->w, t->name, type[i], t->n_dims, t->ne);
    }
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        bool ok = type[i] == t->type ? copy_tensor(j, t, e) : convert_tensor(j, t, type[i], e);
        gguf_tensor_release(g, t);
        if (!ok) return false;
    }
    return true;
}

static bool write_model(const gguf *g, const char *out, const requantize_options *o,
                        const uint32_t *type, uint64_t total, err *e) {
    job j = {.o = o, .total = total};
    bool ok = false;
    j.chunk = malloc(CHUNK * sizeof(float));
    j.piece = malloc(sizeof(float) * 2 * PIECE * (size_t)team_size(o->team));
    if (!j.chunk || !j.piece) {
        err_set(e, ERR_NO_FIT, "out of memory for %.1f MB of weights", (double)CHUNK * 4e-6);
    } else if ((j.w = gguf_writer_open(out, e))) {
        put_metadata(j.w, g, o);
        ok = write_tensors(&j, g, type, e);
        if (ok) ok = gguf_writer_close(j.w, e);
        else gguf_writer_abort(j.w);
    }
    free(j.chunk);
    free(j.piece);
    return ok;
}

bool requantize(const gguf *g, const char *out, const requantize_options *o, requantize_report *r,
                err *e) {
    uint64_t n = gguf_n_tensors(g);
    if (n == 0) return err_set(e, ERR_USAGE, "%s: has no tensors, a vocabulary only", gguf_path(g));
    uint32_t *type = calloc((size_t)n, sizeof *type);
    if (!type) return err_set(e, ERR_NO_FIT, "out of memory for the list of tensors");
    bool ok = plan(g, o, type, r, e) && place_is_free(g, out, o->replace, e) &&
              place_is_large(g, out, r, e) && write_model(g, out, o, type, r->bytes_in, e);
    free(type);
    return ok;
}
