/* gemma2 and gemma3: embedding scaled by the root of the width, a norm before and after each branch
 * (their +1 is already in the file), GELU, and layers that alternate between a window and
 * everything. gemma2 caps its logits; gemma3 norms Q and K instead and turns its window layers by a
 * base of their own. */
#include <math.h>

#include "model/arch/arch.h"

static arch_style style(void) {
    arch_style s = arch_style_of();
    s.glu = GLU_GELU;
    s.attn_post = "blk.%d.post_attention_norm.weight";
    s.ffn_post = "blk.%d.post_ffw_norm.weight";
    return s;
}

/* The largest of each family scales queries by its width per head; the others by the head. The file
 * does not say which, but its number of layers does. */
static float query_scale(const params *p, int32_t layers_of_largest) {
    if (p->attn_scale > 0) return p->attn_scale;
    if (p->pub.n_layer == layers_of_largest)
        return (float)(1.0 / sqrt((double)p->pub.n_embd / p->pub.n_head));
    return (float)(1.0 / sqrt((double)p->pub.head_dim_k));
}

void arch_gemma2(plan *pl, const params *p) {
    arch_style s = style();
    arch_begin(pl, p);
    pl->embd_scale = sqrtf((float)p->pub.n_embd);
    plan_rope r = arch_rope_of(pl, p, true);
    int32_t rope = plan_add_rope(pl, &r);
    int32_t window = p->window == PARAM_ABSENT ? 4096 : p->window;
    int32_t pattern = p->window_pattern > 0 ? p->window_pattern : 2;
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = rope;
        h.scale = query_scale(p, 46);
        h.softcap = p->attn_softcap == PARAM_ABSENT ? 50 : p->attn_softcap;
        h.window = (il + 1) % pattern ? window : 0;
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
    for (int i = 0; !pl->failed && i < pl->n_steps; i++)
        if (pl->step[i].op == PLAN_HEAD && p->final_softcap == PARAM_ABSENT) pl->step[i].cap = 30;
}

void arch_gemma3(plan *pl, const params *p) {
    arch_style s = style();
    s.head_norm = true;
    arch_begin(pl, p);
    pl->embd_scale = sqrtf((float)p->pub.n_embd);
    plan_rope r = arch_rope_of(pl, p, true);
    int32_t rope_all = plan_add_rope(pl, &r);
    plan_rope local = {.n_rot = r.n_rot,
                       .neox = true,
                       .scaling = ROPE_PLAIN,
                       .factor = 1,
                       .magnitude = 1,
                       .base = p->rope_base_local > 0 ? p->rope_base_local : 10000,
                       .factors = PLAN_NONE};
    int32_t rope_local = plan_add_rope(pl, &local);
    int32_t window = p->window == PARAM_ABSENT ? 0 : p->window;
    int32_t pattern = p->window_pattern > 0 ? p->window_pattern : 6;
    for (int il = 0; il < p->pub.n_layer; il++) {
        bool sees_all = (il + 1) % pattern == 0;
        plan_heads h = arch_heads_of(p, il);
        h.rope = sees_all ? rope_all : rope_local;
        h.scale = query_scale(p, 62);
        h.softcap = p->attn_softcap > 0 ? p->attn_softcap : 0;
        h.window = sees_all ? 0 : window;
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
}
