/* Steps that are matrix products and norms. */
#include <math.h>

#include "model/exec_private.h"

/* ---- small pieces ---- */

static void bias_add(float *y, const float *b, int n) {
    for (int i = 0; i < n; i++) y[i] += b[i];
}

void exec_glu(const model_exec *x, plan_glu glu, float *gate, const float *up, int n) {
    int64_t all = (int64_t)n * KERN_ROWS;
    switch (glu) {
    case GLU_SILU: x->k->silu_mul(gate, up, gate, all); break;
    case GLU_GELU: x->k->gelu_mul(gate, up, gate, all); break;
    case GLU_OAI: x->k->oai_mul(gate, up, 1.702f, 7.0f, gate, all); break;
    case GLU_GELU_ERF: kern_gelu_erf(gate, all); break;
    }
}

void exec_act_round(const model_exec *x, kern_act *a, int64_t at, const float *src, int64_t n,
                    int limit) {
    int64_t b = at / KERN_BLOCK;
    x->k->quantize(src, n, a->q + at, a->d + b, a->sum16 + 2 * b);
    if (a->twice)
        x->k->refine(src, n, a->q + at, a->d + b, limit, a->twice + b, a->q2 + at, a->d2 + b,
                     a->sum16_2 + 2 * b);
}

void exec_act_put(const model_exec *x, kern_act *a, int64_t row0, int64_t col, int width,
                  const float *c, int n, bool reads_q) {
    for (int i = 0; i < n; i++, c += KERN_ROWS) {
        int64_t at = (row0 + i) * a->k + col;
        if (reads_q) exec_act_round(x, a, at, c, width, KERN_TWICE_GLU);
        if (!reads_q || x->n_loras > 0) memcpy(a->x + at, c, (size_t)width * sizeof(float));
    }
}

/* ---- NORM ---- */

/* Whether any matrix that reads h wants it quantised. s: the step behind the NORM. */
static bool h_reads_q(const model_exec *x, const plan_step *s) {
    const plan_ref refs[] = {s->w, s->wk, s->wv, s->w2};
    for (int i = 0; i < 4; i++)
        if (refs[i] != PLAN_NONE && exec_mat(x, refs[i])->reads_q) return true;
    if (s->op == PLAN_ROUTE) return h_reads_q(x, s + 1);
    bool shared = s->op == PLAN_EXP_UP && s[2].op == PLAN_GATE_UP; /* EXP_DOWN lies between */
    return shared && h_reads_q(x, s + 2);
}

typedef struct norm_job {
    const float *w, *b, *post;
    float eps;
    bool first, keep, quantize;
    kern_act *h;
    float *hidden; /* where the normed state goes as well, or NULL */
} norm_job;

static void norm_row(const exec_walk *w, const norm_job *j, int i, float *xr) {
    const model_exec *x = w->x;
    int64_t n = x->m->p.pub.n_embd;
    if (!j->first) {
        const float *y = x->y + i * n;
        if (j->post) {
            x->k->rmsnorm(y, j->post, j->eps, n, w->l->tmp);
            y = w->l->tmp;
        }
        x->k->add(xr, y, n);
    }
    float *h = j->h->x + i * n;
    if (j->keep) {
        kern_layernorm(xr, j->w, j->b, j->eps, n, xr);
        memcpy(h, xr, (size_t)n * sizeof(float));
    } else {
        x->k->rmsnorm(xr, j->w, j->eps, n, h);
    }
    if (j->quantize) exec_act_round(x, j->h, i * n, h, n, KERN_TWICE_NORM);
    if (j->hidden) memcpy(j->hidden + i * n, h, (size_t)n * sizeof(float));
}

void exec_norm(exec_walk *w, const plan_step *s, const plan_step *next) {
    model_exec *x = w->x;
    int64_t n = x->m->p.pub.n_embd;
    norm_job j = {.w = exec_vec(x, s->w),
                  .post = exec_vec(x, s->post),
                  .b = exec_vec(x, s->b),
                  .eps = x->m->pl.eps,
                  .first = s->first,
                  .keep = s->keep,
                  .quantize = h_reads_q(x, next),
                  .h = w->small ? &w->l->h : &x->h};
    if ((next->op == PLAN_HEAD || next->op == PLAN_END) && (!w->small || w->me == 0))
        j.hidden = x->hidden;
    if (w->small) {
        for (int i = 0; i < w->n; i++) norm_row(w, &j, i, w->xrow[i]);
        return;
    }
    for (int b; (b = team_next(x->t)) * 4 < w->n;)
        for (int i = b * 4; i < b * 4 + 4 && i < w->n; i++)
            norm_row(w, &j, i, x->x + w->live[i] * n);
}

