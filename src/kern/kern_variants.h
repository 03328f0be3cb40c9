/* The tables of the variants that this build has, and their peaks; pick.c alone gives them out.
 * Inside the kern room only. */
#ifndef HEARTH_KERN_VARIANTS_H
#define HEARTH_KERN_VARIANTS_H

#include "kern/peak.h"

extern const kern kern_ref;
extern const kern_peak kern_peak_ref;
#if defined(__x86_64__)
extern const kern kern_avx512, kern_avxvnni, kern_avx2;
extern const kern_peak kern_peak_amx, kern_peak_avx512, kern_peak_avxvnni, kern_peak_avx2;
kern kern_amx(void); /* kern_avx512's table with products of its own */
/* panel_unpack with AVX-512; every pointer is 64-byte aligned. False: it does not know the type. */
bool kern_avx512_unpack(const kern_format *f, const void *chunk, int kc, uint8_t *w, float *scale,
                        float *min);
/* Adds to c [n][64] what the second rounding of rows' chunk at k0 gives, rows as in matmul; a
 * type that unpack knows. */
void kern_avx512_twice(const kern_format *f, const void *chunk, int kc, const kern_act *a,
                       const int32_t *rows, int t0, int n, int64_t k0, float *c);
#elif defined(__aarch64__)
extern const kern kern_neon_i8mm, kern_neon, kern_neon_base;
extern const kern_peak kern_peak_neon_i8mm, kern_peak_neon, kern_peak_neon_base;
#endif

/* matmul of a variant for a weight type that it has no code for: the reference's, and a warning the
 * first time this process meets the variant and type. */
void kern_matmul_by_ref(const char *variant, const kern_format *f, const void *panel,
                        const kern_act *a, const int32_t *rows, int t0, int n, float *c);

#endif
