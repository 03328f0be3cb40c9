/* gpt-oss: experts in every layer, biases everywhere, attention sinks, a window in every other
 * layer, and YaRN whose ramp is not rounded to whole dimensions. */
#include "model/arch/arch.h"

void arch_gpt_oss(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.qkv_bias = s.out_bias = s.expert_bias = s.sinks = true;
    s.glu = GLU_OAI;
    s.ffn_norm = "blk.%d.post_attention_norm.weight";
    if (p->n_expert == 0) plan_fail(pl, "gpt-oss.expert_count is missing");
    arch_begin(pl, p);
    plan_rope r = arch_rope_of(pl, p, true);
    r.truncate = false;
    int32_t rope = plan_add_rope(pl, &r);
    int32_t window = p->window == PARAM_ABSENT ? 128 : p->window;
    int32_t pattern = p->window_pattern > 0 ? p->window_pattern : 2;
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = rope;
        h.window = (il + 1) % pattern ? window : 0;
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
}
