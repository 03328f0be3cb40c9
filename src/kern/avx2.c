/* The AVX2 variant: the common code on vectors of 8. */
#define VEC_NAME "avx2"
#include "kern/vec_avx2.h"

#include "kern/vec_kern.h"

const kern kern_avx2 = VEC_KERN;
