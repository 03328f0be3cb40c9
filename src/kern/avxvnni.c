/* The AVX-VNNI variant: the common code on vectors of 8. */
#include "kern/kern_variants.h"

#include "kern/vec_avxvnni.h"

#include "kern/vec_misc.h"

#include "kern/vec_attn.h"
#include "kern/vec_matmul.h"

const kern kern_avxvnni = {
    .name = "avxvnni",
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
