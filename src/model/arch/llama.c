/* llama: Llama 1 to 3, Mistral, SmolLM2, TinyLlama and their many children; with expert_count,
 * Mixtral. Its files hold Q and K permuted so that rope turns neighbouring pairs. */
#include "model/arch/arch.h"

void arch_llama(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    arch_begin(pl, p);
    plan_rope r = arch_rope_of(pl, p, false);
    int32_t rope = plan_add_rope(pl, &r);
    for (int il = 0; il < p->pub.n_layer; il++) {
        plan_heads h = arch_heads_of(p, il);
        h.rope = rope;
        h.window = p->window > 0 ? p->window : 0; /* Mistral 0.1 */
        arch_layer(pl, p, il, &h, &s);
    }
    arch_end(pl, p, &s);
}
