/* The AVX-512 variant (with VNNI): the common code on vectors of 16. */
#define VEC_NAME "avx512"
#include "kern/vec_avx512.h"

#include "kern/vec_kern.h"

const kern kern_avx512 = VEC_KERN;

bool kern_avx512_unpack(const kern_format *f, const void *chunk, int kc, uint8_t *w, float *scale,
                        float *min) {
    const format_code code = code_of(f->type);
    if (!code.stage) return false;
    chunk_view v = {.p = panel_chunk_at(f, chunk, kc),
                    .table = f->table,
                    .kc = kc,
                    .ahead = panel_chunk_bytes(f, kc)};
    code.stage(&v, w, scale, min);
    return true;
}
