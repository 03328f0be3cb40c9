/* The AVX-VNNI variant: the common code on vectors of 8. */
#define VEC_NAME "avxvnni"
#include "kern/vec_avxvnni.h"

#include "kern/vec_kern.h"

const kern kern_avxvnni = VEC_KERN;
