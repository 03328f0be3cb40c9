/* The blocks that architectures share: attention, feed-forward, experts, embedding, head. */
#include <math.h>

#include "model/arch/arch.h"

arch_style arch_style_of(void) {
    return (arch_style){.ffn_norm = "blk.%d.ffn_norm.weight", .glu = GLU_SILU};
}

void arch_begin(plan *pl, const params *p) {
    const model_params *m = &p->pub;
    pl->tied = !plan_has(pl, "output.weight", 0);
    /* Also checks the shape of an embedding that is only read row by row. */
    plan_ref embd = plan_add_matrix(pl, "token_embd.weight", 0, m->n_vocab, m->n_embd);
    if (embd == PLAN_NONE) return;
    pl->embd = pl->matrix[embd].src;
    if (pl->tied) {
        pl->head = embd;
        return;
    }
    pl->n_matrices--; /* it stays in the file */
    pl->head = plan_add_matrix(pl, "output.weight", 0, m->n_vocab, m->n_embd);
}

plan_heads arch_heads_of(const params *p, int il) {
    const model_params *m = &p->pub;
    plan_heads h = {.n_head = p->n_head[il],
                    .n_head_kv = p->n_head_kv[il],
                    .head_dim_k = m->head_dim_k,
                    .head_dim_v = m->head_dim_v,
                    .rope = 0};
    h.scale = p->attn_scale > 0 ? p->attn_scale : (float)(1.0 / sqrt((double)m->head_dim_k));
    return h;
}

/* The table of factors that the longrope scheme uses for the context that will be served. */
static void rope_long(plan *pl, const params *p, plan_rope *r) {
    int32_t orig = p->rope_ctx_orig > 0 ? p->rope_ctx_orig : p->pub.n_ctx;
    bool use_long = pl->n_ctx > orig;
    r->factors = plan_opt_vector(
        pl, use_long ? "rope_factors_long.weight" : "rope_factors_short.weight", 0, r->n_rot / 2);
    double stretch = (double)p->pub.n_ctx / orig;
    if (p->rope_attn_factor > 0) r->magnitude = p->rope_attn_factor;
    else if (stretch > 1 && orig > 1) r->magnitude = sqrt(1 + log(stretch) / log((double)orig));
    r->scaling = ROPE_PLAIN;
}

plan_rope arch_rope_of(plan *pl, const params *p, bool neox) {
    plan_rope r = {.n_rot = p->pub.n_rot,
                   .neox = neox,
                   .scaling = p->scaling,
                   .base = p->rope_base,
                   .factor = 1,
                   .magnitude = 1,
                   .truncate = true,
                   .factors = PLAN_NONE};
    r.ctx_orig = p->rope_ctx_orig > 0 ? p->rope_ctx_orig : p->pub.n_ctx;
    r.beta_fast = p->yarn_beta_fast > 0 ? p->yarn_beta_fast : 32;
    r.beta_slow = p->yarn_beta_slow > 0 ? p->yarn_beta_slow : 1;
    r.ext = p->yarn_ext >= 0 ? p->yarn_ext : 1;
    if (plan_has(pl, "rope_factors_long.weight", 0)) {
        rope_long(pl, p, &r);
        return r;
    }
    if (p->scaling == ROPE_LINEAR || p->scaling == ROPE_YARN) r.factor = p->rope_factor;
    if (p->scaling == ROPE_YARN) {
        r.magnitude = r.factor > 1 ? 1 + 0.1 * log(r.factor) : 1;
        if (p->rope_attn_factor > 0) r.magnitude *= p->rope_attn_factor;
        else if (p->yarn_attn > 0) r.magnitude *= p->yarn_attn;
    }
    r.factors = plan_opt_vector(pl, "rope_freqs.weight", 0, r.n_rot / 2);
    return r;
}

