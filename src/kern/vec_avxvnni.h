/* Dot products of AVX-VNNI: one instruction on 32 bytes, nothing overflows. */
#ifndef HEARTH_KERN_VEC_AVXVNNI_H
#define HEARTH_KERN_VEC_AVXVNNI_H

#include "kern/vec_256.h"

#define VEC_DOT_SPAN(max_w) 1
#define VEC_DOT_BIAS(max_w) 0

VEC_INLINE ivec vec_dot_begin(ivec dot) {
    return dot;
}
VEC_INLINE ivec vec_dot_step(int max_w, ivec part, ivec w, ivec q) {
    (void)max_w;
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(part, w, q);
#else /* the same on CPUs that have it as part of AVX-512 */
    return _mm256_dpbusd_epi32(part, w, q);
#endif
}
VEC_INLINE ivec vec_dot_end(ivec dot, ivec part) {
    (void)dot;
    return part;
}

#endif
