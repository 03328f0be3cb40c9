/* The AVX-VNNI variant in the encoding that AVX-512 CPUs have, so that it is tested on them too. */
#include "vnni256.h"

#if defined(__x86_64__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O2")
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#define VEC_NAME "vnni256"
#include "kern/vec_avxvnni.h"

#include "kern/vec_kern.h"

static const kern vnni256 = VEC_KERN;
#pragma GCC pop_options

const kern *vnni256_kern(void) {
    return kern_named("avx512") ? &vnni256 : NULL;
}
#else
const kern *vnni256_kern(void) {
    return NULL;
}
#endif
