/* Dot products of NEON's dotprod extension. SDOT takes both sides signed: weights up to 127 are the
 * same either way, larger ones (up to 255) are made signed, w - 128.
 */
#ifndef HEARTH_KERN_VEC_NEON_DOTPROD_H
#define HEARTH_KERN_VEC_NEON_DOTPROD_H

#include "kern/vec_neon.h"

#define VEC_DOT_BIAS(max_w) ((max_w) <= 127 ? 0 : 128)

/* `group` of the four in q; a constant wherever this is used. */
VEC_INLINE ivec vec_dot_group(int max_w, ivec part, ivec w, ivec q, int group) {
    uint8x16_t u = bytes_of(w);
    if (max_w > 127) u = veorq_u8(u, vdupq_n_u8(0x80));
    int8x16_t s = vreinterpretq_s8_u8(u), t = vreinterpretq_s8_s32(q);
    switch (group) {
    case 0: return vdotq_laneq_s32(part, s, t, 0);
    case 1: return vdotq_laneq_s32(part, s, t, 1);
    case 2: return vdotq_laneq_s32(part, s, t, 2);
    default: return vdotq_laneq_s32(part, s, t, 3);
    }
}

VEC_INLINE ivec vec_int_dot(bool keys, ivec acc, vec_int w, ivec x) {
    (void)keys;
    return vdotq_s32(acc, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
}

#endif