/* ---- QKV ---- */

typedef struct qkv_job {
    const plan_step *s;
    const plan_heads *h;
    int per_item; /* heads of an item: they fill whole panels */
    int rows;     /* of a matmul call */
    const float *cos, *sin;
} qkv_job;

/* One head of row i from the panels c (`rows` rows each), whose first output is the head's `at`. */
static void head_gather(const float *c, int rows, int i, int at, int dim, float *dst) {
    for (int off = 0; off < dim;) {
        int panel = (at + off) / KERN_ROWS, lane = (at + off) % KERN_ROWS;
        int n = dim - off < KERN_ROWS - lane ? dim - off : KERN_ROWS - lane;
        memcpy(dst + off, c + ((int64_t)panel * rows + i) * KERN_ROWS + lane,
               (size_t)n * sizeof(float));
        off += n;
    }
}

/* Bias, norm and rope of one head of Q or K. */
static void head_finish(const exec_walk *w, const qkv_job *j, int row, const float *b,
                        const float *norm, float *head) {
    const model_exec *x = w->x;
    int dim = j->h->head_dim_k;
    if (b) bias_add(head, b, dim);
    if (norm) x->k->rmsnorm(head, norm, x->m->pl.eps, dim, head);
    if (j->h->rope == PLAN_NONE) return;
    const rope *r = &x->m->rope[j->h->rope];
    int64_t at = (int64_t)row * (r->n_rot / 2);
    x->k->rope(head, r->n_rot, r->neox, j->cos + at, j->sin + at);
}

/* Panels that hold `heads` heads from head0 on, into c. Returns how many. */
static int heads_matmul(const exec_walk *w, const qkv_job *j, plan_ref ref, int head0, int heads,
                        int dim, int t0, int n, float *c) {
    const model_exec *x = w->x;
    const weight_matrix *m = exec_mat(x, ref);
    int p0 = head0 * dim / KERN_ROWS, n_panels = (heads * dim + KERN_ROWS - 1) / KERN_ROWS;
    for (int p = 0; p < n_panels; p++, c += (int64_t)j->rows * KERN_ROWS) {
        x->k->matmul(m->f, weight_panel(m, p0 + p, w->l->panel), exec_h(w), NULL, t0, n, c);
        if (w->n_lora > 0) exec_lora_out(w, j->s, ref, p0 + p, NULL, t0, n, c);
    }
    return n_panels;
}

static void q_item(const exec_walk *w, const qkv_job *j, int item) {
    model_exec *x = w->x;
    int head0 = item * j->per_item, dim = j->h->head_dim_k;
    int heads = j->h->n_head - head0 < j->per_item ? j->h->n_head - head0 : j->per_item;
    const float *b = exec_vec(x, j->s->b), *norm = exec_vec(x, j->s->q_norm);
    for (int t0 = 0; t0 < w->n; t0 += j->rows) {
        int n = w->n - t0 < j->rows ? w->n - t0 : j->rows;
        heads_matmul(w, j, j->s->w, head0, heads, dim, t0, n, w->l->c);
        for (int i = 0; i < n; i++) {
            for (int h = 0; h < heads; h++) {
                float *head = x->q + ((int64_t)(t0 + i) * j->h->n_head + head0 + h) * dim;
                head_gather(w->l->c, j->rows, i, h * dim, dim, head);
                head_finish(w, j, t0 + i, b ? b + (head0 + h) * dim : NULL, norm, head);
            }
        }
    }
}

