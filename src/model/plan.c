#include "model/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/arch/arch.h"
#include "quant/quant.h"

void plan_fail(plan *pl, const char *fmt, ...) {
    if (pl->failed) return;
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    pl->failed = true;
    err_set(&pl->e, ERR_DAMAGED, "%s: %s", gguf_path(pl->p->g), what);
}

/* One more item at the end of a growing array; NULL when the plan has failed. */
static void *grow(plan *pl, void **items, int32_t *n, int32_t *cap, size_t size) {
    if (pl->failed) return NULL;
    if (*n == *cap) {
        int32_t more = *cap ? *cap * 2 : 64;
        void *p = realloc(*items, (size_t)more * size);
        if (!p) {
            pl->failed = true;
            err_set(&pl->e, ERR_NO_FIT, "%s: no memory for the plan", gguf_path(pl->p->g));
            return NULL;
        }
        *items = p;
        *cap = more;
    }
    void *item = (char *)*items + (size_t)(*n)++ * size;
    memset(item, 0, size);
    return item;
}

/* "blk.%d.x" and a layer to "blk.7.x": the only conversion there is, so names need no format check.
 * */
static void name_of(char *dst, size_t cap, const char *name, int layer) {
    const char *at = strstr(name, "%d");
    if (at) snprintf(dst, cap, "%.*s%d%s", (int)(at - name), name, layer, at + 2);
    else snprintf(dst, cap, "%s", name);
}

bool plan_has(plan *pl, const char *name, int layer) {
    char full[96];
    name_of(full, sizeof full, name, layer);
    return gguf_tensor_find(pl->p->g, full) != NULL;
}

/* The tensor when it is there and is ne0 x ne1 x ne2; else the plan fails. */
static const gguf_tensor *find(plan *pl, const char *name, int layer, int64_t ne0, int64_t ne1,
                               int64_t ne2) {
    char full[96];
    if (pl->failed) return NULL;
    name_of(full, sizeof full, name, layer);
    const gguf_tensor *t = gguf_tensor_find(pl->p->g, full);
    if (!t) {
        plan_fail(pl, "tensor %s is missing", full);
        return NULL;
    }
    uint64_t want[4] = {(uint64_t)ne0, (uint64_t)ne1, (uint64_t)ne2, 1};
    if (memcmp(want, t->ne, sizeof want) != 0) {
        plan_fail(pl, "tensor %s is %llu x %llu x %llu x %llu; its keys say %llu x %llu x %llu",
                  full, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                  (unsigned long long)t->ne[2], (unsigned long long)t->ne[3],
                  (unsigned long long)want[0], (unsigned long long)want[1],
                  (unsigned long long)want[2]);
        return NULL;
    }
    return t;
}

static plan_ref vector_put(plan *pl, const gguf_tensor *t, int64_t n) {
    if (!t) return PLAN_NONE;
    const quant_info *q = quant_info_of(t->type);
    if (!q || !q->dequantize) {
        plan_fail(pl, "tensor %.*s is of type %s, which is no weight", STR_ARG(t->name),
                  q ? q->name : "unknown");
        return PLAN_NONE;
    }
    plan_vector *v = grow(pl, (void **)&pl->vector, &pl->n_vectors, &pl->cap_vectors, sizeof *v);
    if (!v) return PLAN_NONE;
    *v = (plan_vector){t, n, 0};
    return pl->n_vectors - 1;
}

plan_ref plan_add_vector(plan *pl, const char *name, int layer, int64_t n) {
    return vector_put(pl, find(pl, name, layer, n, 1, 1), n);
}

plan_ref plan_opt_vector(plan *pl, const char *name, int layer, int64_t n) {
    return plan_has(pl, name, layer) ? plan_add_vector(pl, name, layer, n) : PLAN_NONE;
}

