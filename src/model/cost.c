#include "model/cost.h"

#include <stdlib.h>

#include "model/plan.h"

static void matrix_add(model_cost *c, const plan_matrix *m, int32_t n_used, bool last) {
    const kern_format *f = kern_format_of(m->src->type);
    double of_all = m->n_expert > 1 ? n_used : 1, macs = of_all * (double)m->n_out * (double)m->k;
    int64_t panels = (m->n_out + KERN_ROWS - 1) / KERN_ROWS;
    bool dot = kern_format_quantized_input(f);
    *(last  ? dot ? &c->last_dot_macs : &c->last_fma_macs
      : dot ? &c->dot_macs
            : &c->fma_macs) += macs;
    c->weight_bytes += of_all * (double)panels * (double)kern_panel_bytes(f, m->k);
    if (m->n_expert > 1) c->routed = true;
}

bool model_cost_of(const gguf *g, kern_kv_type kv, model_cost *c, err *e) {
    *c = (model_cost){0};
    params *p = malloc(sizeof *p);
    plan pl;
    if (!p) return err_set(e, ERR_NO_FIT, "no memory for hyper-parameters");
    bool ok = params_read(p, g, e) && plan_build(&pl, p, 0, e);
    if (ok) {
        /* Layers add their matrices in order, so those from the last layer's OUT on are the
         * last. */
        int32_t out = pl.step[plan_last_attn(&pl, 0, pl.nextn_step) + 1].w;
        for (int32_t i = 0; i < pl.nextn_matrix; i++)
            matrix_add(c, &pl.matrix[i], p->n_expert_used, i == pl.head || i >= out);
        c->n_groups = pl.n_groups;
        for (int i = 0; i < pl.n_groups; i++) {
            c->group_bytes[i] = (double)model_kv_page_bytes(&pl.group[i], kv) / KERN_PAGE;
            c->window[i] = pl.group[i].window;
        }
        if (pl.nextn_group.n_layers)
            c->nextn_bytes = (double)model_kv_page_bytes(&pl.nextn_group, kv) / KERN_PAGE;
        plan_deinit(&pl);
    }
    free(p);
    return ok;
}

double model_cost_kv_bytes(const model_cost *c, int32_t n) {
    double bytes = 0;
    for (int32_t i = 0; i < c->n_groups; i++)
        bytes += c->group_bytes[i] * (c->window[i] && c->window[i] < n ? c->window[i] : n);
    return bytes;
}
