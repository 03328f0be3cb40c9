/* Mixture of experts: which experts each row uses, and their products, expert by expert over whole
 * tiles of the rows that chose them. */
#include "model/exec_private.h"

/* ---- ROUTE ---- */

static float sigmoid(float score) {
    return 1 / (1 + kern_expf(-score));
}

/* Weights of the n chosen by sigmoid, from their scores. */
static void weigh_by_sigmoid(const plan_step *s, float *weight) {
    float sum = 0;
    for (int32_t u = 0; u < s->n_used; u++) sum += weight[u] = sigmoid(weight[u]);
    float factor = s->normed ? s->scale / (sum + 1e-20f) : s->scale;
    for (int32_t u = 0; u < s->n_used; u++) weight[u] *= factor;
}

/* The n best of a row's scores, the best first, lower index first among equals, and their weights.
 * Scores that are no numbers lose to all others but never leave a place empty. */
static void row_choose(const exec_walk *w, const plan_step *s, const float *scores,
                       int32_t n_expert, int32_t *top, float *weight) {
    const float *choose = exec_vec(w->x, s->choose), *by = scores;
    for (int32_t e = 0; e < n_expert && choose; e++)
        w->l->scores[e] = sigmoid(scores[e]) + choose[e];
    if (choose) by = w->l->scores;
    for (int32_t u = 0; u < s->n_used; u++) {
        int32_t best = -1;
        for (int32_t e = 0; e < n_expert; e++) {
            bool taken = false;
            for (int32_t t = 0; t < u; t++) taken |= top[t] == e;
            if (taken) continue;
            if (best < 0 || by[e] > by[best] || (by[best] != by[best] && by[e] == by[e])) best = e;
        }
        top[u] = best;
        weight[u] = scores[best];
    }
    if (s->sigmoid) weigh_by_sigmoid(s, weight);
    else w->x->k->softmax(weight, s->n_used);
}

static void row_scores(const exec_walk *w, const plan_step *s, int p, int t0, int n,
                       float *scores) {
    const model_exec *x = w->x;
    const weight_matrix *m = exec_mat(x, s->w);
    const float *b = exec_vec(x, s->b);
    int64_t col = (int64_t)p * KERN_ROWS;
    int width = m->n_out - col < KERN_ROWS ? (int)(m->n_out - col) : KERN_ROWS;
    x->k->matmul(m->f, weight_panel(m, p, w->l->panel), exec_h(w), NULL, t0, n, w->l->c);
    if (w->n_lora > 0) exec_lora_out(w, s, s->w, p, NULL, t0, n, w->l->c);
    for (int i = 0; i < n; i++) {
        float *dst = scores + (t0 + i) * m->n_out + col;
        for (int r = 0; r < width; r++) dst[r] = w->l->c[i * KERN_ROWS + r] + (b ? b[col + r] : 0);
    }
}

/* Pairs (row, expert) sorted by expert, rows ascending within: a counting sort, the same by
 * everyone. */
static void pairs_sort(const exec_walk *w, int32_t n_expert, int32_t n_used, const int32_t *top,
                       const float *weight) {
    exec_local *l = w->l;
    int32_t pairs = w->n * n_used;
    memset(l->pair_first, 0, (size_t)(n_expert + 1) * sizeof *l->pair_first);
    for (int32_t i = 0; i < pairs; i++) l->pair_first[top[i] + 1]++;
    l->n_active = 0;
    for (int32_t e = 0; e < n_expert; e++) {
        if (l->pair_first[e + 1] > 0) l->active[l->n_active++] = e;
        l->pair_first[e + 1] += l->pair_first[e];
    }
    for (int32_t i = 0; i < pairs; i++) {
        int32_t at = l->pair_first[top[i]]++;
        l->pair_row[at] = i / n_used;
        l->pair_w[at] = weight[i];
    }
    for (int32_t e = n_expert; e > 0; e--) l->pair_first[e] = l->pair_first[e - 1];
    l->pair_first[0] = 0;
}

bool exec_route(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    const weight_matrix *m = exec_mat(x, s->w);
    int32_t n_expert = (int32_t)m->n_out;
    int rows = 32, blocks = (w->n + rows - 1) / rows;
    for (int i; (i = team_next(x->t)) < blocks * m->n_panels;) {
        int t0 = i / m->n_panels * rows;
        row_scores(w, s, i % m->n_panels, t0, w->n - t0 < rows ? w->n - t0 : rows, x->scores);
    }
    if (!exec_sync(w)) return false;
    if (w->small) {
        for (int i = 0; i < w->n; i++)
            row_choose(w, s, x->scores + i * n_expert, n_expert, w->l->top + i * s->n_used,
                       w->l->top_w + i * s->n_used);
        pairs_sort(w, n_expert, s->n_used, w->l->top, w->l->top_w);
        return true;
    }
    for (int b; (b = team_next(x->t)) * 8 < w->n;)
        for (int i = b * 8; i < b * 8 + 8 && i < w->n; i++)
            row_choose(w, s, x->scores + i * n_expert, n_expert, x->top + i * s->n_used,
                       x->top_w + i * s->n_used);
    if (!exec_sync(w)) return false;
    pairs_sort(w, n_expert, s->n_used, x->top, x->top_w);
    return true;
}

