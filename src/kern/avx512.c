/* The AVX-512 variant (with VNNI): the common code on vectors of 16. */
#include "kern/kern_variants.h"

#include "kern/vec_avx512.h"

#include "kern/vec_misc.h"

#include "kern/vec_attn.h"
#include "kern/vec_matmul.h"

const kern kern_avx512 = {
    .name = "avx512",
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
