/* Dot products of NEON's i8mm extension, whose mixed forms take unsigned weights as they are.
 *
 * Few tokens: USDOT by element, like the dotprod variant; memory is the limit there. Many tokens:
 * USMMLA, which multiplies 2 rows x 8 elements by 8 elements x 2 tokens, twice the work of a
 * USDOT. The panel has 4 rows x 4 elements in a vector. Two groups' vectors zipped by lanes give
 * two row pairs of 8 elements, and since a chunk for many tokens is unpacked once anyway, the zip
 * is done there, once for all tokens: the staged form of this variant is [k/8][vector][row
 * pair][2 rows][8]. A tile keeps accumulators of (row pair) x (token pair), and one unzip a block
 * gives lanes that are rows again. In a tile of one token half of every USMMLA would be wasted, and
 * with two or three the zip in the tile would eat the gain: those take USDOT.
 */
#ifndef HEARTH_KERN_VEC_NEON_I8MM_H
#define HEARTH_KERN_VEC_NEON_I8MM_H

#include "kern/vec_neon.h"

#define VEC_DOT_BIAS(max_w) 0
#define VEC_PAIRS 1 /* staged weights are multiplied by pairs */

/* `group` of the four in q; a constant wherever this is used. */
VEC_INLINE ivec vec_dot_group(int max_w, ivec part, ivec w, ivec q, int group) {
    (void)max_w;
    uint8x16_t u = bytes_of(w);
    int8x16_t t = vreinterpretq_s8_s32(q);
    switch (group) {
    case 0: return vusdotq_laneq_s32(part, u, t, 0);
    case 1: return vusdotq_laneq_s32(part, u, t, 1);
    case 2: return vusdotq_laneq_s32(part, u, t, 2);
    default: return vusdotq_laneq_s32(part, u, t, 3);
    }
}

VEC_INLINE ivec vec_int_dot(bool keys, ivec acc, vec_int w, ivec x) {
    (void)keys;
    return vdotq_s32(acc, vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
}

/* Two groups of the same four rows to rows 0-1 and rows 2-3, eight elements each. */
VEC_INLINE void vec_pair_rows(ivec even, ivec odd, ivec pair[2]) {
    pair[0] = vzip1q_s32(even, odd);
    pair[1] = vzip2q_s32(even, odd);
}
/* Eight elements of each of two tokens. */
VEC_INLINE ivec vec_pair_tokens(const int8_t *a, const int8_t *b) {
    return vreinterpretq_s32_s8(vcombine_s8(vld1_s8(a), vld1_s8(b)));
}
/* Accumulators hold row 0 token a, row 0 token b, row 1 token a, row 1 token b. */
VEC_INLINE ivec vec_pair_start(int32_t a, int32_t b) {
    return vzip1q_s32(vdupq_n_s32(a), vdupq_n_s32(b));
}
VEC_INLINE ivec vec_pair_step(ivec acc, ivec rows, ivec two) {
    return vusmmlaq_s32(acc, bytes_of(rows), vreinterpretq_s8_s32(two));
}
/* The four rows of the first or second token. */
VEC_INLINE ivec vec_pair_rows_of(const ivec acc[2], int second) {
    return second ? vuzp2q_s32(acc[0], acc[1]) : vuzp1q_s32(acc[0], acc[1]);
}

#endif
