/* What all variants share of attention: the size of a block, the merge of chunks, the scalar exp.
 * */
#include "kern/kern_kv.h"
#include "kern/kern_math.h"

size_t kern_kv_block_bytes(const kern_kv_shape *s) {
    size_t n = (size_t)(s->head_dim_k + s->head_dim_v) * KERN_PAGE * kv_elem_bytes(s->type);
    return s->type == KERN_KV_Q8 ? n + 2 * KERN_PAGE * sizeof(float) : n;
}

float kern_expf(float x) {
    return math_exp(x);
}

void kern_attn_merge(int n, const float *m, const float *l, const float *const *acc, int head_dim_v,
                     const float *sink, float *out) {
    if (n == 1 && !sink &&
        l[0] != 0) { /* most rows; what the loops below come to, exp(0) being 1 */
        float whole = 1.0f / l[0];
        for (int i = 0; i < head_dim_v; i++) out[i] = acc[0][i] * whole;
        return;
    }
    float top = -INFINITY, sum = 0;
    bool seen = false;
    for (int c = 0; c < n; c++) {
        if (l[c] == 0) continue; /* saw nothing */
        top = seen && !(m[c] > top) && !isnan(m[c]) ? top : m[c];
        seen = true;
    }
    for (int i = 0; i < head_dim_v; i++) out[i] = 0;
    if (!seen) return;
    if (sink && *sink > top) top = *sink;
    for (int c = 0; c < n; c++) {
        if (l[c] == 0) continue;
        float w = math_exp(m[c] - top);
        sum = fmaf(w, l[c], sum);
        for (int i = 0; i < head_dim_v; i++) out[i] = fmaf(w, acc[c][i], out[i]);
    }
    if (sink) sum += math_exp(*sink - top);
    float inv = 1.0f / sum;
    for (int i = 0; i < head_dim_v; i++) out[i] *= inv;
}
