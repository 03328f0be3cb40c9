/* The peaks that this build has; peak.c gives them out. Inside the kern room only. */
#ifndef HEARTH_KERN_PEAK_VARIANTS_H
#define HEARTH_KERN_PEAK_VARIANTS_H

#include "kern/peak.h"

#if defined(__x86_64__)
extern const kern_peak kern_peak_amx, kern_peak_avx512, kern_peak_avxvnni, kern_peak_avx2;
#elif defined(__aarch64__)
extern const kern_peak kern_peak_neon_base, kern_peak_dotprod, kern_peak_i8mm;
#endif

#endif
