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

/* Attention's exact products: vec_attn_int.h says what these are. */
typedef ivec vec_int;
VEC_INLINE vec_int vec_int_load(bool keys, const void *p) {
    (void)keys;
    return _mm256_loadu_si256((const __m256i *)p);
}
VEC_INLINE ivec vec_int_dot(bool keys, ivec acc, vec_int w, ivec x) {
    return keys ? vec_dot_step(255, acc, w, x) : vec_dot_step(255, acc, x, w);
}
VEC_INLINE void vec_int_split(bool keys, uint8_t *high, uint8_t *low, vec a) {
    const __m128i apart = _mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0);
    __m128i x = int16_of(a);
    if (keys) x = _mm_xor_si128(_mm_add_epi16(x, _mm_set1_epi16(128)), _mm_set1_epi16(128));
    x = _mm_shuffle_epi8(x, apart);
    _mm_storel_epi64((__m128i *)(void *)low, x);
    _mm_storel_epi64((__m128i *)(void *)high, _mm_unpackhi_epi64(x, x));
}
VEC_INLINE ivec vec_int_join(ivec high, ivec low) {
    return _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
}

#endif
