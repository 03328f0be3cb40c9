/* bert and nomic-bert: encoders. Token, type and (bert) position are added up and normed; each
 * branch is added to what it read and the sum normed. bert has biases and a plain feed-forward with
 * the exact GELU; nomic-bert turns queries and keys by rope and has a gate, and its Q, K and V are
 * one matrix.
 */
#include "model/arch/arch.h"

/* What both begin with. */
static void begin(plan *pl, const params *p, bool positions) {
    const model_params *m = &p->pub;
    pl->encoder = true;
    pl->embd = plan_add_rows_read(pl, "token_embd.weight", m->n_embd, m->n_vocab);
    if (plan_has(pl, "token_types.weight", 0)) {
        const gguf_tensor *t = gguf_tensor_find(p->g, "token_types.weight");
        int64_t n = t->ne[1] <= LIMIT_TOKEN_TYPES ? (int64_t)t->ne[1] : 1;
        pl->type_embd = plan_add_rows_read(pl, "token_types.weight", m->n_embd, n);
    }
    if (positions)
        pl->pos_embd = plan_add_rows_read(pl, "position_embd.weight", m->n_embd, m->n_ctx);
}

static void norm(plan *pl, const params *p, const char *w, const char *b, int il, bool first) {
    plan_ref weight = plan_add_vector(pl, w, il, p->pub.n_embd);
    plan_ref bias = plan_opt_vector(pl, b, il, p->pub.n_embd);
    plan_step *s = plan_add_step(pl, PLAN_NORM);
    s->w = weight;
    s->b = bias;
    s->first = first;
    s->keep = true;
}

static void attention(plan *pl, const params *p, int il, int32_t rope) {
    int64_t k = p->pub.n_embd;
    plan_heads h = arch_heads_of(p, il);
    int64_t nq = (int64_t)h.n_head * h.head_dim_k, nk = (int64_t)h.n_head_kv * h.head_dim_k;
    int64_t nv = (int64_t)h.n_head_kv * h.head_dim_v, all = nq + nk + nv;
    plan_step st = {0};
    h.rope = rope;
    if (plan_has(pl, "blk.%d.attn_qkv.weight", il)) {
        st.w = plan_add_rows(pl, "blk.%d.attn_qkv.weight", il, all, 0, nq, k);
        st.wk = plan_add_rows(pl, "blk.%d.attn_qkv.weight", il, all, nq, nk, k);
        st.wv = plan_add_rows(pl, "blk.%d.attn_qkv.weight", il, all, nq + nk, nv, k);
        st.b = plan_opt_part(pl, "blk.%d.attn_qkv.bias", il, all, 0, nq);
        st.bk = plan_opt_part(pl, "blk.%d.attn_qkv.bias", il, all, nq, nk);
        st.bv = plan_opt_part(pl, "blk.%d.attn_qkv.bias", il, all, nq + nk, nv);
    } else {
        st.w = plan_add_matrix(pl, "blk.%d.attn_q.weight", il, nq, k);
        st.wk = plan_add_matrix(pl, "blk.%d.attn_k.weight", il, nk, k);
        st.wv = plan_add_matrix(pl, "blk.%d.attn_v.weight", il, nv, k);
        st.b = plan_opt_vector(pl, "blk.%d.attn_q.bias", il, nq);
        st.bk = plan_opt_vector(pl, "blk.%d.attn_k.bias", il, nk);
        st.bv = plan_opt_vector(pl, "blk.%d.attn_v.bias", il, nv);
    }
    st.heads = plan_add_heads(pl, h);
    if (pl->failed) return;
    pl->heads[st.heads].slot = 0; /* no layer reads what another has written */
    pl->group[0].n_layers = 1;
    plan_step *to = plan_add_step(pl, PLAN_QKV);
    to->w = st.w;
    to->wk = st.wk;
    to->wv = st.wv;
    to->b = st.b;
    to->bk = st.bk;
    to->bv = st.bv;
    to->heads = st.heads;
    plan_add_step(pl, PLAN_ATTN)->heads = st.heads;
    plan_ref w = plan_add_matrix(pl, "blk.%d.attn_output.weight", il, k, nv);
    plan_ref b = plan_opt_vector(pl, "blk.%d.attn_output.bias", il, k);
    to = plan_add_step(pl, PLAN_OUT);
    to->w = w;
    to->b = b;
}

static void feed_forward(plan *pl, const params *p, int il) {
    int64_t k = p->pub.n_embd, ff = p->n_ff[il];
    if (ff < 1) plan_fail(pl, "%s.feed_forward_length is missing or 0", p->pub.arch);
    bool gated = plan_has(pl, "blk.%d.ffn_gate.weight", il);
    plan_ref up = plan_add_matrix(pl, "blk.%d.ffn_up.weight", il, ff, k);
    plan_ref bu = plan_opt_vector(pl, "blk.%d.ffn_up.bias", il, ff);
    plan_ref gate = gated ? plan_add_matrix(pl, "blk.%d.ffn_gate.weight", il, ff, k) : PLAN_NONE;
    plan_ref down = plan_add_matrix(pl, "blk.%d.ffn_down.weight", il, k, ff);
    plan_ref bd = plan_opt_vector(pl, "blk.%d.ffn_down.bias", il, k);
    if (gated) plan_pair(pl, gate, up);
    plan_step *to = plan_add_step(pl, PLAN_GATE_UP);
    to->w = gated ? gate : up;
    to->b = gated ? PLAN_NONE : bu;
    to->w2 = gated ? up : PLAN_NONE;
    to->b2 = gated ? bu : PLAN_NONE;
    to->glu = gated ? GLU_SILU : GLU_GELU_ERF;
    to = plan_add_step(pl, PLAN_DOWN);
    to->w = down;
    to->b = bd;
}

static void encoder(plan *pl, const params *p, int32_t rope) {
    norm(pl, p, "token_embd_norm.weight", "token_embd_norm.bias", 0, true);
    for (int il = 0; il < p->pub.n_layer; il++) {
        attention(pl, p, il, rope);
        norm(pl, p, "blk.%d.attn_output_norm.weight", "blk.%d.attn_output_norm.bias", il, false);
        feed_forward(pl, p, il);
        norm(pl, p, "blk.%d.layer_output_norm.weight", "blk.%d.layer_output_norm.bias", il, false);
    }
    plan_add_step(pl, PLAN_END);
}

void arch_bert(plan *pl, const params *p) {
    begin(pl, p, true);
    encoder(pl, p, PLAN_NONE);
}

void arch_nomic_bert(plan *pl, const params *p) {
    begin(pl, p, false);
    plan_rope r = arch_rope_of(pl, p, true);
    encoder(pl, p, plan_add_rope(pl, &r));
}
