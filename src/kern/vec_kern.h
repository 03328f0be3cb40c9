/* A whole variant from one set of vectors. A variant's file is its name, its vec_<set>.h, then
 * this:
 *
 *     #define VEC_NAME "avx2"
 *     #include "kern/vec_avx2.h"
 *
 *     #include "kern/vec_kern.h"
 *
 *     const kern kern_avx2 = VEC_KERN;
 */
#include "kern/kern_variants.h"

#include "kern/vec_misc.h"

#include "kern/vec_attn.h"
#include "kern/vec_matmul.h"

#define VEC_KERN                                                                                   \
    {                                                                                              \
        .name = VEC_NAME, .tile_tokens = VEC_TILE_TOKENS, .quantize = misc_quantize,               \
        .refine = misc_refine, .matmul = vec_matmul, .rmsnorm = misc_rmsnorm, .add = misc_add,     \
        .scale = misc_scale, .silu_mul = misc_silu_mul, .gelu_mul = misc_gelu_mul,                 \
        .oai_mul = misc_oai_mul, .softcap = misc_softcap, .softmax = misc_softmax,                 \
        .rope = misc_rope, .kv_write = misc_kv_write, .attn = vec_attn, .argmax = misc_argmax,     \
    }
