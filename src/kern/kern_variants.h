/* The tables of the variants that this build has; pick.c alone chooses. Inside the kern room only.
 * */
#ifndef HEARTH_KERN_VARIANTS_H
#define HEARTH_KERN_VARIANTS_H

#include "kern/kern.h"

extern const kern kern_ref;
#if defined(__x86_64__)
extern const kern kern_avx512, kern_avxvnni, kern_avx2;
#endif

#endif
