#include "model/weights.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/checked.h"
#include "model/memory.h"
#include "quant/quant.h"

#define SLICE_BYTES (2u << 20) /* packed by one thread at a time, then given back to the file */

static const kern_format *format_of(const plan_matrix *m, bool as_f32) {
    return kern_format_of(as_f32 ? (uint32_t)QUANT_F32 : m->src->type);
}

static int64_t panels_of(const plan_matrix *m) {
    return (m->n_out + KERN_ROWS - 1) / KERN_ROWS;
}

/* Walks the plan and gives every matrix and vector its place: offsets from the mapping's start are
 * written into w when that is not NULL. Returns the size, 0 on overflow. */
static uint64_t layout(weights *w, const plan *pl, bool as_f32, bool no_pack, uint64_t *offset) {
    uint64_t at = 0;
    for (int32_t i = 0; i < pl->n_matrices && !no_pack; i++) {
        const plan_matrix *m = &pl->matrix[i];
        if (m->is_mate) continue; /* placed with its partner */
        const plan_matrix *mate = m->mate == PLAN_NONE ? NULL : &pl->matrix[m->mate];
        uint64_t stride = kern_panel_bytes(format_of(m, as_f32), m->k), second = stride, n;
        if (mate) stride += kern_panel_bytes(format_of(mate, as_f32), mate->k);
        if (!mul_u64((uint64_t)panels_of(m) * (uint64_t)m->n_expert, stride, &n)) return 0;
        if (w) {
            offset[i] = at;
            w->m[i].stride = stride;
            if (mate) {
                offset[m->mate] = at + second;
                w->m[m->mate].stride = stride;
            }
        }
        if (!add_u64(at, n, &at)) return 0;
    }
    for (int32_t i = 0; i < pl->n_vectors; i++) {
        uint64_t n;
        if (w) offset[pl->n_matrices + i] = at;
        if (!align_u64((uint64_t)pl->vector[i].n * sizeof(float), 64, &n) || !add_u64(at, n, &at))
            return 0;
    }
    return at;
}

uint64_t weights_bytes(const plan *pl, bool as_f32) {
    return layout(NULL, pl, as_f32, false, NULL);
}

/* ---- packing ---- */

typedef struct pack_run {
    weights *w;
    const plan *pl;
    const gguf *g;
    const model_options *o;
    bool as_f32;
    atomic_bool failed;
    pthread_mutex_t lock; /* of done and the callback */
    uint64_t done, total;
} pack_run;

static void progress(pack_run *r, uint64_t bytes) {
    if (!r->o || !r->o->progress) return;
    pthread_mutex_lock(&r->lock);
    r->done += bytes;
    r->o->progress(r->o->progress_ud, r->done, r->total);
    pthread_mutex_unlock(&r->lock);
}

/* Gives back the pages of part of a tensor. */
static void release(const pack_run *r, const gguf_tensor *t, uint64_t from, uint64_t n) {
    gguf_tensor part = *t;
    part.data = (const char *)t->data + from;
    part.file_offset += from;
    part.size_bytes = n;
    gguf_tensor_release(r->g, &part);
}

/* 64 rows of any type as floats, then packed as F32. */
static bool pack_f32(const plan_matrix *m, const weight_matrix *wm, const uint8_t *src,
                     size_t row_bytes, int64_t row0, void *dst) {
    const quant_info *q = quant_info_of(m->src->type);
    int64_t n = m->n_out - row0 < KERN_ROWS ? m->n_out - row0 : KERN_ROWS;
    float *rows = malloc((size_t)n * (size_t)m->k * sizeof(float));
    if (!rows) return false;
    for (int64_t r = 0; r < n; r++)
        q->dequantize(src + (size_t)(row0 + r) * row_bytes, rows + r * m->k, m->k);
    kern_panel_pack(wm->f, rows, n, m->k, 0, dst);
    free(rows);
    return true;
}

