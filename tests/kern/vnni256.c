/* The AVX-VNNI variant in the encoding that AVX-512 CPUs have, so that it is tested on them too. */
#include "vnni256.h"

#if defined(__x86_64__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O2")
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#include "kern/vec_avxvnni.h"

#include "kern/vec_misc.h"

#include "kern/vec_attn.h"
#include "kern/vec_matmul.h"

static const kern vnni256 = {
    .name = "vnni256",
    .tile_tokens = VEC_TILE_TOKENS,
    .quantize = misc_quantize,
    .matmul = vec_matmul,
    .rmsnorm = misc_rmsnorm,
    .add = misc_add,
    .scale = misc_scale,
    .silu_mul = misc_silu_mul,
    .gelu_mul = misc_gelu_mul,
    .oai_mul = misc_oai_mul,
    .softcap = misc_softcap,
    .softmax = misc_softmax,
    .rope = misc_rope,
    .kv_write = misc_kv_write,
    .attn = vec_attn,
    .argmax = misc_argmax,
};
#pragma GCC pop_options

const kern *vnni256_kern(void) {
    return kern_named("avx512") ? &vnni256 : NULL;
}
#else
const kern *vnni256_kern(void) {
    return NULL;
}
#endif