static void kv_item(const exec_walk *w, const qkv_job *j, int item) {
    model_exec *x = w->x;
    const plan_heads *hd = j->h;
    int head0 = item * j->per_item, dk = hd->head_dim_k, dv = hd->head_dim_v, g = hd->group;
    int heads = hd->n_head_kv - head0 < j->per_item ? hd->n_head_kv - head0 : j->per_item;
    const float *bk = exec_vec(x, j->s->bk), *bv = exec_vec(x, j->s->bv),
                *norm = exec_vec(x, j->s->k_norm);
    float *c = w->l->c, *k = w->l->tmp, *v = w->l->tmp + LIMIT_HEAD_DIM;
    for (int t0 = 0; t0 < w->n; t0 += j->rows) {
        int n = w->n - t0 < j->rows ? w->n - t0 : j->rows;
        int np = heads_matmul(w, j, j->s->wk, head0, heads, dk, t0, n, c);
        float *cv = c + (int64_t)np * j->rows * KERN_ROWS;
        heads_matmul(w, j, j->s->wv, head0, heads, dv, t0, n, cv);
        for (int i = 0; i < n; i++) {
            const model_row *row = &x->b->rows[t0 + i];
            uint8_t *page = x->b->seqs[row->seq].page[g][row->pos / KERN_PAGE];
            for (int h = 0; h < heads; h++) {
                head_gather(c, j->rows, i, h * dk, dk, k);
                head_finish(w, j, t0 + i, bk ? bk + (head0 + h) * dk : NULL, norm, k);
                head_gather(cv, j->rows, i, h * dv, dv, v);
                if (bv) bias_add(v, bv + (head0 + h) * dv, dv);
                size_t block = (size_t)hd->slot * (size_t)hd->n_head_kv + (size_t)(head0 + h);
                x->k->kv_write(&x->shape[g], page + block * x->block_bytes[g], row->pos % KERN_PAGE,
                               k, v);
            }
        }
    }
}

void exec_qkv(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    const plan_heads *h = &x->m->pl.heads[s->heads];
    int per = 1; /* dimensions are multiples of 16, so four heads fill whole panels at the latest */
    while (per * h->head_dim_k % KERN_ROWS || per * h->head_dim_v % KERN_ROWS) per++;
    qkv_job j = {.s = s, .h = h, .per_item = per};
    j.rows = exec_block_rows(x, w->n, per * (h->head_dim_k + h->head_dim_v) / KERN_ROWS);
    if (h->rope != PLAN_NONE) {
        j.cos = x->cos[h->rope];
        j.sin = x->sin[h->rope];
    }
    int n_kv = (h->n_head_kv + per - 1) / per, n_q = (h->n_head + per - 1) / per;
    exec_items it = {.n = n_kv + n_q};
    for (int i; (i = exec_next(w, &it)) < it.n;) {
        if (i < n_kv) kv_item(w, &j, i);
        else q_item(w, &j, i - n_kv);
    }
}

/* ---- OUT, DOWN ---- */

void exec_linear(exec_walk *w, const plan_step *s, const kern_act *in) {
    model_exec *x = w->x;
    const weight_matrix *m = exec_mat(x, s->w);
    const float *b = exec_vec(x, s->b);
    kern_act a = *in;
    a.k = m->k;
    int rows = exec_block_rows(x, w->n, 1);
    exec_items it = {.n = m->n_panels};
    for (int p; (p = exec_next(w, &it)) < it.n;) {
        int64_t col = (int64_t)p * KERN_ROWS;
        int width = m->n_out - col < KERN_ROWS ? (int)(m->n_out - col) : KERN_ROWS;
        for (int t0 = 0; t0 < w->n; t0 += rows) {
            int n = w->n - t0 < rows ? w->n - t0 : rows;
            x->k->matmul(m->f, weight_panel(m, p, w->l->panel), &a, NULL, t0, n, w->l->c);
            if (w->n_lora > 0) exec_lora_out(w, s, s->w, p, NULL, t0, n, w->l->c);
            for (int i = 0; i < n; i++) {
                float *c = w->l->c + i * KERN_ROWS;
                float *y = x->y + (t0 + i) * m->n_out + col;
                if (b) bias_add(c, b + col, width);
                if (s->add)
                    for (int r = 0; r < width; r++) y[r] += c[r];
                else memcpy(y, c, (size_t)width * sizeof(float));
            }
        }
    }
}

/* ---- JOIN ---- */

bool exec_join(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    int64_t n = x->m->p.pub.n_embd;
    const float *we = exec_vec(x, s->enorm), *wh = exec_vec(x, s->hnorm);
    float scale = x->m->pl.embd_scale;
    for (int i; (i = team_next(x->t)) < w->n;) {
        float *to = x->j.x + i * 2 * n, *e = w->l->tmp;
        model_nextn_embd_row(x->m, x->b->rows[w->live[i]].token, e);
        if (scale != 1) x->k->scale(e, scale, n);
        x->k->rmsnorm(e, we, x->m->pl.eps, n, to);
        x->k->rmsnorm(x->before + w->live[i] * n, wh, x->m->pl.eps, n, to + n);
        if (exec_mat(x, s->w)->reads_q)
            exec_act_round(x, &x->j, i * 2 * n, to, 2 * n, KERN_TWICE_NORM);
    }
    if (!exec_sync(w)) return false;
    exec_linear(w, s, &x->j);
    return true;
}