/* x takes in what the last branch gave (normed by `post`), and h is x normed. */
static void norm(plan *pl, const params *p, int il, const char *w, const char *post,
                 int post_layer) {
    plan_ref post_ref = post ? plan_add_vector(pl, post, post_layer, p->pub.n_embd) : PLAN_NONE;
    plan_ref w_ref = plan_add_vector(pl, w, il, p->pub.n_embd);
    plan_step *s = plan_add_step(pl, PLAN_NORM);
    s->w = w_ref;
    s->post = post_ref;
}

static plan_ref bias(plan *pl, const char *name, int il, int64_t n, bool required) {
    return required ? plan_add_vector(pl, name, il, n) : plan_opt_vector(pl, name, il, n);
}

static void attention(plan *pl, const params *p, int il, const plan_heads *h, const arch_style *s) {
    int64_t k = p->pub.n_embd;
    int64_t nq = (int64_t)h->n_head * h->head_dim_k, nk = (int64_t)h->n_head_kv * h->head_dim_k;
    int64_t nv = (int64_t)h->n_head_kv * h->head_dim_v;
    plan_step *to = plan_add_step(pl, PLAN_QKV);
    plan_step st = *to;
    if (s->packed) {
        const char *name = "blk.%d.attn_qkv.weight";
        st.w = plan_add_rows(pl, name, il, nq + nk + nv, 0, nq, k);
        st.wk = plan_add_rows(pl, name, il, nq + nk + nv, nq, nk, k);
        st.wv = plan_add_rows(pl, name, il, nq + nk + nv, nq + nk, nv, k);
    } else {
        st.w = plan_add_matrix(pl, "blk.%d.attn_q.weight", il, nq, k);
        st.wk = plan_add_matrix(pl, "blk.%d.attn_k.weight", il, nk, k);
        st.wv = plan_add_matrix(pl, "blk.%d.attn_v.weight", il, nv, k);
        st.b = bias(pl, "blk.%d.attn_q.bias", il, nq, s->qkv_bias);
        st.bk = bias(pl, "blk.%d.attn_k.bias", il, nk, s->qkv_bias);
        st.bv = bias(pl, "blk.%d.attn_v.bias", il, nv, s->qkv_bias);
    }
    if (s->head_norm) {
        st.q_norm = plan_add_vector(pl, "blk.%d.attn_q_norm.weight", il, h->head_dim_k);
        st.k_norm = plan_add_vector(pl, "blk.%d.attn_k_norm.weight", il, h->head_dim_k);
    }
    st.heads = plan_add_heads(pl, *h);
    *to = st; /* no step has been added meanwhile */
    plan_ref sinks = s->sinks ? plan_add_vector(pl, "blk.%d.attn_sinks.weight", il, h->n_head)
                              : PLAN_NONE;
    to = plan_add_step(pl, PLAN_ATTN);
    to->heads = st.heads;
    to->sinks = sinks;
    plan_ref w = plan_add_matrix(pl, "blk.%d.attn_output.weight", il, k,
                                 (int64_t)h->n_head * h->head_dim_v);
    plan_ref b = bias(pl, "blk.%d.attn_output.bias", il, k, s->out_bias);
    to = plan_add_step(pl, PLAN_OUT);
    to->w = w;
    to->b = b;
}

/* The matrices of a feed-forward, dense or of all experts, with their biases. */
typedef struct ffn {
    plan_ref gate, gate_b, up, up_b, down, down_b;
} ffn;

static ffn ffn_add(plan *pl, const char *const names[3], int il, int64_t k, int64_t ff) {
    ffn f = {.gate_b = PLAN_NONE, .up_b = PLAN_NONE, .down_b = PLAN_NONE};
    f.gate = plan_add_matrix(pl, names[0], il, ff, k);
    f.up = plan_add_matrix(pl, names[1], il, ff, k);
    f.down = plan_add_matrix(pl, names[2], il, k, ff);
    return f;
}

/* Returns the way down, until the next step is added. */
static plan_step *ffn_steps(plan *pl, plan_op up, plan_op down, const ffn *f, plan_glu glu) {
    plan_pair(pl, f->gate, f->up);
    plan_step *to = plan_add_step(pl, up);
    to->w = f->gate;
    to->b = f->gate_b;
    to->w2 = f->up;
    to->b2 = f->up_b;
    to->glu = glu;
    to = plan_add_step(pl, down);
    to->w = f->down;
    to->b = f->down_b;
    return to;
}