/* Panels [p0, p0 + n) of one expert. */
static void pack_slice(pack_run *r, int32_t mi, int32_t expert, int64_t p0, int64_t n) {
    const plan_matrix *m = &r->pl->matrix[mi];
    const weight_matrix *wm = &r->w->m[mi];
    uint64_t row_bytes;
    if (!quant_bytes(m->src->type, (uint64_t)m->k, &row_bytes)) {
        atomic_store(&r->failed, true);
        return;
    }
    uint64_t from = ((uint64_t)expert * (uint64_t)m->n_out + (uint64_t)m->row0) * row_bytes;
    const uint8_t *src = wm->src + (size_t)expert * wm->expert_bytes;
    for (int64_t p = p0; p < p0 + n; p++) {
        uint8_t *dst = wm->base + (size_t)(expert * (int64_t)wm->n_panels + p) * wm->stride;
        if (!r->as_f32) kern_panel_pack(wm->f, src, m->n_out, m->k, p * KERN_ROWS, dst);
        else if (!pack_f32(m, wm, src, row_bytes, p * KERN_ROWS, dst))
            atomic_store(&r->failed, true);
    }
    int64_t end = (p0 + n) * KERN_ROWS < m->n_out ? (p0 + n) * KERN_ROWS : m->n_out;
    uint64_t bytes = (uint64_t)(end - p0 * KERN_ROWS) * row_bytes;
    release(r, m->src, from + (uint64_t)(p0 * KERN_ROWS) * row_bytes, bytes);
    progress(r, bytes);
}

/* Runs slice number `want` of the plan's matrices; false when there are fewer. The walk is short: a
 * model has some hundred matrices, and each caller goes on where it was. */
typedef struct slice_at {
    int32_t matrix;
    int64_t first; /* number of the matrix's first slice */
} slice_at;

static bool pack_nth(pack_run *r, slice_at *at, int64_t want) {
    for (; at->matrix < r->pl->n_matrices; at->matrix++) {
        const plan_matrix *m = &r->pl->matrix[at->matrix];
        int64_t panels = panels_of(m);
        int64_t per = (int64_t)(SLICE_BYTES / (kern_panel_bytes(r->w->m[at->matrix].f, m->k) + 1)) +
                      1;
        int64_t slices = (panels + per - 1) / per, all = slices * m->n_expert;
        if (want < at->first + all) {
            int64_t i = want - at->first, p0 = i % slices * per;
            pack_slice(r, at->matrix, (int32_t)(i / slices), p0,
                       panels - p0 < per ? panels - p0 : per);
            return true;
        }
        at->first += all;
    }
    return false;
}

static void pack_work(team *t, int me, void *ud) {
    pack_run *r = ud;
    (void)me;
    slice_at at = {0};
    while (!atomic_load(&r->failed) && pack_nth(r, &at, team_next(t))) continue;
}

static bool pack_all(pack_run *r, bool no_pack, err *e) {
    if (no_pack) {
        progress(r, r->total);
    } else if (r->o && r->o->team) {
        team_run(r->o->team, pack_work, r);
    } else {
        slice_at at = {0};
        for (int64_t i = 0; !atomic_load(&r->failed) && pack_nth(r, &at, i); i++) continue;
    }
    if (atomic_load(&r->failed))
        return err_set(e, ERR_NO_FIT, "%s: no memory while packing", gguf_path(r->g));
    for (int32_t i = 0; i < r->pl->n_vectors; i++) {
        const plan_vector *v = &r->pl->vector[i];
        const quant_info *q = quant_info_of(v->src->type);
        if (v->n % q->block)
            return err_set(e, ERR_DAMAGED,
                           "%s: tensor %.*s has %lld elements, no whole blocks of %s",
                           gguf_path(r->g), STR_ARG(v->src->name), (long long)v->n, q->name);
        const char *from = (const char *)v->src->data +
                           (size_t)v->at * sizeof(float); /* F32 unless 0 */
        q->dequantize(from, r->w->v[i], v->n);
    }
    /* The system maps more than the page that is read, also of what was given back before. */
    for (int32_t i = 0; i < r->pl->n_matrices && !no_pack; i++)
        gguf_tensor_release(r->g, r->pl->matrix[i].src);
    return true;
}

/* ---- loading ---- */