plan_ref plan_opt_part(plan *pl, const char *name, int layer, int64_t all, int64_t at, int64_t n) {
    if (!plan_has(pl, name, layer)) return PLAN_NONE;
    const gguf_tensor *t = find(pl, name, layer, all, 1, 1);
    if (t && t->type != QUANT_F32) {
        plan_fail(pl, "tensor %.*s is not of type f32", STR_ARG(t->name));
        return PLAN_NONE;
    }
    plan_ref r = vector_put(pl, t, n);
    if (r != PLAN_NONE) pl->vector[r].at = at;
    return r;
}

plan_ref plan_opt_expert_vector(plan *pl, const char *name, int layer, int32_t n_expert,
                                int64_t n) {
    if (!plan_has(pl, name, layer)) return PLAN_NONE;
    return vector_put(pl, find(pl, name, layer, n, n_expert, 1), n * n_expert);
}

static plan_ref matrix_put(plan *pl, plan_matrix m) {
    if (!m.src) return PLAN_NONE;
    const kern_format *f = kern_format_of(m.src->type);
    const quant_info *q = quant_info_of(m.src->type);
    if (!f || !q) {
        plan_fail(pl, "tensor %.*s is of type %s, which cannot be a weight matrix",
                  STR_ARG(m.src->name), q && q->name ? q->name : "unknown");
        return PLAN_NONE;
    }
    if (m.k % 32) {
        plan_fail(pl, "tensor %.*s has rows of %lld; a row is a multiple of 32",
                  STR_ARG(m.src->name), (long long)m.k);
        return PLAN_NONE;
    }
    plan_matrix *p = grow(pl, (void **)&pl->matrix, &pl->n_matrices, &pl->cap_matrices, sizeof *p);
    if (!p) return PLAN_NONE;
    *p = m;
    p->mate = PLAN_NONE;
    return pl->n_matrices - 1;
}

plan_ref plan_add_rows(plan *pl, const char *name, int layer, int64_t rows, int64_t row0,
                       int64_t n_out, int64_t k) {
    const gguf_tensor *t = find(pl, name, layer, k, rows, 1);
    return matrix_put(pl,
                      (plan_matrix){.src = t, .k = k, .n_out = n_out, .row0 = row0, .n_expert = 1});
}

static const gguf_tensor *rows_read(plan *pl, const char *name, int layer, int64_t ne0,
                                    int64_t ne1) {
    const gguf_tensor *t = find(pl, name, layer, ne0, ne1, 1);
    const quant_info *q = t ? quant_info_of(t->type) : NULL;
    if (t && (!q || !q->dequantize || ne0 % q->block)) {
        plan_fail(pl, "tensor %.*s is of type %s, which has no rows of %lld", STR_ARG(t->name),
                  q ? q->name : "unknown", (long long)ne0);
        return NULL;
    }
    return t;
}

const gguf_tensor *plan_add_rows_read(plan *pl, const char *name, int64_t ne0, int64_t ne1) {
    return rows_read(pl, name, 0, ne0, ne1);
}

const gguf_tensor *plan_opt_rows_read(plan *pl, const char *name, int layer, int64_t ne0,
                                      int64_t ne1) {
    return plan_has(pl, name, layer) ? rows_read(pl, name, layer, ne0, ne1) : NULL;
}

plan_ref plan_add_matrix(plan *pl, const char *name, int layer, int64_t n_out, int64_t k) {
    return plan_add_rows(pl, name, layer, n_out, 0, n_out, k);
}

plan_ref plan_add_experts(plan *pl, const char *name, int layer, int32_t n_expert, int64_t n_out,
                          int64_t k) {
    const gguf_tensor *t = find(pl, name, layer, k, n_out, n_expert);
    return matrix_put(pl, (plan_matrix){.src = t, .k = k, .n_out = n_out, .n_expert = n_expert});
}

