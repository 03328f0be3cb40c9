/* qwen3 and qwen3moe: Q and K are normed head by head; the second has experts to feed forward. */
#include "model/arch/arch.h"

void arch_qwen3(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.head_norm = true;
    arch_begin(pl, p);
    plan_rope r = arch_rope_of(pl, p, true);
    int32_t rope = plan_add_rope(pl, &r);
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = rope;
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
}

void arch_qwen3moe(plan *pl, const params *p) {
    if (p->n_expert == 0) plan_fail(pl, "qwen3moe.expert_count is missing");
    arch_qwen3(pl, p);
}
