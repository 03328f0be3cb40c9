#ifndef KERN_TEST_LACKING_H
#define KERN_TEST_LACKING_H

#include "kern/kern.h"

/* A variant that has code for Q8_0 alone, of the block types. NULL when this CPU cannot run it. */
const kern *lacking_kern(void);

#endif
