/* Peaks of the AMX variant: dot products of whole tiles, 16 x 16 sums of 64 products each. No CPU
 * with AMX has run this yet.
 */
#include "kern/kern_variants.h"

#include "kern/peak_loops.h"

#define FMA(r) "vfmadd231ps %%zmm12,%%zmm13,%%zmm" r "\n"
PEAK_LOOP(fma_f32, 16, PEAK_CLEAR, FMA, PEAK_REGISTERS)

static double dot(int64_t n) {
    struct {
        uint8_t palette, start, unused[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    __asm__ volatile("ldtilecfg (%0)\n"
                     "tilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\n"
                     "tilezero %%tmm6\ntilezero %%tmm7" ::"r"(&config)
                     : "memory");
    for (int64_t i = 0; i < n; i++)
        __asm__ volatile("tdpbssd %%tmm7,%%tmm6,%%tmm0\n"
                         "tdpbssd %%tmm7,%%tmm6,%%tmm1\n"
                         "tdpbssd %%tmm7,%%tmm6,%%tmm2\n"
                         "tdpbssd %%tmm7,%%tmm6,%%tmm3" ::);
    __asm__ volatile("tilerelease");
    return (double)n * 4 * 16 * 16 * 64;
}

const kern_peak kern_peak_amx = {.dot_name = "tdpbssd",
                                 .fma_name = "vfmadd231ps zmm",
                                 .dot = dot,
                                 .fma = fma_f32,
                                 .read = peak_read};
