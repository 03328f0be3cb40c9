/* The functions of the AVX-512 variant, gathered in avx512_misc.c. Inside the kern room only. */
#ifndef HEARTH_KERN_AVX512_H
#define HEARTH_KERN_AVX512_H

#include "kern/kern.h"

#define AVX512_TILE 6 /* tokens of the largest tile */

void avx512_matmul(const kern_format *f, const void *panel, const kern_act *a, const int32_t *rows, int t0, int n,
                   float *c);

#endif
