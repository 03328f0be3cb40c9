#include "hub/imatrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/limits.h"
#include "gguf/gguf_write.h"
#include "quant/quant.h"

typedef struct entry {
    char *name;
    size_t name_n;
    uint64_t n, mats;
    float *sum;   /* [mats][n] of squares */
    float *count; /* [mats] rows */
} entry;

struct imatrix {
    entry *entry;
    size_t n, cap;
    uint32_t chunks, chunk_size;
    char dataset[256];
};

imatrix *imatrix_new(void) {
    return calloc(1, sizeof(imatrix));
}

void imatrix_free(imatrix *im) {
    if (!im) return;
    for (size_t i = 0; i < im->n; i++) {
        free(im->entry[i].name);
        free(im->entry[i].sum);
        free(im->entry[i].count);
    }
    free(im->entry);
    free(im);
}

static entry *entry_find(const imatrix *im, str name) {
    for (size_t i = 0; i < im->n; i++)
        if (im->entry[i].name_n == name.n && memcmp(im->entry[i].name, name.p, name.n) == 0)
            return &im->entry[i];
    return NULL;
}

/* A new one, all zero; NULL: out of memory. */
static entry *entry_add(imatrix *im, str name, uint64_t n, uint64_t mats) {
    uint64_t values, bytes;
    if (!mul_u64(n, mats, &values) || !mul_u64(values, sizeof(float), &bytes)) return NULL;
    if (im->n == im->cap) {
        size_t cap = im->cap ? 2 * im->cap : 64;
        entry *more = realloc(im->entry, cap * sizeof *more);
        if (!more) return NULL;
        im->entry = more;
        im->cap = cap;
    }
    entry it = {.name_n = name.n, .n = n, .mats = mats};
    it.name = malloc(name.n + 1);
    it.sum = calloc((size_t)values, sizeof(float));
    it.count = calloc((size_t)mats, sizeof(float));
    if (!it.name || !it.sum || !it.count) {
        free(it.name);
        free(it.sum);
        free(it.count);
        return NULL;
    }
    memcpy(it.name, name.p, name.n);
    it.name[name.n] = 0;
    im->entry[im->n] = it;
    return &im->entry[im->n++];
}

bool imatrix_add(imatrix *im, str name, uint64_t n, uint64_t mats, uint64_t mat, const float *x,
                 err *e) {
    entry *it = entry_find(im, name);
    if (!it) it = entry_add(im, name, n, mats);
    if (!it) return err_set(e, ERR_NO_FIT, "out of memory for the importance matrix");
    float *sum = it->sum + mat * n;
    for (uint64_t i = 0; i < n; i++) sum[i] += x[i] * x[i];
    it->count[mat] += 1.0f;
    return true;
}

void imatrix_about(imatrix *im, const char *dataset, uint32_t chunks, uint32_t chunk_size) {
    snprintf(im->dataset, sizeof im->dataset, "%s", dataset);
    im->chunks = chunks;
    im->chunk_size = chunk_size;
}

/* ---- writing ---- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(entry *const *)a)->name, (*(entry *const *)b)->name);
}

bool imatrix_save(const imatrix *im, const char *path, err *e) {
    const entry **sorted = malloc((im->n + 1) * sizeof *sorted);
    if (!sorted) return err_set(e, ERR_NO_FIT, "out of memory for the importance matrix");
    for (size_t i = 0; i < im->n; i++) sorted[i] = &im->entry[i];
    qsort(sorted, im->n, sizeof *sorted, by_name);
    gguf_writer *w = gguf_writer_open(path, e);
    if (!w) {
        free(sorted);
        return false;
    }
    const str dataset = str_of(im->dataset);
    gguf_put_str(w, "general.type", STR("imatrix"));
    gguf_put_strs(w, "imatrix.datasets", &dataset, 1);
    gguf_put_u32(w, "imatrix.chunk_count", im->chunks);
    gguf_put_u32(w, "imatrix.chunk_size", im->chunk_size);
    for (size_t i = 0; i < im->n; i++) {
        char name[LIMIT_GGUF_NAME_BYTES + 16];
        const entry *it = sorted[i];
        const uint64_t sums[] = {it->n, it->mats}, counts[] = {1, it->mats};
        snprintf(name, sizeof name, "%s.in_sum2", it->name);
        gguf_put_tensor(w, str_of(name), QUANT_F32, 2, sums);
        snprintf(name, sizeof name, "%s.counts", it->name);
        gguf_put_tensor(w, str_of(name), QUANT_F32, 2, counts);
    }
    for (size_t i = 0; i < im->n; i++) {
        const entry *it = sorted[i];
        gguf_write_data(w, it->sum, (size_t)(it->n * it->mats) * sizeof(float));
        gguf_write_data(w, it->count, (size_t)it->mats * sizeof(float));
    }
    free(sorted);
    return gguf_writer_close(w, e);
}

/* ---- reading ---- */

