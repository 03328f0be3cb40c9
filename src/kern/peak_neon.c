/* Peaks of the ARM variants: dot products by pairs, of four bytes a lane, and of eight in 2 x 2
 * tiles. The assembler is told of the extensions here; only CPUs that have them are asked for these
 * loops.
 */
#include "kern/kern_variants.h"

#include "kern/peak_loops.h"

#define REGISTERS                                                                                  \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
        "v15"
#define CLEAR_ONE(r) "movi v" r ".4s, #0\n"
#define CLEAR PEAK_TWELVE(CLEAR_ONE) CLEAR_ONE("12") CLEAR_ONE("13")
#define DOT(r) ".arch armv8.2-a+dotprod\nsdot v" r ".4s, v12.16b, v13.16b\n"
#define MMLA(r) ".arch armv8.6-a+i8mm\nusmmla v" r ".4s, v12.16b, v13.16b\n"
/* v14 and v15 only pass the products on. */
#define PAIRS(r)                                                                                   \
    "smull v14.8h, v12.8b, v13.8b\nsmull2 v15.8h, v12.16b, v13.16b\n"                              \
    "addp v14.8h, v14.8h, v15.8h\nsadalp v" r ".4s, v14.8h\n"
#define FMA(r) "fmla v" r ".4s, v12.4s, v13.4s\n"
PEAK_LOOP(dot, 16, CLEAR, DOT, REGISTERS)
PEAK_LOOP(pairs, 16, CLEAR, PAIRS, REGISTERS)
PEAK_LOOP(mmla, 32, CLEAR, MMLA, REGISTERS)
PEAK_LOOP(fma_f32, 4, CLEAR, FMA, REGISTERS)

const kern_peak kern_peak_neon_base = {
    .dot_name = "smull", .fma_name = "fmla", .dot = pairs, .fma = fma_f32, .read = peak_read};
const kern_peak kern_peak_neon = {
    .dot_name = "sdot", .fma_name = "fmla", .dot = dot, .fma = fma_f32, .read = peak_read};
const kern_peak kern_peak_neon_i8mm = {
    .dot_name = "usmmla", .fma_name = "fmla", .dot = mmla, .fma = fma_f32, .read = peak_read};
