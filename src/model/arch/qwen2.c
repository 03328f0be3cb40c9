/* qwen2: Qwen 2 and 2.5. Biases on Q, K and V. */
#include "model/arch/arch.h"

void arch_qwen2(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.qkv_bias = true;
    arch_alike(pl, p, &s, true, false);
}
