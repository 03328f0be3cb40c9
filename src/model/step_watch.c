/* Showing what each matrix is multiplied with, before the step that does it. Member 0 alone; the
 * others go on with the step, which only reads what is shown. */
#include <stdlib.h>

#include "model/exec_private.h"

/* Row i of an activation as floats: where a matrix reads the rounded form, that of the way down is
 * all there is. */
static const float *row_of(exec_walk *w, const kern_act *a, int64_t i, bool rounded) {
    if (!rounded) return a->x + i * a->k;
    float *out = w->x->watch_row;
    for (int64_t e = 0; e < a->k; e++) {
        int64_t at = i * a->k + e, b = at / KERN_BLOCK;
        out[e] = (float)a->q[at] * a->d[b];
        if (a->twice && a->twice[b]) out[e] += (float)a->q2[at] * a->d2[b];
    }
    return out;
}

/* n rows of a (those in `rows`, or from t0 on) for the matrices of a step; a tensor that serves as
 * several of them is shown once. */
static void show(exec_walk *w, const plan_ref *refs, int n_refs, const kern_act *a, bool rounded,
                 int32_t expert, const int32_t *rows, int t0, int n) {
    const plan_matrix *m = w->x->m->pl.matrix;
    for (int r = 0; r < n_refs; r++) {
        bool again = refs[r] == PLAN_NONE;
        for (int k = 0; k < r && !again; k++)
            again = refs[k] != PLAN_NONE && m[refs[k]].src == m[refs[r]].src;
        for (int i = 0; i < n && !again; i++)
            w->x->watch(w->x->watch_ud, m[refs[r]].src, m[refs[r]].n_expert, expert,
                        row_of(w, a, rows ? rows[i] : t0 + i, rounded), a->k);
    }
}

void exec_watch(exec_walk *w, const plan_step *s) {
    model_exec *x = w->x;
    const exec_local *l = w->l;
    const plan_ref both[] = {s->w, s->w2}, qkv[] = {s->w, s->wk, s->wv};
    kern_act act = s->op == PLAN_OUT ? x->a : x->f;
    if (s->op == PLAN_OUT || s->op == PLAN_DOWN || s->op == PLAN_EXP_DOWN)
        act.k = exec_mat(x, s->w)->k;
    switch (s->op) {
    case PLAN_QKV: show(w, qkv, 3, exec_h(w), false, 0, NULL, 0, w->n); break;
    case PLAN_GATE_UP: show(w, both, 2, exec_h(w), false, 0, NULL, 0, w->n); break;
    case PLAN_ROUTE:
    case PLAN_HEAD: show(w, &s->w, 1, exec_h(w), false, 0, NULL, 0, w->n); break;
    case PLAN_OUT: show(w, &s->w, 1, &act, false, 0, NULL, 0, w->n); break;
    case PLAN_DOWN: show(w, &s->w, 1, &act, exec_mat(x, s->w)->reads_q, 0, NULL, 0, w->n); break;
    case PLAN_EXP_UP:
    case PLAN_EXP_DOWN:
        for (int i = 0; i < l->n_active; i++) {
            int32_t e = l->active[i], t0 = l->pair_first[e], n = l->pair_first[e + 1] - t0;
            if (s->op == PLAN_EXP_UP) show(w, both, 2, exec_h(w), false, e, l->pair_row + t0, 0, n);
            else show(w, &s->w, 1, &act, exec_mat(x, s->w)->reads_q, e, NULL, t0, n);
        }
        break;
    default: break;
    }
}

bool model_exec_watch(model_exec *x, model_watch fn, void *ud, err *e) {
    int64_t most = 1;
    for (int i = 0; i < x->m->pl.n_matrices; i++)
        if (x->m->pl.matrix[i].k > most) most = x->m->pl.matrix[i].k;
    if (fn && !x->watch_row && !(x->watch_row = malloc((size_t)most * sizeof(float))))
        return err_set(e, ERR_NO_FIT, "out of memory");
    x->watch = fn;
    x->watch_ud = ud;
    return true;
}