static bool values_check(const entry *it, const char *name, err *e) {
    for (uint64_t i = 0; i < it->n * it->mats; i++)
        if (!isfinite(it->sum[i]) || it->sum[i] < 0)
            return err_set(e, ERR_DAMAGED, "%s: %.80s: sum %llu is no sum of squares", name,
                           it->name, (unsigned long long)i);
    for (uint64_t i = 0; i < it->mats; i++)
        if (!isfinite(it->count[i]) || it->count[i] < 0)
            return err_set(e, ERR_DAMAGED, "%s: %.80s: count %llu is no number of rows", name,
                           it->name, (unsigned long long)i);
    return true;
}

/* Tensor t, NAME.in_sum2, and its counts. */
static bool read_pair(imatrix *im, const gguf *g, const gguf_tensor *t, const char *name, err *e) {
    char key[LIMIT_GGUF_NAME_BYTES + 16];
    str base = {t->name.p, t->name.n - strlen(".in_sum2")};
    snprintf(key, sizeof key, "%.*s.counts", STR_ARG(base));
    const gguf_tensor *counts = gguf_tensor_find(g, key);
    uint64_t mats = t->n_dims > 1 ? t->ne[1] : 1;
    if (!counts || counts->type != QUANT_F32 || t->type != QUANT_F32 || t->n_dims > 2 ||
        counts->size_bytes != mats * sizeof(float))
        return err_set(e, ERR_DAMAGED, "%s: %.80s: has no counts, one for each of %llu matrices",
                       name, key, (unsigned long long)mats);
    if (t->ne[0] == 0 || mats == 0 || entry_find(im, base))
        return err_set(e, ERR_DAMAGED, "%s: %.80s: is empty or there twice", name, key);
    entry *it = entry_add(im, base, t->ne[0], mats);
    if (!it) return err_set(e, ERR_NO_FIT, "%s: out of memory", name);
    memcpy(it->sum, t->data, (size_t)t->size_bytes);
    memcpy(it->count, counts->data, (size_t)counts->size_bytes);
    return values_check(it, name, e);
}

static bool read_gguf(imatrix *im, const gguf *g, const char *name, err *e) {
    uint64_t chunks = 0, size = 0;
    const gguf_kv *sets = gguf_find(g, "imatrix.datasets");
    str set = {0};
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (str_ends(t->name, STR(".in_sum2")) && !read_pair(im, g, t, name, e)) return false;
    }
    if (im->n == 0)
        return err_set(e, ERR_USAGE,
                       "%s: is no importance matrix: it holds no sums (hearth imatrix makes one)",
                       name);
    gguf_get_u64(g, "imatrix.chunk_count", &chunks);
    gguf_get_u64(g, "imatrix.chunk_size", &size);
    if (sets) gguf_item_str(sets, g, 0, &set);
    snprintf(im->dataset, sizeof im->dataset, "%.*s", STR_ARG(set));
    im->chunks = chunks > UINT32_MAX ? UINT32_MAX : (uint32_t)chunks;
    im->chunk_size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    return true;
}

/* The older form, little endian: i32 entries; of each i32 length and name, i32 calls, i32 values,
 * float sums; then, in later files, i32 chunks, i32 length and name of the text. The sums are means
 * times calls. Experts stand one after another, and the name does not say how many: they are told
 * apart when a tensor asks. */
typedef struct old_reader {
    const uint8_t *p;
    size_t n, at;
} old_reader;

static bool old_take(old_reader *r, size_t n, const uint8_t **p) {
    if (n > r->n - r->at) return false;
    *p = r->p + r->at;
    r->at += n;
    return true;
}

static bool old_i32(old_reader *r, int32_t *v) {
    const uint8_t *p;
    if (!old_take(r, 4, &p)) return false;
    *v = (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                   (uint32_t)p[3] << 24);
    return true;
}

