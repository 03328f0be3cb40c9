/* phi3: Phi 3, 3.5 and 4-mini. Q, K, V in one matrix, gate and up in another; long contexts by a
 * table of rope factors; where the file names a window, every layer has it. */
#include "model/arch/arch.h"

void arch_phi3(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.packed = true;
    arch_begin(pl, p);
    plan_rope r = arch_rope_of(pl, p, true);
    int32_t rope = plan_add_rope(pl, &r);
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = rope;
        h.window = p->window > 0 ? p->window : 0;
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
}
