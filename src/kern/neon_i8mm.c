/* The NEON variant with dotprod and i8mm: the common code on vectors of 4, and on pairs. */
#define VEC_NAME "neon-i8mm"
#include "kern/vec_neon_i8mm.h"

#include "kern/vec_kern.h"

const kern kern_neon_i8mm = VEC_KERN;
