/* Peaks of the AVX-512 variant. */
#include "kern/kern_variants.h"

#include "kern/peak_loops.h"

#define DOT(r) "vpdpbusd %%zmm12,%%zmm13,%%zmm" r "\n"
#define FMA(r) "vfmadd231ps %%zmm12,%%zmm13,%%zmm" r "\n"
PEAK_LOOP(dot, 64, PEAK_CLEAR, DOT, PEAK_REGISTERS)
PEAK_LOOP(fma_f32, 16, PEAK_CLEAR, FMA, PEAK_REGISTERS)

const kern_peak kern_peak_avx512 = {.dot_name = "vpdpbusd zmm",
                                    .fma_name = "vfmadd231ps zmm",
                                    .dot = dot,
                                    .fma = fma_f32,
                                    .read = peak_read};
