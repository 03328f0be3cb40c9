/* What this CPU can do at most with a variant's own instructions: the yardsticks of `hearth bench`.
 *
 * Each loop runs in registers alone and does nothing of use: as many independent dot products, or
 * fused multiply-adds, as the CPU takes. No kernel can be faster with these instructions, so that a
 * kernel's rate over this one is its share of what is possible. `read` is the plainest walk over
 * memory with the variant's widest loads. Any thread; whoever calls takes the time.
 *
 *     const kern_peak *p = kern_peak_of(kern_get());
 *     double t0 = clock_now_s(), macs = p->dot(1000000), rate = macs / (clock_now_s() - t0);
 */
#ifndef HEARTH_KERN_PEAK_H
#define HEARTH_KERN_PEAK_H

#include "kern/kern.h"

typedef struct kern_peak {
    const char *dot_name, *fma_name; /* the instructions, "vpdpbusd zmm"; NULL: no such loop */
    /* n rounds; returns the multiply-adds done. NULL: not known for this variant. */
    double (*dot)(int64_t n); /* 8-bit integers */
    double (*fma)(int64_t n); /* 32-bit floats */
    /* Reads n bytes, a multiple of 256, from p, 64-byte aligned. Returns something of them. */
    uint64_t (*read)(const void *p, size_t n);
} kern_peak;

/* Of the variant k. Never NULL, but its members may be. */
const kern_peak *kern_peak_of(const kern *k);

#endif
