/* The NEON variant (with dotprod): the common code on vectors of 4. */
#define VEC_NAME "neon"
#include "kern/vec_neon_dotprod.h"

#include "kern/vec_kern.h"

const kern kern_neon = VEC_KERN;