/* ---- GATE_UP ---- */

void exec_gate_up(exec_walk *w, const plan_step *s, const plan_step *down) {
    model_exec *x = w->x;
    const weight_matrix *gate = exec_mat(x, s->w);
    const weight_matrix *up = s->w2 == PLAN_NONE ? NULL : exec_mat(x, s->w2);
    const float *bg = exec_vec(x, s->b), *bu = exec_vec(x, s->b2);
    bool reads_q = exec_mat(x, down->w)->reads_q;
    kern_act f = x->f;
    f.k = gate->n_out;
    int rows = exec_block_rows(x, w->n, 2);
    float *cg = w->l->c, *cu = w->l->c + rows * KERN_ROWS;
    exec_items it = {.n = gate->n_panels};
    for (int p; (p = exec_next(w, &it)) < it.n;) {
        int64_t col = (int64_t)p * KERN_ROWS;
        int width = gate->n_out - col < KERN_ROWS ? (int)(gate->n_out - col) : KERN_ROWS;
        for (int t0 = 0; t0 < w->n; t0 += rows) {
            int n = w->n - t0 < rows ? w->n - t0 : rows;
            x->k->matmul(gate->f, weight_panel(gate, p, w->l->panel), exec_h(w), NULL, t0, n, cg);
            if (up)
                x->k->matmul(up->f, weight_panel(up, p, w->l->panel), exec_h(w), NULL, t0, n, cu);
            if (w->n_lora > 0) exec_lora_out(w, s, s->w, p, NULL, t0, n, cg);
            if (w->n_lora > 0 && up) exec_lora_out(w, s, s->w2, p, NULL, t0, n, cu);
            for (int i = 0; i < n && (bg || bu); i++) {
                if (bg) bias_add(cg + i * KERN_ROWS, bg + col, width);
                if (bu) bias_add(cu + i * KERN_ROWS, bu + col, width);
            }
            exec_glu(x, s->glu, cg, cu, n);
            exec_act_put(x, &f, t0, col, width, cg, n, reads_q);
        }
    }
}

/* ---- HEAD ---- */

/* The first place in y that is not finite, or -1. */
static int not_finite(const float *y, int n) {
    uint32_t any = 0;
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &y[i], sizeof bits);
        any |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (!any) return -1;
    for (int i = 0; i < n; i++)
        if (!isfinite(y[i])) return i;
    return -1;
}

void exec_head(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    const weight_matrix *m = exec_mat(x, s->w);
    const float *b = exec_vec(x, s->b);
    int rows = exec_block_rows(x, x->n_out, 1);
    exec_items it = {.n = m->n_panels};
    for (int p; (p = exec_next(w, &it)) < it.n;) {
        int64_t col = (int64_t)p * KERN_ROWS;
        int width = m->n_out - col < KERN_ROWS ? (int)(m->n_out - col) : KERN_ROWS;
        for (int t0 = 0; t0 < x->n_out; t0 += rows) {
            int n = x->n_out - t0 < rows ? x->n_out - t0 : rows;
            float *c = w->l->c;
            x->k->matmul(m->f, weight_panel(m, p, w->l->panel), exec_h(w), x->out_row + t0, 0, n,
                         c);
            if (w->n_lora > 0) exec_lora_out(w, s, s->w, p, x->out_row + t0, 0, n, c);
            for (int i = 0; i < n && b; i++) bias_add(c + i * KERN_ROWS, b + col, width);
            if (s->scale != 1) x->k->scale(c, s->scale, (int64_t)n * KERN_ROWS);
            if (s->cap > 0) x->k->softcap(c, s->cap, (int64_t)n * KERN_ROWS);
            for (int i = 0; i < n; i++, c += KERN_ROWS) {
                int64_t at = (t0 + i) * m->n_out + col;
                int bad = not_finite(c, width);
                if (bad >= 0) atomic_store_explicit(&x->bad, at + bad + 1, memory_order_relaxed);
                memcpy(x->logits + at, c, (size_t)width * sizeof(float));
            }
        }
    }
}
