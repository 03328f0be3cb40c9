/* qwen2: Qwen 2 and 2.5. Biases on Q, K and V. */
#include "model/arch/arch.h"

void arch_qwen2(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.qkv_bias = true;
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
