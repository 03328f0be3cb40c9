#include <stdlib.h>

#include "base/checked.h"
#include "model/model_private.h"
#include "quant/quant.h"

/* ---- estimates: from keys and shapes alone ---- */

bool model_params_read(const gguf *g, model_params *out, err *e) {
    params *p = malloc(sizeof *p);
    plan pl;
    if (!p) return err_set(e, ERR_NO_FIT, "no memory for hyper-parameters");
    bool ok = params_read(p, g, e) && plan_build(&pl, p, 0, e);
    if (ok) {
        p->pub.weight_bytes = weights_bytes(&pl, false);
        p->pub.guesses_ahead = pl.nextn_group.n_layers > 0;
        for (int i = 0; i < pl.n_groups; i++)
            if (pl.group[i].window) p->pub.window = pl.group[i].window;
        plan_deinit(&pl);
        *out = p->pub;
    }
    free(p);
    return ok;
}

/* Rows that a batch is usually made of: a window's pages are kept while any row of it sees them. */
#define USUAL_BATCH 512

/* Pages that a sequence of n positions occupies at most at a time. */
static uint64_t group_pages(const model_kv_group *g, int32_t n) {
    uint64_t all = ((uint64_t)n + KERN_PAGE - 1) / KERN_PAGE;
    if (g->window == 0) return all;
    uint64_t some = ((uint64_t)g->window + USUAL_BATCH + KERN_PAGE - 1) / KERN_PAGE + 1;
    return some < all ? some : all;
}

uint64_t model_kv_estimate(const gguf *g, int32_t n_ctx, kern_kv_type type, err *e) {
    params *p = malloc(sizeof *p);
    plan pl;
    uint64_t total = 0;
    if (!p) {
        err_set(e, ERR_NO_FIT, "no memory for hyper-parameters");
        return 0;
    }
    if (n_ctx < 1 || n_ctx > LIMIT_CONTEXT) {
        err_set(e, ERR_USAGE, "a context of %d tokens; it must lie in 1 .. %d", n_ctx,
                LIMIT_CONTEXT);
    } else if (params_read(p, g, e) && plan_build(&pl, p, 0, e)) {
        for (int i = 0; i < pl.n_groups; i++)
            total += group_pages(&pl.group[i], n_ctx) * model_kv_page_bytes(&pl.group[i], type);
        if (pl.nextn_group.n_layers)
            total += group_pages(&pl.nextn_group, n_ctx) *
                     model_kv_page_bytes(&pl.nextn_group, type);
        plan_deinit(&pl);
    }
    free(p);
    return total;
}

size_t model_kv_page_bytes(const model_kv_group *g, kern_kv_type type) {
    kern_kv_shape s = {type, g->head_dim_k, g->head_dim_v};
    return (size_t)g->n_layers * (size_t)g->n_head_kv * kern_kv_block_bytes(&s);
}

/* ---- opening ---- */

static bool ropes_init(model *m, err *e) {
    for (int i = 0; i < m->pl.n_ropes; i++) {
        const plan_rope *r = &m->pl.rope[i];
        const float *factors = r->factors == PLAN_NONE ? NULL : m->w.v[r->factors];
        if (!rope_init(&m->rope[i], r, factors, e)) return err_wrap(e, "%s", gguf_path(m->g));
    }
    return true;
}

/* Takes over g, also on failure. */
static model *open_gguf(gguf *g, const model_options *o, err *e) {
    if (!g) return NULL;
    model *m = calloc(1, sizeof *m);
    if (!m) {
        gguf_close(g);
        err_set(e, ERR_NO_FIT, "no memory for a model");
        return NULL;
    }
    m->g = g;
    if (!params_read(&m->p, g, e) || !plan_build(&m->pl, &m->p, o ? o->n_ctx : 0, e)) goto failed;
    if (gguf_find(g, "tokenizer.ggml.model") && !(m->t = tok_open(g, e))) goto failed;
    if (!weights_load(&m->w, &m->pl, g, o, e) || !ropes_init(m, e)) goto failed;
    if (!classifier_load(&m->cls, g, m->p.pub.n_embd, e)) goto failed;
    m->p.pub.weight_bytes = m->w.map_bytes;
    m->p.pub.guesses_ahead = m->pl.nextn_group.n_layers > 0;
    for (int i = 0; i < m->pl.n_groups; i++)
        if (m->pl.group[i].window) m->p.pub.window = m->pl.group[i].window;
    return m;
failed:
    model_close(m);
    return NULL;
}

model *model_open(const char *path, const model_options *o, err *e) {
    return open_gguf(gguf_open(path, e), o, e);
}

model *model_open_memory(const void *data, size_t n, const char *name, const model_options *o,
                         err *e) {
    return open_gguf(gguf_open_memory(data, n, name, e), o, e);
}

void model_close(model *m) {
    if (!m) return;
    for (int i = 0; i < PLAN_MAX_ROPES; i++) rope_deinit(&m->rope[i]);
    classifier_deinit(&m->cls);
    weights_deinit(&m->w);
    plan_deinit(&m->pl);
    tok_close(m->t);
    gguf_close(m->g);
    free(m);
}

/* ---- what it is ---- */

const model_params *model_params_of(const model *m) {
    return &m->p.pub;
}

const tok *model_tok(const model *m) {
    return m->t;
}

const gguf *model_gguf(const model *m) {
    return m->g;
}

bool model_is_encoder(const model *m) {
    return m->pl.encoder;
}

model_pooling model_pooling_of(const model *m) {
    return m->p.pooling > 0 ? (model_pooling)m->p.pooling : MODEL_POOL_NONE;
}

int model_n_kv_groups(const model *m) {
    return m->pl.n_groups;
}

const model_kv_group *model_kv_group_at(const model *m, int g) {
    return g >= 0 && g < m->pl.n_groups ? &m->pl.group[g] : NULL;
}

const model_kv_group *model_nextn_group(const model *m) {
    return m->pl.nextn_group.n_layers ? &m->pl.nextn_group : NULL;
}

void model_row_read(const gguf_tensor *t, int64_t i, int64_t k, float *dst) {
    const quant_info *q = quant_info_of(t->type);
    size_t row = (size_t)k / q->block * q->block_bytes;
    q->dequantize((const uint8_t *)t->data + (size_t)i * row, dst, k);
}

void model_embd_add(const model *m, int32_t pos, int32_t type, float *tmp, float *dst) {
    int64_t k = m->p.pub.n_embd;
    if (m->pl.type_embd) {
        model_row_read(m->pl.type_embd, type, k, tmp);
        kern_get()->add(dst, tmp, k);
    }
    if (m->pl.pos_embd) {
        model_row_read(m->pl.pos_embd, pos, k, tmp);
        kern_get()->add(dst, tmp, k);
    }
}

void model_nextn_embd_row(const model *m, int32_t token, float *dst) {
    if (m->pl.nextn_embd) model_row_read(m->pl.nextn_embd, token, m->p.pub.n_embd, dst);
    else model_embd_row(m, token, dst);
}

void model_embd_row(const model *m, int32_t token, float *dst) {
    int64_t k = m->p.pub.n_embd;
    const weight_matrix *w = &m->w.m[m->pl.tied ? m->pl.head : 0];
    if (m->pl.tied && w->base) {
        kern_panel_row(w->f, weight_panel(w, token / KERN_ROWS, NULL), k, token % KERN_ROWS, dst);
        return;
    }
    model_row_read(m->pl.embd, token, k, dst);
}
