/* The AMX variant: tiles for many tokens, AVX-512 for the rest. The instructions are written here
 * and not taken from the compiler's header, whose loads do not say that they read memory.
 */
#include <immintrin.h>

#define TILE_CONFIG(p) __asm__ volatile("ldtilecfg (%0)" ::"r"(p) : "memory")
#define TILE_RELEASE() __asm__ volatile("tilerelease")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::)
#define TILE_LOAD(t, p, step)                                                                      \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"((long)(step)) : "memory")
#define TILE_STORE(t, p, step)                                                                     \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"((long)(step)) : "memory")
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

#include "kern/amx_matmul.h"

kern kern_amx(void) {
    return amx_table("amx");
}
