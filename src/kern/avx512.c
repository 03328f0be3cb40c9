/* The AVX-512 variant (with VNNI): the common code on vectors of 16. */
#define VEC_NAME "avx512"
#include "kern/vec_avx512.h"

#include "kern/vec_kern.h"

const kern kern_avx512 = VEC_KERN;