static bool fits(uint64_t need, const gguf *g, bool no_pack, err *e) {
    uint64_t have = memory_available();
    if (need <= have) return true;
    return err_set(e, ERR_NO_FIT, "%s: the weights need %.3f GB of memory, %.3f GB are available%s",
                   gguf_path(g), (double)need / 1e9, (double)have / 1e9,
                   no_pack ? "" : "; --no-pack runs from the file, slowly");
}

/* Every matrix's and vector's place; `offset` is NULL for matrices that stay in the file. */
static bool place(weights *w, const plan *pl, bool as_f32, bool no_pack, const uint64_t *offset) {
    uint8_t *base = w->map;
    for (int32_t i = 0; i < pl->n_matrices; i++) {
        const plan_matrix *m = &pl->matrix[i];
        weight_matrix *wm = &w->m[i];
        uint64_t row;
        if (!quant_bytes(m->src->type, (uint64_t)m->k, &row)) return false;
        wm->f = format_of(m, as_f32);
        wm->base = no_pack ? NULL : base + offset[i];
        wm->src = (const uint8_t *)m->src->data + (uint64_t)m->row0 * row;
        wm->expert_bytes = (size_t)row * (size_t)m->n_out;
        wm->k = m->k;
        wm->n_out = m->n_out;
        wm->n_panels = (int32_t)panels_of(m);
        wm->reads_q = kern_format_quantized_input(wm->f);
        size_t panel = kern_panel_bytes(wm->f, m->k);
        if (no_pack && panel > w->panel_bytes) w->panel_bytes = panel;
    }
    for (int32_t i = 0; i < pl->n_vectors; i++)
        w->v[i] = (float *)(void *)(base + offset[pl->n_matrices + i]);
    return true;
}

bool weights_load(weights *w, const plan *pl, const gguf *g, const model_options *o, err *e) {
    memset(w, 0, sizeof *w);
    bool as_f32 = o && o->as_f32, no_pack = o && o->no_pack && !as_f32, ok = false;
    pack_run r = {.w = w, .pl = pl, .g = g, .o = o, .as_f32 = as_f32};
    uint64_t *offset = calloc((size_t)(pl->n_matrices + pl->n_vectors) + 1, sizeof *offset);
    w->m = calloc((size_t)pl->n_matrices + 1, sizeof *w->m);
    w->v = calloc((size_t)pl->n_vectors + 1, sizeof *w->v);
    pthread_mutex_init(&r.lock, NULL);
    if (!offset || !w->m || !w->v) {
        err_set(e, ERR_NO_FIT, "%s: no memory for the table of weights", gguf_path(g));
        goto out;
    }
    for (int32_t i = 0; i < pl->n_matrices; i++) {
        if (!pl->matrix[i].src->data) {
            err_set(e, ERR_DAMAGED, "%s: the file has no weights", gguf_path(g));
            goto out;
        }
        uint64_t bytes;
        if (quant_bytes(pl->matrix[i].src->type, (uint64_t)pl->matrix[i].k, &bytes))
            r.total += bytes * (uint64_t)pl->matrix[i].n_out * (uint64_t)pl->matrix[i].n_expert;
    }
    uint64_t need = layout(w, pl, as_f32, no_pack, offset);
    if (need == 0 || need > SIZE_MAX / 2) {
        err_set(e, ERR_NO_FIT, "%s: the weights are larger than the address space", gguf_path(g));
        goto out;
    }
    if (!fits(need, g, no_pack, e)) goto out;
    w->map_bytes = (size_t)need;
    w->map = memory_map(w->map_bytes);
    if (!w->map) {
        err_set(e, ERR_NO_FIT, "%s: no memory for %.1f MB of weights", gguf_path(g),
                (double)need / 1e6);
        goto out;
    }
    ok = place(w, pl, as_f32, no_pack, offset) && pack_all(&r, no_pack, e);
out:
    pthread_mutex_destroy(&r.lock);
    free(offset);
    if (!ok) weights_deinit(w);
    return ok;
}

void weights_deinit(weights *w) {
    memory_unmap(w->map, w->map_bytes);
    free(w->m);
    free(w->v);
    memset(w, 0, sizeof *w);
}
