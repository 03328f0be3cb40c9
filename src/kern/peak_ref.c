/* Without a variant of its own a CPU's memory can still be read. */
#include "kern/kern_variants.h"

#include "kern/peak_loops.h"

const kern_peak kern_peak_ref = {.read = peak_read};
