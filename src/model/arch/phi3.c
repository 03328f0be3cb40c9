/* phi3: Phi 3, 3.5 and 4-mini. Q, K, V in one matrix, gate and up in another; long contexts by a
 * table of rope factors; where the file names a window, every layer has it. */
#include "model/arch/arch.h"

void arch_phi3(plan *pl, const params *p) {
    arch_style s = arch_style_of();
    s.packed = true;
    arch_alike(pl, p, &s, true, true);
}