/* ---- EXP_UP ---- */

static void up_item(const exec_walk *w, const plan_step *s, int32_t expert, int p, kern_act *f,
                    bool reads_q) {
    const model_exec *x = w->x;
    const exec_local *l = w->l;
    const weight_matrix *gate = exec_mat(x, s->w), *up = exec_mat(x, s->w2);
    int64_t col = (int64_t)p * KERN_ROWS, at = (int64_t)expert * gate->n_panels + p;
    int width = gate->n_out - col < KERN_ROWS ? (int)(gate->n_out - col) : KERN_ROWS;
    const float *bg = exec_vec(x, s->b), *bu = exec_vec(x, s->b2);
    if (bg) bg += expert * gate->n_out + col;
    if (bu) bu += expert * gate->n_out + col;
    int n_pairs = l->pair_first[expert + 1] - l->pair_first[expert];
    int rows = exec_block_rows(x, n_pairs, 2);
    float *cg = l->c, *cu = l->c + rows * KERN_ROWS;
    for (int t0 = l->pair_first[expert]; t0 < l->pair_first[expert + 1]; t0 += rows) {
        int left = l->pair_first[expert + 1] - t0, n = left < rows ? left : rows;
        x->k->matmul(gate->f, weight_panel(gate, at, l->panel), exec_h(w), l->pair_row + t0, 0, n,
                     cg);
        x->k->matmul(up->f, weight_panel(up, at, l->panel), exec_h(w), l->pair_row + t0, 0, n, cu);
        if (w->n_lora > 0) {
            exec_lora_expert_out(w, s, s->w, expert, p, t0, n, cg);
            exec_lora_expert_out(w, s, s->w2, expert, p, t0, n, cu);
        }
        for (int i = 0; i < n && (bg || bu); i++) {
            for (int r = 0; r < width && bg; r++) cg[i * KERN_ROWS + r] += bg[r];
            for (int r = 0; r < width && bu; r++) cu[i * KERN_ROWS + r] += bu[r];
        }
        exec_glu(x, s->glu, cg, cu, n);
        exec_act_put(x, f, t0, col, width, cg, n, reads_q);
    }
}

void exec_experts_up(exec_walk *w, const plan_step *s, const plan_step *down) {
    model_exec *x = w->x;
    const weight_matrix *gate = exec_mat(x, s->w);
    bool reads_q = exec_mat(x, down->w)->reads_q;
    kern_act f = x->f;
    f.k = gate->n_out;
    exec_items it = {.n = w->l->n_active * gate->n_panels};
    for (int i; (i = exec_next(w, &it)) < it.n;)
        up_item(w, s, w->l->active[i / gate->n_panels], i % gate->n_panels, &f, reads_q);
}

/* ---- EXP_DOWN ---- */

/* 64 columns of y: every expert that has rows, in ascending order, adds its share. */
static void down_item(const exec_walk *w, const plan_step *s, const kern_act *f, int p) {
    model_exec *x = w->x;
    const exec_local *l = w->l;
    const weight_matrix *m = exec_mat(x, s->w);
    const float *b = exec_vec(x, s->b);
    int64_t col = (int64_t)p * KERN_ROWS;
    int width = m->n_out - col < KERN_ROWS ? (int)(m->n_out - col) : KERN_ROWS;
    for (int i = 0; i < w->n; i++)
        memset(x->y + i * m->n_out + col, 0, (size_t)width * sizeof(float));
    for (int a = 0; a < l->n_active; a++) {
        int32_t e = l->active[a];
        const float *be = b ? b + e * m->n_out + col : NULL;
        int rows = exec_block_rows(x, l->pair_first[e + 1] - l->pair_first[e], 1);
        for (int t0 = l->pair_first[e]; t0 < l->pair_first[e + 1]; t0 += rows) {
            int left = l->pair_first[e + 1] - t0, n = left < rows ? left : rows;
            x->k->matmul(m->f, weight_panel(m, (int64_t)e * m->n_panels + p, l->panel), f, NULL, t0,
                         n, l->c);
            if (w->n_lora > 0) exec_lora_expert_out(w, s, s->w, e, p, t0, n, l->c);
            for (int i = 0; i < n; i++) {
                float *y = x->y + l->pair_row[t0 + i] * m->n_out + col, weight = l->pair_w[t0 + i];
                for (int r = 0; r < width; r++)
                    y[r] += weight * (l->c[i * KERN_ROWS + r] + (be ? be[r] : 0));
            }
        }
    }
}

void exec_experts_down(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    const weight_matrix *m = exec_mat(x, s->w);
    kern_act f = x->f;
    f.k = m->k;
    exec_items it = {.n = m->n_panels};
    for (int p; (p = exec_next(w, &it)) < it.n;) down_item(w, s, &f, p);
}