static void feed_forward(plan *pl, const params *p, int il, const arch_style *s) {
    static const char *const names[] = {"blk.%d.ffn_gate.weight", "blk.%d.ffn_up.weight",
                                        "blk.%d.ffn_down.weight"};
    int64_t k = p->pub.n_embd, n = p->n_ff[il];
    ffn f;
    if (n < 1) plan_fail(pl, "%s.feed_forward_length is missing or 0", p->pub.arch);
    if (s->packed) {
        f.gate = plan_add_rows(pl, names[1], il, 2 * n, 0, n, k);
        f.up = plan_add_rows(pl, names[1], il, 2 * n, n, n, k);
        f.down = plan_add_matrix(pl, names[2], il, k, n);
        f.gate_b = f.up_b = PLAN_NONE;
    } else {
        f = ffn_add(pl, names, il, k, n);
        f.gate_b = plan_opt_vector(pl, "blk.%d.ffn_gate.bias", il, n);
        f.up_b = plan_opt_vector(pl, "blk.%d.ffn_up.bias", il, n);
    }
    f.down_b = plan_opt_vector(pl, "blk.%d.ffn_down.bias", il, k);
    ffn_steps(pl, PLAN_GATE_UP, PLAN_DOWN, &f, s->glu);
}

/* What every row uses beside the experts that it chooses: a feed-forward that adds to theirs. */
static void shared_expert(plan *pl, const params *p, int il, const arch_style *s) {
    static const char *const names[] = {"blk.%d.ffn_gate_shexp.weight",
                                        "blk.%d.ffn_up_shexp.weight",
                                        "blk.%d.ffn_down_shexp.weight"};
    ffn f = ffn_add(pl, names, il, p->pub.n_embd, (int64_t)p->n_ff_expert * p->n_expert_shared);
    ffn_steps(pl, PLAN_GATE_UP, PLAN_DOWN, &f, s->glu)->add = true;
}

static void experts(plan *pl, const params *p, int il, const arch_style *s) {
    int64_t k = p->pub.n_embd, ff = p->n_ff_expert;
    int32_t n = p->n_expert;
    plan_ref choose = s->sigmoid ? plan_opt_vector(pl, "blk.%d.exp_probs_b.bias", il, n)
                                 : PLAN_NONE;
    plan_ref router = plan_add_matrix(pl, "blk.%d.ffn_gate_inp.weight", il, n, k);
    plan_ref br = bias(pl, "blk.%d.ffn_gate_inp.bias", il, n, s->expert_bias);
    ffn f = {0};
    f.gate = plan_add_experts(pl, "blk.%d.ffn_gate_exps.weight", il, n, ff, k);
    f.up = plan_add_experts(pl, "blk.%d.ffn_up_exps.weight", il, n, ff, k);
    f.down = plan_add_experts(pl, "blk.%d.ffn_down_exps.weight", il, n, k, ff);
    f.gate_b = plan_opt_expert_vector(pl, "blk.%d.ffn_gate_exps.bias", il, n, ff);
    f.up_b = plan_opt_expert_vector(pl, "blk.%d.ffn_up_exps.bias", il, n, ff);
    f.down_b = plan_opt_expert_vector(pl, "blk.%d.ffn_down_exps.bias", il, n, k);
    if (s->expert_bias && (f.gate_b == PLAN_NONE || f.up_b == PLAN_NONE || f.down_b == PLAN_NONE))
        plan_fail(pl, "biases of the experts of layer %d are missing", il);
    plan_step *to = plan_add_step(pl, PLAN_ROUTE);
    to->w = router;
    to->b = br;
    to->n_used = p->n_expert_used;
    to->sigmoid = s->sigmoid;
    to->choose = choose;
    to->normed = p->expert_norm != 0;
    to->scale = s->sigmoid ? p->expert_scale : 1;
    ffn_steps(pl, PLAN_EXP_UP, PLAN_EXP_DOWN, &f, s->glu);
    if (p->n_expert_shared > 0) shared_expert(pl, p, il, s);
}

