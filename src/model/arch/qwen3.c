/* qwen3 and qwen3moe: Q and K are normed head by head; the second has experts to feed forward. */
#include "model/arch/arch.h"

void arch_qwen3(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.head_norm = true;
    arch_alike(pl, p, &s, true, false);
}

void arch_qwen3moe(plan *pl, const params *p) {
    if (p->n_expert == 0) plan_fail(pl, "qwen3moe.expert_count is missing");
    arch_qwen3(pl, p);
}
