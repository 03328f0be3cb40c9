/* llama: Llama 1 to 3, Mistral, SmolLM2, TinyLlama and their many children; with expert_count,
 * Mixtral. Its files hold Q and K permuted so that rope turns neighbouring pairs. */
#include "model/arch/arch.h"

void arch_llama(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    arch_alike(pl, p, &s, false, true); /* a window: Mistral 0.1 */
}