void arch_layer(plan *pl, const params *p, int il, const plan_heads *h, const arch_style *s) {
    bool begins = il == 0 || pl->in_nextn;
    norm(pl, p, il, "blk.%d.attn_norm.weight", begins ? NULL : s->ffn_post, il - 1);
    if (il == 0 && !pl->failed) pl->step[pl->n_steps - 1].first = true;
    attention(pl, p, il, h, s);
    norm(pl, p, il, s->ffn_norm, s->attn_post, il);
    if (p->n_expert > 0 && il >= p->n_dense_lead) experts(pl, p, il, s);
    else feed_forward(pl, p, il, s);
}

static void head(plan *pl, const params *p, plan_ref w) {
    plan_ref b = plan_opt_vector(pl, "output.bias", 0, p->pub.n_vocab);
    plan_step *to = plan_add_step(pl, PLAN_HEAD);
    to->w = w;
    to->b = b;
    to->scale = p->logit_scale > 0 ? p->logit_scale : 1;
    to->cap = p->final_softcap > 0 ? p->final_softcap : 0;
}

/* Layer il, the first behind the model's own. Its embedding, norm and head are the model's where
 * the file has none of its own. Further such layers are left alone: this one guesses on from what
 * it said itself. */
static void nextn(plan *pl, const params *p, int il, const arch_style *s) {
    int64_t k = p->pub.n_embd;
    const char *own_head = "blk.%d.nextn.shared_head_head.weight",
               *own_norm = "blk.%d.nextn.shared_head_norm.weight";
    pl->in_nextn = true;
    pl->nextn_step = pl->n_steps;
    pl->nextn_matrix = pl->n_matrices;
    pl->nextn_embd = plan_opt_rows_read(pl, "blk.%d.nextn.embed_tokens.weight", il, k,
                                        p->pub.n_vocab);
    plan_ref e = plan_add_vector(pl, "blk.%d.nextn.enorm.weight", il, k);
    plan_ref h = plan_add_vector(pl, "blk.%d.nextn.hnorm.weight", il, k);
    plan_ref join = plan_add_matrix(pl, "blk.%d.nextn.eh_proj.weight", il, k, 2 * k);
    plan_step *to = plan_add_step(pl, PLAN_JOIN);
    to->w = join;
    to->enorm = e;
    to->hnorm = h;
    if (pl->failed) return;
    plan_heads like = pl->heads[pl->n_heads - 1];
    like.n_head = p->n_head[il];
    like.n_head_kv = p->n_head_kv[il];
    arch_layer(pl, p, il, &like, s);
    norm(pl, p, il, plan_has(pl, own_norm, il) ? own_norm : "output_norm.weight", s->ffn_post, il);
    head(pl, p,
         plan_has(pl, own_head, il) ? plan_add_matrix(pl, own_head, il, p->pub.n_vocab, k)
                                    : pl->head);
}

void arch_end(plan *pl, const params *p, const arch_style *s) {
    norm(pl, p, 0, "output_norm.weight", s->ffn_post, p->pub.n_layer - 1);
    head(pl, p, pl->head);
    if (p->n_nextn > 0 && plan_has(pl, "blk.%d.nextn.eh_proj.weight", p->pub.n_layer))
        nextn(pl, p, p->pub.n_layer, s);
}

void arch_alike(plan *pl, const params *p, const arch_style *s, bool neox, bool windowed) {
    arch_begin(pl, p);
    plan_rope r = arch_rope_of(pl, p, neox);
    int32_t rope = plan_add_rope(pl, &r);
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = rope;
        h.window = windowed && p->window > 0 ? p->window : 0;
        arch_layer(pl, p, il, &h, s);
    }
    arch_end(pl, p, s);
}
