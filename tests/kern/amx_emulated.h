#ifndef KERN_TEST_AMX_EMULATED_H
#define KERN_TEST_AMX_EMULATED_H

#include "kern/kern.h"

/* NULL when this CPU lacks the AVX-512 part. */
const kern *amx_emulated_kern(void);

#endif
