#ifndef KERN_TEST_VNNI256_H
#define KERN_TEST_VNNI256_H

#include "kern/kern.h"

/* NULL when this CPU cannot run it. */
const kern *vnni256_kern(void);

#endif
