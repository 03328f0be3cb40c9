/* Dot products of the NEON that every 64-bit ARM has (Cortex-A53, A72 ...): products in 16 bits,
 * added in pairs, then into 32. Both sides are signed: weights above 127 are made so, w - 128, and
 * two products of 128 * 127 stay under 2^15.
 */
#ifndef HEARTH_KERN_VEC_NEON_BASE_H
#define HEARTH_KERN_VEC_NEON_BASE_H

#include "kern/vec_neon.h"

#define VEC_DOT_BIAS(max_w) ((max_w) <= 127 ? 0 : 128)

VEC_INLINE ivec signed_dot(ivec acc, int8x16_t s, int8x16_t t) {
    int16x8_t low = vmull_s8(vget_low_s8(s), vget_low_s8(t)), high = vmull_high_s8(s, t);
    return vpadalq_s16(acc, vpaddq_s16(low, high));
}

/* `group` of the four in q; a constant wherever this is used. */
VEC_INLINE ivec vec_dot_group(int max_w, ivec part, ivec w, ivec q, int group) {
    uint8x16_t u = bytes_of(w);
    if (max_w > 127) u = veorq_u8(u, vdupq_n_u8(0x80));
    int8x16_t s = vreinterpretq_s8_u8(u), t;
    switch (group) {
    case 0: t = vreinterpretq_s8_s32(vdupq_laneq_s32(q, 0)); break;
    case 1: t = vreinterpretq_s8_s32(vdupq_laneq_s32(q, 1)); break;
    case 2: t = vreinterpretq_s8_s32(vdupq_laneq_s32(q, 2)); break;
    default: t = vreinterpretq_s8_s32(vdupq_laneq_s32(q, 3)); break;
    }
    return signed_dot(part, s, t);
}

VEC_INLINE ivec vec_int_dot(bool keys, ivec acc, vec_int w, ivec x) {
    (void)keys;
    return signed_dot(acc, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
}

#endif
