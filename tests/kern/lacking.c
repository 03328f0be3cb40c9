/* A variant with holes: the common code, told of one weight type only. */
#include "lacking.h"

#include <stddef.h>

#define FOR_EACH_FORMAT(X) X(Q8_0, W_BYTE, S_F16, C8)
#define VEC_NAME "lacking"

#if defined(__x86_64__) && !defined(__clang__)
#define LACKING_BASE "avx2"
#pragma GCC push_options
#pragma GCC optimize("O2")
#pragma GCC target("avx2,fma,f16c")
#include "kern/vec_avx2.h"

#include "kern/vec_kern.h"

static const kern lacking = VEC_KERN;
#pragma GCC pop_options
#elif defined(__aarch64__) && !defined(__clang__)
#define LACKING_BASE "neon"
#pragma GCC push_options
#pragma GCC optimize("O2")
#pragma GCC target("arch=armv8.2-a+dotprod")
#include "kern/vec_neon_dotprod.h"

#include "kern/vec_kern.h"

static const kern lacking = VEC_KERN;
#pragma GCC pop_options
#endif

const kern *lacking_kern(void) {
#ifdef LACKING_BASE
    return kern_named(LACKING_BASE) ? &lacking : NULL;
#else
    return NULL;
#endif
}
