/* glm4moe: GLM 4.5, 4.5 Air, 4.6 and their like. Layers in front are dense; the others have experts
 * that are chosen by sigmoids, and one that every token uses. Rope turns a part of each head. Most
 * files have a layer more, which guesses the token after the next. */
#include "model/arch/arch.h"

void arch_glm4moe(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.sigmoid = true;
    s.ffn_norm = "blk.%d.post_attention_norm.weight";
    s.head_norm = plan_has(pl, "blk.%d.attn_q_norm.weight", 0);
    if (p->n_expert == 0) plan_fail(pl, "glm4moe.expert_count is missing");
    if (p->expert_gate != PARAM_ABSENT && p->expert_gate != 2)
        plan_fail(pl, "glm4moe.expert_gating_func is %d; known: 2 (sigmoid)", p->expert_gate);
    if (p->n_expert_group > 1)
        plan_fail(pl, "glm4moe.expert_group_count is %d; known: 1", p->n_expert_group);
    arch_alike(pl, p, &s, true, false);
}