static bool old_entry(imatrix *im, old_reader *r, const char *name, err *e) {
    int32_t len, calls, n;
    const uint8_t *key, *values;
    size_t began = r->at;
    if (!old_i32(r, &len) || len <= 0 || len > LIMIT_GGUF_NAME_BYTES ||
        !old_take(r, (size_t)len, &key) || memchr(key, 0, (size_t)len) || !old_i32(r, &calls) ||
        calls < 0 || !old_i32(r, &n) || n <= 0 || !old_take(r, (size_t)n * sizeof(float), &values))
        return err_set(e, ERR_DAMAGED,
                       "%s: byte %zu: no name, number of calls and list of sums is here", name,
                       began);
    str base = {(const char *)key, (size_t)len};
    entry *it = entry_find(im, base) ? NULL : entry_add(im, base, (uint64_t)n, 1);
    if (!it) return err_set(e, ERR_DAMAGED, "%s: byte %zu: a name that was there", name, began);
    memcpy(it->sum, values, (size_t)n * sizeof(float));
    it->count[0] = (float)calls;
    return values_check(it, name, e);
}

static bool read_old(imatrix *im, const void *data, size_t n, const char *name, err *e) {
    old_reader r = {.p = data, .n = n};
    int32_t entries, chunks, len;
    const uint8_t *text;
    if (!old_i32(&r, &entries) || entries <= 0 || entries > LIMIT_GGUF_TENSORS)
        return err_set(e, ERR_USAGE, "%s: is no importance matrix (hearth imatrix makes one)",
                       name);
    for (int32_t i = 0; i < entries; i++)
        if (!old_entry(im, &r, name, e)) return false;
    if (!old_i32(&r, &chunks) || chunks < 0 || !old_i32(&r, &len) || len < 0 ||
        !old_take(&r, (size_t)len, &text))
        return true; /* the first of these files end here */
    im->chunks = (uint32_t)chunks;
    snprintf(im->dataset, sizeof im->dataset, "%.*s", len > 200 ? 200 : len, (const char *)text);
    return true;
}

imatrix *imatrix_read(const void *data, size_t n, const char *name, err *e) {
    imatrix *im = imatrix_new();
    bool ok = false;
    if (!im) {
        err_set(e, ERR_NO_FIT, "out of memory");
    } else if (n >= 4 && memcmp(data, "GGUF", 4) == 0) {
        gguf *g = gguf_open_memory(data, n, name, e);
        ok = g && read_gguf(im, g, name, e);
        gguf_close(g);
    } else {
        ok = read_old(im, data, n, name, e);
    }
    if (ok) return im;
    imatrix_free(im);
    return NULL;
}

imatrix *imatrix_open(const char *path, err *e) {
    file_map m;
    if (!file_map_open(&m, path, e)) return NULL;
    imatrix *im = imatrix_read(m.data, (size_t)m.size, path, e);
    file_map_close(&m);
    return im;
}

/* ---- what is asked ---- */

size_t imatrix_n(const imatrix *im) {
    return im->n;
}

uint32_t imatrix_chunks(const imatrix *im) {
    return im->chunks;
}

const char *imatrix_dataset(const imatrix *im) {
    return im->dataset;
}

bool imatrix_has(const imatrix *im, str name) {
    return entry_find(im, name) != NULL;
}

bool imatrix_importance(const imatrix *im, str name, uint64_t n, uint64_t mats, float *out,
                        err *e) {
    const entry *it = entry_find(im, name);
    if (!it) return false;
    bool same = it->n == n && it->mats == mats;
    bool old_experts = it->mats == 1 && it->n % n == 0 && it->n / n == mats;
    if (!same && !old_experts)
        return err_set(e, ERR_USAGE,
                       "the importance matrix has %llu x %llu sums for %.80s, which has %llu "
                       "columns and %llu matrices: it is of another model",
                       (unsigned long long)it->n, (unsigned long long)it->mats, it->name,
                       (unsigned long long)n, (unsigned long long)mats);
    for (uint64_t m = 0; m < mats; m++, out += n) {
        const float *sum = it->sum + m * n;
        double total = 0;
        for (uint64_t i = 0; i < n; i++) total += (double)sum[i];
        double mean = total / (double)n;
        /* The count is the same for all columns: it goes with the mean. None is worth nothing. */
        for (uint64_t i = 0; i < n; i++)
            out[i] = mean > 0 ? (float)fmin(fmax((double)sum[i] / mean, 1e-4), 1e6) : 1.0f;
    }
    return true;
}