void plan_pair(plan *pl, plan_ref a, plan_ref b) {
    if (pl->failed || a == PLAN_NONE || b == PLAN_NONE) return;
    pl->matrix[a].mate = b;
    pl->matrix[b].mate = a;
    pl->matrix[b].is_mate = true;
}

int32_t plan_add_rope(plan *pl, const plan_rope *r) {
    if (pl->n_ropes == PLAN_MAX_ROPES) {
        plan_fail(pl, "more than %d kinds of rope", PLAN_MAX_ROPES);
        return 0;
    }
    pl->rope[pl->n_ropes] = *r;
    return pl->n_ropes++;
}

int32_t plan_add_heads(plan *pl, plan_heads h) {
    model_kv_group want = {0, h.n_head_kv, h.head_dim_k, h.head_dim_v, h.window};
    int g = 0;
    for (; g < pl->n_groups && !pl->in_nextn; g++) {
        const model_kv_group *s = &pl->group[g];
        if (s->n_head_kv == want.n_head_kv && s->head_dim_k == want.head_dim_k &&
            s->head_dim_v == want.head_dim_v && s->window == want.window)
            break;
    }
    if (g == MODEL_MAX_KV_GROUPS) {
        plan_fail(pl, "layers of more than %d kinds (KV heads, windows)", MODEL_MAX_KV_GROUPS);
        return 0;
    }
    if (pl->in_nextn) pl->nextn_group = want;
    else if (g == pl->n_groups) pl->group[pl->n_groups++] = want;
    h.group = g;
    h.slot = pl->in_nextn ? pl->nextn_group.n_layers++ : pl->group[g].n_layers++;
    plan_heads *p = grow(pl, (void **)&pl->heads, &pl->n_heads, &pl->cap_heads, sizeof *p);
    if (!p) return 0;
    *p = h;
    return pl->n_heads - 1;
}

plan_step *plan_add_step(plan *pl, plan_op op) {
    static _Thread_local plan_step sink; /* what a failed plan writes to; never read */
    plan_step *s = grow(pl, (void **)&pl->step, &pl->n_steps, &pl->cap_steps, sizeof *s);
    if (!s) s = &sink;
    *s = (plan_step){.op = op,
                     .w = PLAN_NONE,
                     .b = PLAN_NONE,
                     .wk = PLAN_NONE,
                     .bk = PLAN_NONE,
                     .wv = PLAN_NONE,
                     .bv = PLAN_NONE,
                     .w2 = PLAN_NONE,
                     .b2 = PLAN_NONE,
                     .post = PLAN_NONE,
                     .q_norm = PLAN_NONE,
                     .k_norm = PLAN_NONE,
                     .sinks = PLAN_NONE,
                     .choose = PLAN_NONE,
                     .enorm = PLAN_NONE,
                     .hnorm = PLAN_NONE,
                     .scale = 1};
    return s;
}

bool plan_build(plan *pl, const params *p, int32_t n_ctx, err *e) {
    memset(pl, 0, sizeof *pl);
    pl->p = p;
    pl->n_ctx = n_ctx > 0 ? n_ctx : p->pub.n_ctx;
    pl->eps = p->eps;
    pl->embd_scale = 1;
    pl->head = PLAN_NONE;
    const arch *a = arch_find(str_of(p->pub.arch));
    a->emit(pl, p);
    if (pl->failed) {
        if (e) *e = pl->e;
        plan_deinit(pl);
        return false;
    }
    if (pl->nextn_group.n_layers == 0) {
        pl->nextn_step = pl->n_steps;
        pl->nextn_matrix = pl->n_matrices;
    }
    return true;
}

int32_t plan_last_attn(const plan *pl, int32_t from, int32_t to) {
    int32_t i = to - 1;
    while (i > from && pl->step[i].op != PLAN_ATTN) i--;
    return i;
}

void plan_deinit(plan *pl) {
    free(pl->step);
    free(pl->matrix);
    free(pl->vector);
    free(pl->heads);
    memset(pl, 0, sizeof *pl);
}
