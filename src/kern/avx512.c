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

void kern_avx512_twice(const kern_format *f, const void *chunk, int kc, const kern_act *a,
                       const int32_t *rows, int t0, int n, int64_t k0, float *c) {
    const format_code code = code_of(f->type);
    chunk_view v = {.p = panel_chunk_at(f, chunk, kc), .table = f->table, .kc = kc};
    for (int i0 = 0; i0 < n; i0 += AT_ONCE) {
        twice_marks look;
        const int32_t *of = rows ? rows + i0 : NULL;
        twice_look(a, of, t0 + i0, n - i0 < AT_ONCE ? n - i0 : AT_ONCE, k0, kc / KERN_BLOCK, &look);
        twice_add(f, &code, &v, false, a, of, t0 + i0, k0, &look, 0, c + i0 * KERN_ROWS);
    }
}
