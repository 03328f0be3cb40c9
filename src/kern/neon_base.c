/* The NEON variant without extensions: the common code on vectors of 4. */
#define VEC_NAME "neon-base"
#include "kern/vec_neon_base.h"

#include "kern/vec_kern.h"

const kern kern_neon_base = VEC_KERN;
