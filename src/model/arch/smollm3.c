/* smollm3: llama, except that every fourth layer has no rope. */
#include "model/arch/arch.h"

void arch_smollm3(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    arch_begin(pl, p);
    plan_rope r = arch_rope_of(pl, p, false);
    int32_t rope = plan_add_rope(pl, &r);
    int32_t interval = p->no_rope_interval == PARAM_ABSENT ? 4 : p->no_rope_interval;
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = interval > 0 && (il + 1) % interval == 0 ? PLAN_NONE : rope;
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
}
