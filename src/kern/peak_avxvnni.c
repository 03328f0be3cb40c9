/* Peaks of the AVX-VNNI variant. */
#include "kern/kern_variants.h"

#include "kern/peak_loops.h"

#define DOT(r) "%{vex%} vpdpbusd %%ymm12,%%ymm13,%%ymm" r "\n"
#define FMA(r) "vfmadd231ps %%ymm12,%%ymm13,%%ymm" r "\n"
PEAK_LOOP(dot, 32, PEAK_CLEAR, DOT, PEAK_REGISTERS)
PEAK_LOOP(fma_f32, 8, PEAK_CLEAR, FMA, PEAK_REGISTERS)

const kern_peak kern_peak_avxvnni = {.dot_name = "vpdpbusd ymm",
                                     .fma_name = "vfmadd231ps ymm",
                                     .dot = dot,
                                     .fma = fma_f32,
                                     .read = peak_read};
