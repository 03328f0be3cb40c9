/* Peaks of the AVX2 variant. Its dot product is a product of bytes into 16-bit sums, several of
 * which may be added before they are widened: the additions are what every product needs at least.
 */
#include "kern/kern_variants.h"

#include "kern/peak_loops.h"

#define DOT(r)                                                                                     \
    "vpmaddubsw %%ymm12,%%ymm13,%%ymm14\n"                                                         \
    "vpaddw %%ymm14,%%ymm" r ",%%ymm" r "\n"
#define FMA(r) "vfmadd231ps %%ymm12,%%ymm13,%%ymm" r "\n"
PEAK_LOOP(dot, 32, PEAK_CLEAR, DOT, PEAK_REGISTERS)
PEAK_LOOP(fma_f32, 8, PEAK_CLEAR, FMA, PEAK_REGISTERS)

const kern_peak kern_peak_avx2 = {.dot_name = "vpmaddubsw + vpaddw ymm",
                                  .fma_name = "vfmadd231ps ymm",
                                  .dot = dot,
                                  .fma = fma_f32,
                                  .read = peak_read};
